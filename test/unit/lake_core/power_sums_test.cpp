#include "domain/lake/power_sums.hpp"

#include <cmath>
#include <gmock/gmock.h>

#include "base/prng.hpp"

namespace signalbox::lake {
namespace {

// The textbook's two passes, in long double.
struct TwoPass {
    long double deviation = 0;
    long double skew = 0;
};
TwoPass two_pass(const std::vector<std::int64_t>& values) {
    const auto n = static_cast<long double>(values.size());
    long double mean = 0, m2 = 0, m3 = 0;
    for (const auto value : values) mean += static_cast<long double>(value) / n;
    for (const auto value : values) {
        const long double d = static_cast<long double>(value) - mean;
        m2 += d * d / n;
        m3 += d * d * d / n;
    }
    return {std::sqrt(m2 * n / (n - 1)), std::sqrt(n * (n - 1)) / (n - 2) * m3 / std::pow(m2, 1.5L)};
}

TEST(PowerSums, agree_with_two_passes_also_far_from_zero) {
    base::Prng prng(5);
    for (const std::int64_t offset : {std::int64_t{0}, std::int64_t{1'000'000}, std::int64_t{4'000'000'000}}) {
        std::vector<std::int64_t> values;
        PowerSums sums;
        for (int i = 0; i < 1000; ++i) {
            values.push_back(offset + static_cast<std::int64_t>(prng.below(1 + prng.below(5000))));
            sums.add(values.back());
        }
        const TwoPass expected = two_pass(values);
        EXPECT_NEAR(sums.deviation().value(), static_cast<double>(expected.deviation),
                    1e-9 * static_cast<double>(expected.deviation));
        EXPECT_NEAR(sums.skew().value(), static_cast<double>(expected.skew), 1e-6);
    }
}

TEST(PowerSums, what_is_added_and_taken_away_leaves_no_trace) {
    PowerSums whole, part;
    for (const std::int64_t value : {1, 5, 9}) whole.add(value);
    const auto skew = whole.skew();
    for (const std::int64_t value : {1'000'000'000'000, 7L}) part.add(value);
    whole.add(part);
    EXPECT_NE(whole.skew(), skew);
    whole.subtract(part);
    EXPECT_EQ(whole.skew(), skew);
    EXPECT_EQ(whole.count(), 3);
}

TEST(PowerSums, too_few_values_are_undefined_and_equal_ones_are_not_skewed) {
    PowerSums sums;
    EXPECT_FALSE(sums.mean());
    sums.add(7);
    EXPECT_EQ(sums.mean(), 7.0);
    EXPECT_FALSE(sums.deviation());
    sums.add(7);
    EXPECT_EQ(sums.deviation(), 0.0);
    EXPECT_FALSE(sums.skew());
    sums.add(7);
    EXPECT_EQ(sums.skew(), 0.0);
}

TEST(PowerSums, an_overflow_is_unknown_not_wrong) {
    PowerSums sums;
    for (int i = 0; i < 3; ++i) sums.add(INT64_MAX - i);
    EXPECT_FALSE(sums.mean());
    EXPECT_FALSE(sums.deviation());
    EXPECT_FALSE(sums.skew());
}

TEST(PowerSums, an_outlier_that_left_leaves_no_trace_either) {
    PowerSums sums, outlier;
    for (const std::int64_t value : {1, 5, 9}) sums.add(value);
    const PowerSums before = sums;
    for (int i = 0; i < 5; ++i) outlier.add(INT64_MAX);
    sums.add(outlier);
    EXPECT_FALSE(sums.mean());
    sums.subtract(outlier);
    EXPECT_EQ(sums, before);
    EXPECT_EQ(sums.mean(), 5.0);
}

}  // namespace
}  // namespace signalbox::lake
