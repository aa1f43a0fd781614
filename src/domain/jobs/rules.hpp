#pragma once
// The guards of a run's life, each with a number, so that a test can take one away and show that something then goes
// wrong. Everybody but tests uses all of them.

#include <cstdint>
#include <string_view>

namespace signalbox::jobs {

enum class Guard : std::uint8_t {
    IntentFirst,                  // the intent to launch is stored before the launch
    DriverFirst,                  // workers are launched when the driver's address is known
    LaunchGrace,                  // a launch without an answer is repeated only after its answer can't come any more
    AskedBeforeRepeat,            // … and only if the launcher was asked and does not have it
    DoubtStays,                   // that a repeated launch was refused says nothing of the one before
    RelaunchPause,                // a refused launch is repeated after a pause
    StartedOnce,                  // what has started is never launched again, though a list misses it
    MissingGrace,                 // a process that a list misses is lost only after a while
    OutcomeOnce,                  // the first outcome stands
    NothingLaunchedAfterOutcome,  // once there is an outcome nothing is launched
    LateLaunchAwaited,            // no run is final while a launch of it may still appear
    FinalWhenGone,                // no run is final while a node of it lives
    FinalStays,                   // what is final does not move
    StopBeforeStart,              // a waiting run that was asked to stop is not started
    DriverBeforeStop,             // how the driver ended counts, though a stop was asked for meanwhile
    QueueTime,                    // a run that waited too long expires
    StartTime,                    // nodes that do not start in time end the run
    TimeLimit,                    // the loop keeps the time-out if the supervisor does not
    WorkersGrace,                 // workers may end by themselves after a driver that succeeded
    BackoffKept,                  // no attempt is decided before its backoff is over
    BackoffBounded,               // … which a clock that was set back does not lengthen
    ClockSetBack,                 // nor do graces that run
    FailuresOnly,                 // only FAILED, TIMEOUT and ERROR are tried again
    StoppedNotRetried,            // a run that was asked to stop is not tried again
    NextOnce,                     // an attempt has at most one after it
};
constexpr int guard_count = static_cast<int>(Guard::NextOnce) + 1;
std::string_view to_string(Guard guard);  // "IntentFirst"

// Values: copied, compared, never global.
struct Rules {
    std::uint32_t off = 0;  // bit per guard
    bool on(Guard guard) const { return (off >> static_cast<unsigned>(guard) & 1U) == 0; }
    static Rules without(Guard guard) { return Rules{1U << static_cast<unsigned>(guard)}; }
    friend bool operator==(const Rules&, const Rules&) = default;
};
static_assert(guard_count <= 32, "one bit per guard");

}  // namespace signalbox::jobs
