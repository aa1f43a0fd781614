#pragma once
// Time as values. Nothing here reads a clock: the time comes in as an argument, from an adapter or from the simulator.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace signalbox::base {

using Duration = std::chrono::nanoseconds;

// Monotonic time of one process: only differences mean something. Decisions use this one.
struct MonoClock {
    using rep = Duration::rep;
    using period = Duration::period;
    using duration = Duration;
    using time_point = std::chrono::time_point<MonoClock>;
    static constexpr bool is_steady = true;
};
using MonoTime = MonoClock::time_point;

// Time of day, nanoseconds since 1970-01-01T00:00:00Z. Records use this one.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

// RFC 3339 in UTC with milliseconds, "2026-01-02T03:04:05.678Z"; years 0001–9999.
std::string format_time(WallTime time);
// Reads what format_time writes, with 0–9 digits of fraction.
Result<WallTime> parse_time(std::string_view text);

// "250ms", "1.5s", "5m", "2h", "1d", "10us": a non-negative number and a unit, or 0. At most 36500 days.
Result<Duration> parse_duration(std::string_view text);
// The shortest exact form that parse_duration reads, "1500ms".
std::string format_duration(Duration duration);
// Milliseconds with the fraction, for JSON and tables.
double to_ms(Duration duration);

}  // namespace signalbox::base
