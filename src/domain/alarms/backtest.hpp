#pragma once
// What an alarm would have done over a recorded series: every step, so that a table, JSON or a picture can be made.

#include <optional>
#include <vector>

#include "domain/alarms/alarm.hpp"

namespace signalbox::alarms {

struct BacktestStep {
    base::WallTime at{};
    std::optional<double> value;    // none: a tick, or a period without a point
    std::optional<Range> expected;  // as known before the point
    bool learning = false;
    Datum datum = Datum::Missing;
    double score = 0;
    AlarmState state = AlarmState::InsufficientData;  // after the step
    std::optional<Transition> transition;
};

struct Backtest {
    std::vector<BacktestStep> steps;  // in order of time
    std::size_t episodes = 0;         // times that it entered ALARM
    AlarmMemory memory;               // after the last step
};

// Steps a fresh alarm over the observations (in order of time), with the ticks in between that a daemon would have
// made, and up to `until` after the last. Observations are stamped with their own commit's or point's time.
Backtest backtest(const AlarmConfig& config, const std::vector<Observation>& observations,
                  std::optional<base::WallTime> until = std::nullopt);
// The same over plain points, of the alarm's metric; for `late` and `deletion-spike` each is a commit with that value.
Backtest backtest(const AlarmConfig& config, const std::vector<Point>& points,
                  std::optional<base::WallTime> until = std::nullopt);

base::json::object to_json(const BacktestStep& step);

}  // namespace signalbox::alarms
