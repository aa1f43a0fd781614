#pragma once
// A simulation's results for people and for programs. Pure.

#include <string>
#include <vector>

#include "base/json.hpp"
#include "engine/job_simulation.hpp"

namespace signalbox::app {

struct SimulationReport {
    engine::SimScenario scenario;
    engine::SimRequest request;
    std::vector<engine::SimResult> results;
    std::vector<std::string> notes;  // what the scenario could not know, when it was made from history
};

// One metric of SimMetrics: how JSON names it, and how people read it.
struct SimulationMetric {
    const char* name;   // "success"
    const char* title;  // "success rate"
    enum class Unit { Share, Seconds, Ratio } unit;
    bool more_is_better;
    std::optional<double> (*value)(const engine::SimMetrics&);
};
// In the order in which they are shown.
const std::vector<SimulationMetric>& simulation_metrics();
// "97.3 %", "45 s", "0.12"; "-" for nothing.
std::string metric_text(const SimulationMetric& metric, const std::optional<double>& value);
// "500 runs, submitted during outages, in 30 worlds (seeds 1 to 30)"
std::string counted_text(const SimulationReport& report);

std::string simulation_text(const SimulationReport& report);
// {"scenario", …, "strategies": [{"name", "model", "runs", "success", …, "per_seed": {"success": {"min", "max"}, …}}]};
// shares from 0 to 1, null where nothing was counted.
base::json::object simulation_json(const SimulationReport& report);

}  // namespace signalbox::app
