#include "app/action_runners.hpp"

#include "adapters/actions/command.hpp"
#include "adapters/actions/webhook.hpp"
#include "adapters/sinks/json_lines.hpp"
#include "adapters/sinks/otlp.hpp"

namespace signalbox::app {
namespace {

std::shared_ptr<ports::ActionRunner> make_runner(const alarms::ActionConfig& action, const engine::JobActionPorts& jobs,
                                                 const std::function<bool()>& stopping) {
    if (const auto* webhook = std::get_if<alarms::WebhookAction>(&action.what))
        return std::make_shared<actions::Webhook>(*webhook, jobs.clock);
    if (const auto* command = std::get_if<alarms::CommandAction>(&action.what))
        return std::make_shared<actions::Command>(*command, stopping);
    if (const auto* job = std::get_if<alarms::JobAction>(&action.what))
        return std::make_shared<engine::JobRunner>(*job, jobs);
    return std::make_shared<engine::PauseRunner>(std::get<alarms::PauseAction>(action.what), jobs);
}

}  // namespace

std::vector<engine::ConfiguredAction> make_actions(const std::vector<alarms::ActionConfig>& actions,
                                                   const engine::JobActionPorts& jobs,
                                                   const std::function<bool()>& stopping) {
    std::vector<engine::ConfiguredAction> made;
    for (const alarms::ActionConfig& action : actions) made.push_back({action, make_runner(action, jobs, stopping)});
    return made;
}

std::vector<std::unique_ptr<ports::MetricSink>> make_sinks(const SinksConfig& config) {
    std::vector<std::unique_ptr<ports::MetricSink>> made;
    if (config.json_lines)
        made.push_back(std::make_unique<sinks::JsonLines>(config.json_lines->path, config.json_lines->partitions_max));
    if (config.otlp) made.push_back(std::make_unique<sinks::Otlp>(*config.otlp));
    return made;
}

}  // namespace signalbox::app
