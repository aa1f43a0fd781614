#include "adapters/actions/command.hpp"

#include <algorithm>

#include "adapters/actions/message.hpp"
#include "adapters/process/promote_hook.hpp"

namespace signalbox::actions {
namespace {

using ports::ActionOutcome;
using ports::ActionVerdict;

constexpr int permanent_codes[] = {64, 65, 66, 77, 78};
// An environment has a bound; the whole is on the standard input.
constexpr std::size_t value_max = 4096;

std::map<std::string, std::string> environment_of(const ports::ActionRequest& request) {
    std::map<std::string, std::string> environment{{"SIGNALBOX_ACTION_ID", request.id},
                                                   {"SIGNALBOX_ACTION", request.action},
                                                   {"SIGNALBOX_ALARM", request.alarm},
                                                   {"SIGNALBOX_TABLE", request.table}};
    constexpr std::pair<const char*, const char*> from_transition[] = {{"SIGNALBOX_STATE", "state"},
                                                                       {"SIGNALBOX_PREVIOUS", "previous"},
                                                                       {"SIGNALBOX_PARTITION", "partition"},
                                                                       {"SIGNALBOX_EVIDENCE", "evidence"},
                                                                       {"SIGNALBOX_PLAYBOOK", "playbook"}};
    for (const auto& [name, key] : from_transition) {
        const auto* value = request.transition.if_contains(key);
        const bool is_text = value != nullptr && value->is_string();
        environment[name] = is_text ? one_line(std::string(value->get_string()), value_max) : "";
    }
    return environment;
}

}  // namespace

base::Result<ActionOutcome> Command::run(const ports::ActionRequest& request) {
    const std::string name = action_.command.empty() ? "" : action_.command.front();
    if (request.dry_run) return ActionOutcome{ActionVerdict::Done, fmt::format("would run {}", name)};
    process::HookRun run;
    run.command = action_.command;
    run.environment = environment_of(request);
    run.deadline = action_.deadline;
    run.input = base::json::serialize(message_of(request)) + "\n";
    run.directory = action_.directory;
    const auto said = process::run_hook(run, stopping_);
    if (said)
        return ActionOutcome{ActionVerdict::Done,
                             said->empty() ? fmt::format("{} ended with status 0", name)
                                           : fmt::format("{} ended with status 0; it said: {}", name, *said)};
    const bool permanent = std::find(std::begin(permanent_codes), std::end(permanent_codes), said.error().code) !=
                           std::end(permanent_codes);
    return ActionOutcome{permanent ? ActionVerdict::Refused : ActionVerdict::Retry, said.error().text()};
}

}  // namespace signalbox::actions
