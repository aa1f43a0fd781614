#include "domain/alarms/band.hpp"

#include <gtest/gtest.h>

#include "helpers.hpp"

namespace signalbox::alarms::test {
namespace {

TEST(Band, learns_first_and_says_so) {
    Band band;
    int learned = 0;
    for (const Point& point : hourly(3)) {
        const BandVerdict verdict = band.step(point);
        if (!verdict.learning) break;
        EXPECT_FALSE(verdict.expected) << "no range while it learns";
        EXPECT_FALSE(verdict.outside);
        ++learned;
    }
    EXPECT_GE(learned, 12);
    EXPECT_LE(learned, 30);
}

TEST(Band, holds_usual_points_and_not_a_tenfold_one) {
    Band band;
    int outside = 0;
    for (const Point& point : hourly(28)) outside += band.step(point).outside ? 1 : 0;
    EXPECT_LE(outside, 8) << "of 672 points";
    const BandVerdict verdict = band.step({monday + hours(24 * 28), 10'000});
    EXPECT_TRUE(verdict.outside);
    EXPECT_TRUE(verdict.above);
    EXPECT_GT(verdict.score, 6);
    EXPECT_TRUE(band.step({monday + hours(24 * 28 + 1), 10}).outside);
}

TEST(Band, follows_the_hour_of_the_day) {
    Band band;
    for (const Point& point : hourly(21)) band.step(point);
    const auto morning = band.expected(monday + hours(24 * 21 + 6));
    const auto evening = band.expected(monday + hours(24 * 21 + 18));
    ASSERT_TRUE(morning && evening);
    EXPECT_GT(morning->low, evening->high) << "1,500 and 500 are usual at these hours";
}

TEST(Band, knows_weekends) {
    Band band;
    base::Prng prng(3);
    const auto value = [&prng](int hour) { return (hour / 24 % 7 >= 5 ? 100 : 1000) * (1 + 0.05 * noise(prng)); };
    int outside = 0;
    for (int hour = 0; hour < 24 * 35; ++hour) {
        const bool out = band.step({monday + hours(hour), value(hour)}).outside;
        if (hour >= 24 * 28) outside += out ? 1 : 0;
    }
    EXPECT_LE(outside, 8) << "of the 168 points of the fifth week";
    for (int hour = 24 * 35; hour < 24 * 40 + 12; ++hour) band.step({monday + hours(hour), value(hour)});
    EXPECT_TRUE(band.step({monday + hours(24 * 40 + 12), 1000}).outside) << "as on a weekday, on a Saturday";
}

TEST(Band, an_episode_does_not_teach_it) {
    Band band;
    const auto points = hourly(22);
    for (const Point& point : points)
        if (point.at < monday + hours(24 * 21)) band.step(point);
    const auto before = band.expected(monday + hours(24 * 21 + 12));
    int outside = 0;
    for (int hour = 0; hour < 10; ++hour)
        outside += band.step({monday + hours(24 * 21 + hour), 20.0 + hour}).outside ? 1 : 0;
    EXPECT_EQ(outside, 10) << "still wrong at its end";
    const auto after = band.expected(monday + hours(24 * 21 + 12));
    EXPECT_NEAR(after->low, before->low, 0.15 * before->low);
    EXPECT_NEAR(after->high, before->high, 0.15 * before->high);
}

TEST(Band, accepts_what_has_become_usual_and_the_return_from_it) {
    Band band;
    const auto points = hourly(35);
    int outside_late = 0;
    int outside_after_return = 0;
    for (const Point& point : points) {
        const auto day = (point.at - monday) / hours(24);
        const bool tripled = day >= 21 && day < 28;
        const bool outside = band.step({point.at, point.value * (tripled ? 3 : 1)}).outside;
        if (day >= 24 && day < 28) outside_late += outside ? 1 : 0;
        if (day >= 28) outside_after_return += outside ? 1 : 0;
    }
    EXPECT_LE(outside_late, 12) << "three days later three times as much is usual, of 96 points";
    EXPECT_LE(outside_after_return, 12) << "and the level before is known, of 168 points";
}

TEST(Band, rewrites_neither_teach_nor_are_judged_by_the_other_model) {
    Band plain;
    Band mixed;
    for (const Point& point : hourly(21)) {
        plain.step(point);
        mixed.step(point);
        if ((point.at - monday) % hours(24) == hours(0)) {
            const BandVerdict verdict = mixed.step({point.at + minutes(1), 5e6, PointClass::Rewrite});
            EXPECT_FALSE(verdict.outside);
        }
    }
    const auto at = monday + hours(24 * 21 + 3);
    EXPECT_EQ(plain.expected(at), mixed.expected(at));
    EXPECT_EQ(mixed.learned(PointClass::Rewrite), 21U);
}

TEST(Band, decoded_it_goes_on_bit_for_bit) {
    base::Prng prng(11);
    Band band;
    for (const Point& point : hourly(30, 5)) {
        Point seen = point;
        if (prng.chance(0.02)) seen.value *= 8;
        if (prng.chance(0.1)) seen.kind = PointClass::Rewrite;
        if (prng.chance(0.05)) {
            const std::string text = base::json::serialize(band.encode());
            EXPECT_LT(text.size(), 10'000U) << "of bounded size";
            auto decoded = Band::decode(base::parse_json(text)->as_object(), band.config());
            ASSERT_TRUE(decoded) << decoded.error().text();
            Band copy = band;
            const BandVerdict a = copy.step(seen);
            const BandVerdict b = decoded->step(seen);
            EXPECT_EQ(a.score, b.score);
            EXPECT_EQ(a.expected, b.expected);
            EXPECT_EQ(base::json::serialize(copy.encode()), base::json::serialize(decoded->encode()));
            band = std::move(*decoded);
            continue;
        }
        band.step(seen);
    }
}

TEST(Band, refuses_what_it_did_not_write) {
    Band band;
    for (const Point& point : hourly(2)) band.step(point);
    base::json::object object = band.encode();
    object["change"].as_object()["state"] = "AAAA";
    EXPECT_FALSE(Band::decode(object, {}));
    object["change"].as_object()["state"] = "not base64!";
    EXPECT_FALSE(Band::decode(object, {}));
    EXPECT_FALSE(Band::decode({{"other", base::json::object{}}}, {}));
    base::json::object newer = band.encode();
    newer["change"].as_object()["version"] = 2;
    EXPECT_FALSE(Band::decode(newer, {}));
}

TEST(Band, the_unit_of_the_values_does_not_matter) {
    Band small;
    Band large;
    base::Prng prng(5);
    for (const Point& point : hourly(28, 9)) {
        Point seen = point;
        if (prng.chance(0.03)) seen.value *= prng.chance(0.5) ? 0.1 : 5;
        const BandVerdict a = small.step(seen);
        const BandVerdict b = large.step({seen.at, seen.value * 1000, seen.kind});
        EXPECT_EQ(a.outside, b.outside);
        EXPECT_NEAR(a.score, b.score, 1e-6 * (1 + a.score));
    }
}

TEST(Band, an_excluded_time_teaches_nothing) {
    BandConfig config;
    config.exclusions = {{monday + hours(24 * 10), monday + hours(24 * 12)}};
    Band band(config);
    for (const Point& point : hourly(14)) {
        const bool out = excluded(config.exclusions, point.at);
        const BandVerdict verdict = band.step({point.at, out ? 1e7 : point.value});
        if (out) {
            EXPECT_FALSE(verdict.outside);
        }
    }
    EXPECT_LT(band.expected(monday + hours(24 * 14 + 6))->high, 3000);
}

TEST(Band, a_series_that_never_moves_has_some_width_and_zeros_have_none) {
    Band band;
    Band zeros;
    for (int hour = 0; hour < 24 * 7; ++hour) {
        band.step({monday + hours(hour), 500});
        zeros.step({monday + hours(hour), 0});
    }
    EXPECT_FALSE(band.step({monday + hours(24 * 7), 502}).outside);
    EXPECT_TRUE(band.step({monday + hours(24 * 7), 900}).outside);
    EXPECT_TRUE(zeros.step({monday + hours(24 * 7), 1}).outside);
    EXPECT_FALSE(zeros.step({monday + hours(24 * 7 + 1), 0}).outside);
}

TEST(Band, what_is_no_number_is_no_point) {
    Band band;
    for (const Point& point : hourly(5)) band.step(point);
    EXPECT_FALSE(band.step({monday + hours(200), std::nan("")}).outside);
    EXPECT_EQ(band.learned(PointClass::Change), 120U);
}

}  // namespace
}  // namespace signalbox::alarms::test
