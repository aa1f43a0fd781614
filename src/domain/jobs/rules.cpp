#include "domain/jobs/rules.hpp"

#include <array>

namespace signalbox::jobs {

std::string_view to_string(Guard guard) {
    constexpr std::array<std::string_view, guard_count> names = {
        "IntentFirst",       "DriverFirst",   "LaunchGrace",  "AskedBeforeRepeat", "DoubtStays",
        "RelaunchPause",     "StartedOnce",   "MissingGrace", "OutcomeOnce",       "NothingLaunchedAfterOutcome",
        "LateLaunchAwaited", "FinalWhenGone", "FinalStays",   "StopBeforeStart",   "DriverBeforeStop",
        "QueueTime",         "StartTime",     "TimeLimit",    "WorkersGrace",      "BackoffKept",
        "BackoffBounded",    "ClockSetBack",  "FailuresOnly", "StoppedNotRetried", "NextOnce"};
    return names.at(static_cast<std::size_t>(guard));
}

}  // namespace signalbox::jobs
