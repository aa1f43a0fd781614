#pragma once
// Series and observations that the tests of alarms share.

#include <cmath>
#include <string>
#include <vector>

#include "base/prng.hpp"
#include "domain/alarms/backtest.hpp"

namespace signalbox::alarms::test {

using std::chrono::hours;
using std::chrono::minutes;

// A Monday, 00:00 UTC.
inline const base::WallTime monday = base::parse_time("2026-06-01T00:00:00Z").value();

// About 0, standard deviation 1.
inline double noise(base::Prng& prng) {
    double sum = 0;
    for (int i = 0; i < 12; ++i) sum += prng.unit();
    return sum - 6;
}

// Hourly points with a daily wave and 5 % noise.
inline std::vector<Point> hourly(int days, std::uint64_t seed = 7, double level = 1000) {
    base::Prng prng(seed);
    std::vector<Point> points;
    for (int hour = 0; hour < 24 * days; ++hour) {
        const double wave = 1 + 0.5 * std::sin(hour % 24 * 0.2618);
        points.push_back({monday + hours(hour), std::round(level * wave * (1 + 0.05 * noise(prng)))});
    }
    return points;
}

inline CommitFact commit(base::WallTime at, std::int64_t id = 1) {
    CommitFact fact;
    fact.commit = {id, at, "spark", "append"};
    return fact;
}

inline AlarmConfig config_of(AlarmKind kind) {
    AlarmConfig config;
    config.name = "it";
    config.kind = kind;
    config.metric = kind == AlarmKind::Band || kind == AlarmKind::Threshold ? "snapshot.added_records" : "";
    return config;
}

inline Observation value_at(base::WallTime at, double value, PointClass kind = PointClass::Change) {
    return MetricPoint{"snapshot.added_records", {at, value, kind}, {42, at, "spark", "append"}};
}

}  // namespace signalbox::alarms::test
