#pragma once
// What an action is, when it is called for, and when it may be tried: values and rules, without a clock.

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/time.hpp"

namespace signalbox::alarms {

// The states whose entering can call for an action, in CloudWatch's words.
enum class ActionTrigger { Alarm, Ok, InsufficientData };
std::string_view to_string(ActionTrigger trigger);  // "ALARM", "OK", "INSUFFICIENT_DATA"
std::optional<ActionTrigger> parse_action_trigger(std::string_view text);

// HTTP POST of the transition as JSON.
struct WebhookAction {
    std::string url;     // http:// or https://; may hold a secret (a token in its path), so it is never printed whole
    std::string secret;  // signs the body; empty: not signed
    std::string tls_ca_file;  // empty: the system's
    base::Duration deadline = std::chrono::seconds(10);
};
// A program, without a shell; the transition as JSON on its standard input.
struct CommandAction {
    std::vector<std::string> command;
    std::string directory = "/";
    base::Duration deadline = std::chrono::seconds(60);
};
// A run of a job. Values of arguments may hold {table}, {partition}, {alarm}, {state}.
struct JobAction {
    std::string job;
    std::vector<std::pair<std::string, std::string>> arguments;
};
// Pauses a job on ALARM; with resume_on_ok, resumes it on OK if this action had paused it.
struct PauseAction {
    std::string job;
    bool resume_on_ok = false;
};

// At most `count` actions begin within any `interval`; 0: no limit.
struct RateLimit {
    int count = 0;
    base::Duration interval{};
    friend bool operator==(const RateLimit&, const RateLimit&) = default;
};

struct ActionRetry {
    int tries_max = 10;  // the first included
    base::Duration backoff_base = std::chrono::seconds(5);
    base::Duration backoff_max = std::chrono::minutes(15);
    base::Duration age_max = std::chrono::hours(24);  // since it was queued, postponements included
};

struct ActionConfig {
    std::string name;
    std::variant<WebhookAction, CommandAction, JobAction, PauseAction> what;
    std::set<ActionTrigger> on{ActionTrigger::Alarm};
    RateLimit rate_limit;
    bool dry_run = false;
    ActionRetry retry;
};
std::string_view kind_of(const ActionConfig& config);  // "webhook", "command", "job", "pause"

// The stable id of what one action does at one transition: "act_" and 32 hexadecimal digits. `transition` numbers the
// alarm's transitions (or names its time): different for each, the same whenever this one is looked at again.
std::string action_id(std::string_view alarm, std::string_view table, std::string_view transition,
                      std::string_view action);

// Those of the named actions that entering this state calls for, in the order of `names`. Names without an action are
// passed over: the configuration's check is elsewhere.
std::vector<const ActionConfig*> called_for(const std::vector<ActionConfig>& actions,
                                            const std::vector<std::string>& names, ActionTrigger entered);

// Nothing: it may begin now. Else when it may at the earliest. `begun`: when actions of this name were begun within the
// interval before now, in any order.
std::optional<base::WallTime> rate_limited_until(const RateLimit& limit, std::vector<base::WallTime> begun,
                                                 base::WallTime now);

// When a try that came to nothing is made again; nothing: never, it is given up. `tries`: those made, this one
// included. `jitter`: uniform in [0, 1). `after`: what the receiver asked for; kept to within an hour.
std::optional<base::WallTime> next_try(const ActionRetry& retry, int tries, base::WallTime queued_at,
                                       std::optional<base::Duration> after, double jitter, base::WallTime now);

// Replaces {key} by its value; what is in braces and not known stays as it is.
std::string fill_placeholders(std::string_view text,
                              const std::vector<std::pair<std::string_view, std::string_view>>& values);

}  // namespace signalbox::alarms
