#pragma once
// The registry of actions: configuration → the port that runs it.

#include <functional>
#include <memory>

#include "adapters/sqlite/run_store.hpp"
#include "app/config.hpp"
#include "engine/action_jobs.hpp"

namespace signalbox::app {

// What actions that concern jobs need. `runs` outlives them.
engine::JobActionPorts job_action_ports(const Config& config, sqlite::RunStore& runs);

// `stopping`: this program ends, and so must a command that runs.
std::shared_ptr<ports::ActionRunner> make_runner(const alarms::ActionConfig& action, const engine::JobActionPorts& jobs,
                                                 std::function<bool()> stopping);

}  // namespace signalbox::app
