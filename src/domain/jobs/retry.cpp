#include "domain/jobs/retry.hpp"

#include <algorithm>

#include "base/prng.hpp"

namespace signalbox::jobs {
namespace {

using Place = BuiltinRule::Place;

std::string small_letters(std::string_view text) {
    std::string small(text);
    for (char& letter : small)
        if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    return small;
}

std::string_view end_of(std::string_view log) {
    return log.size() <= log_tail_max ? log : log.substr(log.size() - log_tail_max);
}

// What of the attempt the rules look at.
struct Failure {
    const Run& run;
    const FailureFacts& facts;
    RunState state;
    std::string log;      // in small letters
    std::string refusal;  // likewise: what the provider said when it did not start a node

    bool driver_ended(ExitHow how) const {
        return !run.nodes.empty() && run.nodes.front().exit && run.nodes.front().exit->how == how;
    }
    bool in(Place place) const;
    bool exited_with(const std::vector<int>& codes) const {
        return run.exit_code && std::find(codes.begin(), codes.end(), *run.exit_code) != codes.end();
    }
};

Failure failure_of(const Run& run, const FailureFacts& facts) {
    Failure failure{run, facts, run.outcome.value_or(run.state), small_letters(end_of(facts.log_tail)), {}};
    for (const Node& node : run.nodes)
        if (failure.refusal.empty()) failure.refusal = small_letters(node.refusal);
    return failure;
}

bool Failure::in(Place place) const {
    switch (place) {
        case Place::Anywhere:
            return true;
        case Place::Unasked:
            return !run.connection && state == RunState::Error;
        case Place::NoConnection:
            return !run.connection && state == RunState::Failed;
        case Place::Unstartable:
            return driver_ended(ExitHow::Unstartable);
        case Place::TimedOut:
            return state == RunState::Timeout || driver_ended(ExitHow::TimedOut);
        case Place::ZoneImpaired:
            return run.connection && facts.zone_impaired;
        case Place::DriverLost:
            return driver_ended(ExitHow::Lost) ||
                   (state == RunState::Error && !run.nodes.empty() && run.nodes.front().stage == NodeStage::Ended &&
                    !run.nodes.front().exit);
        case Place::LaunchRefused:
            break;
    }
    // That the driver failed by itself says more than that one of the workers was refused.
    return state == RunState::Error && run.connection && !run.exit_code;
}

// The one of the words that occurs, or nothing.
std::string_view word_in(std::string_view text, const std::vector<std::string_view>& words) {
    for (const std::string_view word : words)
        if (text.find(word) != std::string_view::npos) return word;
    return {};
}

std::optional<Verdict> by_rule(const RetryRule& rule, const Failure& failure) {
    if (rule.exit_codes.empty() && rule.log_pattern.empty()) return std::nullopt;
    if (!rule.exit_codes.empty() && !failure.exited_with(rule.exit_codes)) return std::nullopt;
    if (!rule.log_pattern.empty() && failure.log.find(small_letters(rule.log_pattern)) == std::string::npos)
        return std::nullopt;
    std::string reason = "the job's rule for";
    if (!rule.exit_codes.empty()) reason += fmt::format(" exit code {}", *failure.run.exit_code);
    if (!rule.log_pattern.empty())
        reason += fmt::format("{} '{}' in the log", rule.exit_codes.empty() ? "" : " with", rule.log_pattern);
    return Verdict{rule.retry, std::move(reason)};
}

std::optional<Verdict> by_builtin(const BuiltinRule& rule, const Failure& failure) {
    if (!failure.in(rule.place)) return std::nullopt;
    std::string reason = rule.what;
    if (!rule.exit_codes.empty()) {
        if (!failure.exited_with(rule.exit_codes)) return std::nullopt;
        reason = fmt::format("exit code {}: {}", *failure.run.exit_code, rule.what);
    }
    if (!rule.words.empty()) {
        const std::string_view logged = word_in(failure.log, rule.words);
        const std::string_view refused = word_in(failure.refusal, rule.words);
        if (logged.empty() && refused.empty()) return std::nullopt;
        reason = logged.empty() ? fmt::format("{}: the provider says '{}'", rule.what, refused)
                                : fmt::format("{}: '{}' in the log", rule.what, logged);
    }
    if (!rule.zone_if_open || !failure.facts.zone_open) return Verdict{rule.retry, std::move(reason)};
    return Verdict{RetryClass::Zone, reason + "; others failed in zone '" + failure.run.zone + "' before"};
}

// A number that looks random and is the same for the same attempt.
std::uint64_t seed_of(const Run& run) {
    std::uint64_t hash = 14695981039346656037ULL;  // FNV-1a
    const auto mix = [&](unsigned char byte) { hash = (hash ^ byte) * 1099511628211ULL; };
    for (const char letter : run.id) mix(static_cast<unsigned char>(letter));
    for (int attempt = run.attempt; attempt > 0; attempt /= 256) mix(static_cast<unsigned char>(attempt % 256));
    return hash;
}

base::Duration backoff_limit(const RetryPolicy& policy, int attempt) {
    base::Duration limit = policy.backoff_base;
    for (int i = 0; i < attempt && limit < policy.backoff_max; ++i) limit *= 2;
    return std::max(std::min(limit, policy.backoff_max), base::Duration::zero());
}

}  // namespace

const std::vector<BuiltinRule>& builtin_rules() {
    using enum RetryClass;
    static const std::vector<BuiltinRule> rules = {
        {Place::Unasked, {}, {}, Transient, false, "the provider could not be asked for its networks"},
        {Place::NoConnection, {}, {}, Connection, false, "no connection was usable"},
        {Place::Unstartable, {}, {}, Permanent, false, "the command cannot be executed"},
        {Place::TimedOut, {}, {}, Permanent, false, "the attempt took longer than its time-out"},
        {Place::Anywhere,
         {64, 65, 66, 77, 78},
         {},
         Permanent,
         false,
         "wrong usage, data, permission or configuration by sysexits"},
        {Place::ZoneImpaired, {}, {}, Zone, false, "the provider reports the zone impaired"},
        {Place::DriverLost, {}, {}, Zone, false, "the driver's node is gone without a trace"},
        {Place::Anywhere,
         {},
         {"no free address", "free addresses", "insufficientfreeaddresses", "insufficient free addresses"},
         Connection,
         true,
         "addresses ran out"},
        {Place::LaunchRefused, {}, {}, Connection, true, "a node was not started"},
        {Place::Anywhere,
         {},
         {"no route to host", "network is unreachable", "connection timed out", "connection refused",
          "connection reset by peer", "host is down", "operation timed out", "connect timed out", "i/o timeout",
          "name or service not known", "temporary failure in name resolution", "could not resolve host",
          "communications link failure", "can't connect to", "could not connect to server", "unknownhostexception"},
         Connection,
         true,
         "the network failed"},
        {Place::Anywhere, {75}, {}, Transient, false, "a temporary failure by sysexits"},
        {Place::Anywhere,
         {},
         {"throttling", "rate exceeded", "too many requests", "toomanyrequests", "slowdown", "service unavailable",
          "deadlock found", "deadlock detected", "lock wait timeout", "could not serialize access",
          "serialization failure"},
         Transient,
         false,
         "a service asked for patience"},
    };
    return rules;
}

std::string retry_rules_text() {
    std::string text = "| class | what failed | told by |\n|---|---|---|\n";
    for (const BuiltinRule& rule : builtin_rules()) {
        std::vector<std::string> told;
        for (const int code : rule.exit_codes) told.push_back(fmt::format("exit code {}", code));
        for (const std::string_view word : rule.words) told.push_back(fmt::format("`{}`", word));
        if (told.empty()) told.emplace_back("where it failed");
        text += fmt::format("| *{}*{} | {} | {} |\n", to_string(rule.retry),
                            rule.zone_if_open ? "; *zone* if the zone's breaker is open" : "", rule.what,
                            base::join(told, ", "));
    }
    return text;
}

Verdict classify(const Run& run, const FailureFacts& facts) {
    const Failure failure = failure_of(run, facts);
    for (const RetryRule& rule : run.job.retry.rules)
        if (auto verdict = by_rule(rule, failure)) return *std::move(verdict);
    for (const BuiltinRule& rule : builtin_rules())
        if (auto verdict = by_builtin(rule, failure)) return *std::move(verdict);
    return {run.job.retry.otherwise, run.exit_code ? fmt::format("exit code {}, which no rule knows", *run.exit_code)
                                                   : "a failure that no rule knows"};
}

RetryPlan plan_retry(const Run& run, const Verdict& verdict, const RetryHistory& history, base::WallTime now,
                     Rules rules) {
    const RetryPolicy& policy = run.job.retry;
    const RunState state = run.outcome.value_or(run.state);
    const bool failed = state == RunState::Failed || state == RunState::Error || state == RunState::Timeout;
    if (!failed && rules.on(Guard::FailuresOnly))
        return {false, {}, fmt::format("no retry after {}", to_string(state))};
    if (run.stop_requested && rules.on(Guard::StoppedNotRetried)) return {false, {}, "no retry: a stop was requested"};
    if (verdict.retry == RetryClass::Permanent) return {false, {}, "no retry: " + verdict.reason};
    if (run.attempt + 1 >= policy.attempts_max)
        return {false, {}, fmt::format("no retry: attempt {} of at most {}", run.attempt + 1, policy.attempts_max)};
    const double share = policy.budget_ratio * static_cast<double>(std::max(history.runs, 0));
    const double budget = std::max(static_cast<double>(policy.budget_min), share);
    if (static_cast<double>(history.retries) + 1 > budget) {
        return {false,
                {},
                fmt::format("no retry: the job's budget of {} within {} is used up", static_cast<std::int64_t>(budget),
                            base::format_duration(policy.budget_window))};
    }
    const base::Duration limit = backoff_limit(policy, run.attempt);
    base::Prng prng(seed_of(run));
    const auto pause = base::Duration(static_cast<std::int64_t>(prng.unit() * static_cast<double>(limit.count())));
    return {true, now + pause,
            fmt::format("{}: again on {}", verdict.reason,
                        verdict.retry == RetryClass::Transient    ? "the same connection"
                        : verdict.retry == RetryClass::Connection ? "another connection"
                                                                  : "a connection of another zone")};
}

}  // namespace signalbox::jobs
