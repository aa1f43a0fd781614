#pragma once
// Commit series of made-up tables, with faults at known times: for the figures of the alarms. The same seed makes the
// same world everywhere.

#include <string>
#include <string_view>
#include <vector>

#include "base/prng.hpp"
#include "base/time.hpp"
#include "domain/alarms/observation.hpp"

namespace signalbox::bench {

enum class Personality { Hourly, Daily, FiveMinutes, Weekdays, Bursty, Trending };
enum class FaultKind { Stop, Drop, Spike, Duplicate, Late, DeletionStorm };
std::string_view to_string(Personality personality);
std::string_view to_string(FaultKind kind);
constexpr int personalities = 6;
constexpr int fault_kinds = 6;

// What is wrong, and for how long an alarm may name it: after `until` it is a false one.
struct Fault {
    FaultKind kind = FaultKind::Stop;
    base::WallTime from{};
    base::WallTime until{};
};

struct TableWorld {
    Personality personality = Personality::Hourly;
    std::vector<alarms::CommitFact> commits;  // in order of time
    std::vector<Fault> faults;                // apart from each other
    base::WallTime begin{};
    base::WallTime measured_from{};  // learning before, no fault in it
    base::WallTime end{};
};

// Two weeks to learn in, and a month with two to four faults.
TableWorld make_table(base::Prng& prng, Personality personality);

}  // namespace signalbox::bench
