#pragma once
// What a failed attempt calls for, and when the next one may begin.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "domain/jobs/rules.hpp"
#include "domain/jobs/run.hpp"

namespace signalbox::jobs {

// What is known of a failure when the attempt ends.
struct FailureFacts {
    std::string log_tail;        // the driver's last output, at most log_tail_max bytes
    bool zone_impaired = false;  // the provider's signal about the attempt's zone, when the attempt ended
    bool zone_open = false;      // our own breaker of that zone, without this outcome
};
inline constexpr std::size_t log_tail_max = 16 * 1024;

// A rule that needs no configuration. It matches by where the attempt failed, by exit codes, or by words of the log.
struct BuiltinRule {
    enum class Place {
        Anywhere,       // judged by exit codes and words alone
        Unasked,        // the provider could not be asked for its networks: no connection was chosen
        NoConnection,   // no connection was usable
        Unstartable,    // the command could not be executed
        TimedOut,       // the attempt took longer than its time-out
        ZoneImpaired,   // in a zone of which the provider says that it is impaired
        DriverLost,     // the driver's node is gone without an exit status
        LaunchRefused,  // the provider refused to start a node, or did not answer in time
    };
    Place place = Place::Anywhere;
    std::vector<int> exit_codes;
    std::vector<std::string_view> words;  // parts of the log's end or of the provider's refusal, in small letters
    RetryClass retry = RetryClass::Connection;
    bool zone_if_open = false;  // `zone` instead, if the breaker of the attempt's zone is open
    const char* what;           // for people: "exit code 75 (a temporary failure by sysexits)"
};
// In the order in which they are tried, after the job's own; docs/reference/jobs.md shows them.
const std::vector<BuiltinRule>& builtin_rules();
// The rules as a table in Markdown.
std::string retry_rules_text();

// Of an attempt that ended with FAILED, ERROR or TIMEOUT: the first of the job's rules that matches, else the first
// built-in one, else the policy's `otherwise`.
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
RetryPlan plan_retry(const Run& run, const Verdict& verdict, const RetryHistory& history, base::WallTime now,
                     Rules rules = {});

}  // namespace signalbox::jobs
