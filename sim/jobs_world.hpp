#pragma once
// The simulated world of job runs: the engine's loop unchanged, in several processes that crash, over a store that
// fills up, a launcher whose answers get lost or come late, zones that go away, and a clock that jumps. Deterministic
// by seed.

#include <cstdint>
#include <string>

#include "domain/jobs/rules.hpp"

namespace signalbox::sim {

struct JobOptions {
    std::uint64_t seed = 1;
    jobs::Rules rules;
    int runs = 12;
    // Random faults per call, while runs come in; none afterwards, so that everything must come to its end.
    double crash = 0.01;
    double store_fails = 0.01;
    double answer_lost = 0.1;
    double clock_jumps = 0.002;  // per step
    // Instead of random crashes: one, at this call of all that can crash; -1: none.
    std::int64_t crash_at = -1;
};

struct JobOutcome {
    std::string violation;   // empty: all checkers were content
    std::string trace;       // else what the journal has of the run that it names
    std::int64_t calls = 0;  // at which a crash was possible
    std::uint64_t crashes = 0;
    std::uint64_t starts = 0;    // of nodes
    std::uint64_t attempts = 0;  // all runs together
    std::uint64_t retries = 0;
    std::uint64_t succeeded = 0;
    std::uint64_t stopped = 0;
    std::uint64_t lost_answers = 0;
    std::uint64_t store_failures = 0;
    std::uint64_t jumps = 0;
    bool crashed_once = false;  // the wished crash was reached
};

JobOutcome run_jobs(const JobOptions& options);

}  // namespace signalbox::sim
