#pragma once
// What a failed attempt calls for, and when the next one may begin.

#include <optional>
#include <string>

#include "base/time.hpp"
#include "domain/jobs/run.hpp"

namespace signalbox::jobs {

// What is known of a failure when the attempt ends.
struct FailureFacts {
    std::string log_tail;        // the driver's last output, at most log_tail_max bytes
    bool zone_impaired = false;  // the provider's signal about the attempt's zone, when the attempt ended
    bool zone_open = false;      // our own breaker of that zone, without this outcome
};
inline constexpr std::size_t log_tail_max = 16 * 1024;

// Of an attempt that ended with FAILED, ERROR or TIMEOUT. The job's rules first, then the built-in ones, in this order:
// a command that can't be executed, a time-out, exit codes 64–66, 77 and 78 of sysexits: permanent; an exit in an
// impaired zone, a node that is gone without a trace: zone; addresses that ran out, a launch that was refused, words of
// the network in the log ("no route to host", "connection timed out", "network is unreachable", "connection refused",
// …): connection, or zone if the zone's breaker is open; exit code 75, words of throttling and deadlocks: transient;
// else the policy's `otherwise`.
Verdict classify(const Run& run, const FailureFacts& facts);

// What the job did lately: for the budget.
struct RetryHistory {
    int runs = 0;     // first attempts submitted within the window
    int retries = 0;  // further attempts begun within it
};

struct RetryPlan {
    bool again = false;
    base::WallTime not_before{};  // with full jitter: uniform in [now, now + min(max, base · 2^attempt)]
    std::string reason;           // why, or why not
};
// Attempts count from 0. The jitter is a function of the run's id and attempt.
RetryPlan plan_retry(const Run& run, const Verdict& verdict, const RetryHistory& history, base::WallTime now);

}  // namespace signalbox::jobs
