#include "engine/action_loop.hpp"

namespace signalbox::engine {
namespace {

constexpr std::string_view over_rate = "over its rate limit";

// What is said of a try goes into the journal, so it has a bound.
constexpr std::size_t text_max = 2000;

}  // namespace

ActionLoop::ActionLoop(ports::ActionQueue& queue, ActionLoopConfig config, std::function<base::WallTime()> clock,
                       std::uint64_t seed)
    : queue_(queue), config_(std::move(config)), clock_(std::move(clock)), prng_(seed) {}

void ActionLoop::configure(std::vector<ConfiguredAction> actions) {
    actions_.clear();
    for (ConfiguredAction& action : actions) {
        const std::string name = action.config.name;
        actions_.emplace(name, std::move(action));
    }
}

base::Result<ActionPass> ActionLoop::run_due(const std::function<bool()>& stopping) {
    ActionPass pass;
    failing_.clear();
    SB_TRY(const auto taken, queue_.take(config_.owner, clock_(), config_.lease_time, config_.batch_max));
    pass.taken = taken.size();
    for (const ports::PendingAction& pending : taken) {
        if (stopping()) break;
        const auto status = run_one(pending, pass);
        // What another process has taken over is its business.
        if (!status && status.error().kind != base::ErrorKind::Conflict)
            return tl::unexpected<base::Error>(status.error());
    }
    return pass;
}

base::Status ActionLoop::run_one(const ports::PendingAction& pending, ActionPass& pass) {
    const base::WallTime now = clock_();
    const auto found = actions_.find(pending.request.action);
    if (found == actions_.end()) {
        return finish(pending, "refused",
                      fmt::format("the configuration has no action '{}' any more", pending.request.action), {}, pass);
    }
    const ConfiguredAction& action = found->second;
    const alarms::ActionRetry& retry = action.config.retry;
    // Tries that ended with their process have no outcome, and count all the same.
    if (pending.tries >= retry.tries_max)
        return finish(pending, "given up", fmt::format("{} tries came to nothing", pending.tries), {}, pass);
    if (now - pending.queued_at > retry.age_max) {
        return finish(pending, "given up",
                      fmt::format("it has waited for longer than {}{}{}", base::format_duration(retry.age_max),
                                  pending.last.empty() ? "" : "; at last: ", pending.last),
                      {}, pass);
    }
    if (const auto failing = failing_.find(action.config.name); failing != failing_.end())
        return put_off(pending, failing->second, "another action of its name has just failed", false, pass);
    if (action.config.rate_limit.count > 0 && pending.tries == 0) {
        SB_TRY(const auto begun, queue_.begun(action.config.name, now - action.config.rate_limit.interval,
                                              static_cast<std::size_t>(action.config.rate_limit.count)));
        const auto until = alarms::rate_limited_until(action.config.rate_limit, begun, now);
        // One entry for however long it waits.
        if (until) {
            const auto why = fmt::format("{} of {} in {}", over_rate, action.config.rate_limit.count,
                                         base::format_duration(action.config.rate_limit.interval));
            return put_off(pending, *until, why, !pending.last.starts_with(over_rate), pass);
        }
    }
    return try_it(pending, action, pass);
}

base::Status ActionLoop::try_it(const ports::PendingAction& pending, const ConfiguredAction& action, ActionPass& pass) {
    SB_TRY(const bool ours, queue_.begin(pending.request.id, config_.owner, clock_(), config_.lease_time));
    if (!ours) return {};
    ports::ActionRequest request = pending.request;
    request.dry_run = request.dry_run || action.config.dry_run;
    const auto result = action.runner->run(request);
    const ports::ActionOutcome outcome =
        result ? *result : ports::ActionOutcome{ports::ActionVerdict::Retry, result.error().text()};
    if (outcome.verdict == ports::ActionVerdict::Done)
        return finish(pending, request.dry_run ? "dry run" : "done", outcome.text, outcome.run, pass);
    if (outcome.verdict == ports::ActionVerdict::Refused) return finish(pending, "refused", outcome.text, {}, pass);

    const base::WallTime now = clock_();
    ports::PendingAction tried = pending;
    ++tried.tries;
    const auto again =
        alarms::next_try(action.config.retry, tried.tries, tried.queued_at, outcome.after, prng_.unit(), now);
    if (!again)
        return finish(pending, "given up", fmt::format("after {} tries: {}", tried.tries, outcome.text), {}, pass);
    failing_.emplace(action.config.name, *again);
    ++pass.again;
    ports::JournalEntry entry = entry_of(pending, "retry", outcome.text);
    entry.data["try"] = tried.tries;
    entry.data["again_at"] = base::format_time(*again);
    return queue_.end(pending.request.id, config_.owner, {*again, outcome.text}, {std::move(entry)});
}

base::Status ActionLoop::put_off(const ports::PendingAction& pending, base::WallTime until, const std::string& why,
                                 bool journaled, ActionPass& pass) {
    ++pass.again;
    std::vector<ports::JournalEntry> entries;
    if (journaled) {
        entries.push_back(entry_of(pending, "put off", why));
        entries.back().data["again_at"] = base::format_time(until);
    }
    // Without an entry, what is remembered of its own last try stays.
    return queue_.end(pending.request.id, config_.owner, {until, journaled ? why : pending.last}, entries);
}

base::Status ActionLoop::finish(const ports::PendingAction& pending, const std::string& outcome,
                                const std::string& text, const std::string& run, ActionPass& pass) {
    (outcome == "done" || outcome == "dry run" ? pass.done : pass.ended) += 1;
    ports::JournalEntry entry = entry_of(pending, outcome, text);
    entry.run = run;
    return queue_.end(pending.request.id, config_.owner, {std::nullopt, text.substr(0, text_max)}, {std::move(entry)});
}

ports::JournalEntry ActionLoop::entry_of(const ports::PendingAction& pending, const std::string& outcome,
                                         const std::string& text) const {
    const ports::ActionRequest& request = pending.request;
    ports::JournalEntry entry;
    entry.at = clock_();
    entry.kind = "action-run";
    // Beside what else is known of the table.
    entry.subject = request.table.empty() ? request.alarm : request.table;
    entry.data = {{"id", request.id}, {"alarm", request.alarm}, {"action", request.action}};
    if (const auto found = actions_.find(request.action); found != actions_.end())
        entry.data["kind"] = alarms::kind_of(found->second.config);
    if (const auto* state = request.transition.if_contains("state")) entry.data["state"] = *state;
    entry.data["outcome"] = outcome;
    entry.data["text"] = text.substr(0, text_max);
    return entry;
}

}  // namespace signalbox::engine
