#include "app/action_runners.hpp"

#include "adapters/actions/command.hpp"
#include "adapters/actions/webhook.hpp"
#include "app/job_context.hpp"

namespace signalbox::app {

engine::JobActionPorts job_action_ports(const Config& config, sqlite::RunStore& runs) {
    const auto jobs = std::make_shared<const JobsConfig>(config.jobs);
    return {runs,
            runs,
            [jobs](const std::string& name) -> base::Result<jobs::Job> {
                if (const jobs::Job* job = jobs->find(name)) return *job;
                return base::fail(base::ErrorKind::NotFound, "there is no job '{}'", name);
            },
            [] { return new_run_id(); },
            [config](const std::string& id) { return run_directory(config, id); },
            [] { return wall_clock(); }};
}

std::shared_ptr<ports::ActionRunner> make_runner(const alarms::ActionConfig& action, const engine::JobActionPorts& jobs,
                                                 std::function<bool()> stopping) {
    if (const auto* webhook = std::get_if<alarms::WebhookAction>(&action.what))
        return std::make_shared<actions::Webhook>(*webhook, [] { return wall_clock(); });
    if (const auto* command = std::get_if<alarms::CommandAction>(&action.what))
        return std::make_shared<actions::Command>(*command, std::move(stopping));
    if (const auto* job = std::get_if<alarms::JobAction>(&action.what))
        return std::make_shared<engine::JobRunner>(*job, jobs);
    return std::make_shared<engine::PauseRunner>(std::get<alarms::PauseAction>(action.what), jobs);
}

}  // namespace signalbox::app
