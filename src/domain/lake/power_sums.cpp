#include "domain/lake/power_sums.hpp"

#include <algorithm>
#include <cmath>

namespace signalbox::lake {
namespace {

using Wide = __int128;

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

void PowerSums::add(std::int64_t value) {
    const Checked x{value};
    const Checked first = Checked{sum_} + x;
    const Checked second = Checked{sum2_} + x * x;
    const Checked third = Checked{sum3_} + x * x * x;
    overflowed_ = overflowed_ || first.bad || second.bad || third.bad;
    ++count_;
    sum_ = first.value;
    sum2_ = second.value;
    sum3_ = third.value;
}

void PowerSums::add(const PowerSums& other) {
    const Checked first = Checked{sum_} + Checked{other.sum_};
    const Checked second = Checked{sum2_} + Checked{other.sum2_};
    const Checked third = Checked{sum3_} + Checked{other.sum3_};
    overflowed_ = overflowed_ || other.overflowed_ || first.bad || second.bad || third.bad;
    count_ += other.count_;
    sum_ = first.value;
    sum2_ = second.value;
    sum3_ = third.value;
}

void PowerSums::subtract(const PowerSums& other) {
    const Checked first = Checked{sum_} - Checked{other.sum_};
    const Checked second = Checked{sum2_} - Checked{other.sum2_};
    const Checked third = Checked{sum3_} - Checked{other.sum3_};
    overflowed_ = overflowed_ || other.overflowed_ || first.bad || second.bad || third.bad;
    count_ -= other.count_;
    sum_ = first.value;
    sum2_ = second.value;
    sum3_ = third.value;
}

std::optional<double> PowerSums::mean() const {
    if (count_ <= 0 || overflowed_) return std::nullopt;
    return static_cast<double>(sum_) / static_cast<double>(count_);
}

// The sums are moved to a whole number next to the mean while they are still exact: the differences that cancel are
// whole numbers, and only the fraction that is left is rounded.
std::optional<PowerSums::Centred> PowerSums::centred() const {
    if (count_ <= 0 || overflowed_) return std::nullopt;
    const Checked n{count_};
    const Checked c{sum_ / count_};
    const Checked s1{sum_};
    const Checked s2{sum2_};
    const Checked two{2};
    const Checked three{3};
    const Checked first = s1 - n * c;
    const Checked second = s2 - two * c * s1 + n * c * c;
    const Checked third = Checked{sum3_} - three * c * s2 + three * c * c * s1 - n * c * c * c;
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

}  // namespace signalbox::lake
