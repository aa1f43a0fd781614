#pragma once
// From the configuration's actions and sinks to what runs them.

#include <functional>
#include <memory>
#include <vector>

#include "app/config.hpp"
#include "engine/action_jobs.hpp"
#include "engine/action_loop.hpp"
#include "ports/metric_sink.hpp"

namespace signalbox::app {

// One runner for each configured action. `jobs`: what the actions on jobs need; its parts outlive the result.
// `stopping`: asked by commands under way.
std::vector<engine::ConfiguredAction> make_actions(const std::vector<alarms::ActionConfig>& actions,
                                                   const engine::JobActionPorts& jobs,
                                                   const std::function<bool()>& stopping);

// The sinks of the configuration, without the Prometheus page, which its server has to keep.
std::vector<std::unique_ptr<ports::MetricSink>> make_sinks(const SinksConfig& config);

}  // namespace signalbox::app
