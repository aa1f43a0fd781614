#include "domain/lake/power_sums.hpp"

#include <algorithm>
#include <cmath>

#include "domain/lake/blob.hpp"

namespace signalbox::lake {
namespace {

using Wide = __int128;
using Natural = unsigned __int128;

// A sum that remembers that it overflowed.
struct Checked {
    Wide value = 0;
    bool bad = false;

    friend Checked operator+(Checked a, Checked b) {
        Checked result;
        result.bad = __builtin_add_overflow(a.value, b.value, &result.value) || a.bad || b.bad;
        return result;
    }
    friend Checked operator-(Checked a, Checked b) {
        Checked result;
        result.bad = __builtin_sub_overflow(a.value, b.value, &result.value) || a.bad || b.bad;
        return result;
    }
    friend Checked operator*(Checked a, Checked b) {
        Checked result;
        result.bad = __builtin_mul_overflow(a.value, b.value, &result.value) || a.bad || b.bad;
        return result;
    }
};

}  // namespace

bool PowerSums::fits() const { return size_ < static_cast<Natural>(1) << 28; }

void PowerSums::add(std::int64_t value) {
    const auto x = static_cast<Natural>(static_cast<Wide>(value));
    const Natural magnitude = value < 0 ? ~x + 1 : x;
    const Natural square = x * x;  // below 2^126
    ++count_;
    sum_ += x;
    sum2_ += square;
    sum3_ += square * x;
    // Rounding halves a cube at most, and below 2^96 it is worth the 1: Σ|x|³ stays below 2^126 while fits().
    size_ += 1 + ((square >> 64) * magnitude >> 32);
}

void PowerSums::add(const PowerSums& other) {
    count_ += other.count_;
    sum_ += other.sum_;
    sum2_ += other.sum2_;
    sum3_ += other.sum3_;
    size_ += other.size_;
}

void PowerSums::subtract(const PowerSums& other) {
    count_ -= other.count_;
    sum_ -= other.sum_;
    sum2_ -= other.sum2_;
    sum3_ -= other.sum3_;
    size_ -= other.size_;
}

std::optional<double> PowerSums::mean() const {
    if (count_ <= 0 || !fits()) return std::nullopt;
    return static_cast<double>(static_cast<Wide>(sum_)) / static_cast<double>(count_);
}

// The sums are moved to a whole number next to the mean while they are still exact: the differences that cancel are
// whole numbers, and only the fraction that is left is rounded.
std::optional<PowerSums::Centred> PowerSums::centred() const {
    if (count_ <= 0 || !fits()) return std::nullopt;
    const Checked n{count_};
    const Checked s1{static_cast<Wide>(sum_)};
    const Checked s2{static_cast<Wide>(sum2_)};
    const Checked c{s1.value / count_};
    const Checked two{2};
    const Checked three{3};
    const Checked first = s1 - n * c;
    const Checked second = s2 - two * c * s1 + n * c * c;
    const Checked third = Checked{static_cast<Wide>(sum3_)} - three * c * s2 + three * c * c * s1 - n * c * c * c;
    if (first.bad || second.bad || third.bad) return std::nullopt;
    const auto count = static_cast<double>(count_);
    const double shift = static_cast<double>(first.value) / count;
    const double mean2 = static_cast<double>(second.value) / count;
    Centred centred;
    centred.m2 = mean2 - shift * shift;
    centred.m3 = static_cast<double>(third.value) / count - 3 * shift * mean2 + 2 * shift * shift * shift;
    // Σ(x−c)² = n·shift² exactly when all values are equal; then shift is 0, so that nothing else is near 0 by error.
    if (second.value == 0) centred = {};
    return centred;
}

std::optional<double> PowerSums::deviation() const {
    const auto moments = centred();
    if (!moments || count_ < 2) return std::nullopt;
    const auto n = static_cast<double>(count_);
    return std::sqrt(std::max(0.0, moments->m2) * n / (n - 1));
}

std::optional<double> PowerSums::skew() const {
    const auto moments = centred();
    if (!moments || count_ < 3) return std::nullopt;
    if (moments->m2 <= 0) return 0.0;
    const auto n = static_cast<double>(count_);
    return std::sqrt(n * (n - 1)) / (n - 2) * moments->m3 / std::pow(moments->m2, 1.5);
}

void PowerSums::encode(BlobWriter& out) const {
    out.number(count_);
    for (const Natural sum : {sum_, sum2_, sum3_, size_}) out.wide(sum);
}

PowerSums PowerSums::decode(BlobReader& in) {
    PowerSums sums;
    sums.count_ = in.natural();
    for (Natural* sum : {&sums.sum_, &sums.sum2_, &sums.sum3_, &sums.size_}) *sum = in.wide();
    // Each value counts at least 1 there; without values there is no sum.
    in.expect(sums.size_ >= static_cast<Natural>(sums.count_) && (sums.count_ > 0 || sums == PowerSums()));
    return sums;
}

}  // namespace signalbox::lake
