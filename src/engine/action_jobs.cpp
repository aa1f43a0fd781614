#include "engine/action_jobs.hpp"

#include "engine/run_loop.hpp"

namespace signalbox::engine {
namespace {

using ports::ActionOutcome;
using ports::ActionVerdict;

constexpr std::size_t reason_max = 500;

std::string text_in(const ports::ActionRequest& request, std::string_view key) {
    const auto* value = request.transition.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

}  // namespace

base::Result<ActionOutcome> JobRunner::run(const ports::ActionRequest& request) {
    auto job = ports_.find(action_.job);
    if (!job) return ActionOutcome{ActionVerdict::Refused, job.error().text()};
    const std::string partition = text_in(request, "partition");
    const std::string state = text_in(request, "state");
    std::vector<std::pair<std::string, std::string>> arguments;
    std::string shown;
    for (const auto& [key, value] : action_.arguments) {
        arguments.emplace_back(
            key, alarms::fill_placeholders(
                     value,
                     {{"table", request.table}, {"partition", partition}, {"alarm", request.alarm}, {"state", state}}));
        shown += fmt::format(" {}={}", key, arguments.back().second);
    }
    if (request.dry_run)
        return ActionOutcome{ActionVerdict::Done, fmt::format("would start job '{}'{}", action_.job, shown)};
    SB_TRY(const auto pause, ports_.pauses.pause_of(action_.job));
    if (pause) {
        return ActionOutcome{ActionVerdict::Retry,
                             fmt::format("job '{}' is paused by {}: {}", action_.job, pause->by, pause->reason)};
    }
    const std::string id = ports_.new_id();
    const auto submitted = submit_run(
        ports_.store, {std::move(*job), id, ports_.directory(id), std::move(arguments), request.id}, ports_.clock());
    if (submitted) {
        return ActionOutcome{
            ActionVerdict::Done,
            fmt::format("run {}{}", submitted->run.id, submitted->created ? "" : ", as asked for before"), std::nullopt,
            submitted->run.id};
    }
    const bool never = submitted.error().kind == base::ErrorKind::Conflict;
    return ActionOutcome{never ? ActionVerdict::Refused : ActionVerdict::Retry, submitted.error().text()};
}

base::Result<ActionOutcome> PauseRunner::run(const ports::ActionRequest& request) {
    const std::string by = "action " + request.action;
    const auto state = alarms::parse_action_trigger(text_in(request, "state"));
    if (state == alarms::ActionTrigger::Ok) {
        if (!action_.resume_on_ok) return ActionOutcome{ActionVerdict::Done, "it is not resumed by this action"};
        if (request.dry_run)
            return ActionOutcome{ActionVerdict::Done, fmt::format("would resume job '{}'", action_.job)};
        SB_TRY(const auto ended, ports_.pauses.resume(action_.job, by, ports_.clock(), by));
        return ActionOutcome{ActionVerdict::Done, fmt::format("job '{}' {}", action_.job,
                                                              ended ? "is resumed" : "was not paused by this action")};
    }
    if (const auto job = ports_.find(action_.job); !job)
        return ActionOutcome{ActionVerdict::Refused, job.error().text()};
    if (request.dry_run) return ActionOutcome{ActionVerdict::Done, fmt::format("would pause job '{}'", action_.job)};
    std::string reason =
        fmt::format("alarm '{}'{}{}", request.alarm, request.table.empty() ? "" : " of ", request.table);
    if (const std::string evidence = text_in(request, "evidence"); !evidence.empty()) reason += ": " + evidence;
    const base::WallTime now = ports_.clock();
    SB_TRY(const auto standing, ports_.pauses.pause({action_.job, by, reason.substr(0, reason_max), now}));
    return ActionOutcome{ActionVerdict::Done, standing.by == by ? fmt::format("job '{}' is paused", action_.job)
                                                                : fmt::format("job '{}' was paused by {} already",
                                                                              action_.job, standing.by)};
}

}  // namespace signalbox::engine
