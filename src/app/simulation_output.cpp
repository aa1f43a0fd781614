#include "app/simulation_output.hpp"

#include <algorithm>
#include <cmath>

#include "base/table_text.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;
using engine::SimMetrics;
using engine::SimResult;
using Unit = SimulationMetric::Unit;

// Six digits after the point: more would be noise.
json::value number(const std::optional<double>& value) {
    if (!value) return nullptr;
    return std::round(*value * 1e6) / 1e6;
}

std::string model_text(jobs::Strategy strategy) {
    switch (strategy) {
        case jobs::Strategy::Ordered:
            return "the provider's own: the first connection that passes";
        case jobs::Strategy::Random:
            return "the published recipe: shuffled before each attempt";
        default:
            return "the published recipe: most free addresses before each attempt";
    }
}

json::object per_seed(const SimResult& result) {
    json::object object;
    for (const SimulationMetric& metric : simulation_metrics()) {
        std::optional<double> min;
        std::optional<double> max;
        for (const SimMetrics& seed : result.per_seed) {
            const auto value = metric.value(seed);
            if (!value) continue;
            min = min ? std::min(*min, *value) : *value;
            max = max ? std::max(*max, *value) : *value;
        }
        object[metric.name] = json::object{{"min", number(min)}, {"max", number(max)}};
    }
    return object;
}

}  // namespace

const std::vector<SimulationMetric>& simulation_metrics() {
    static const std::vector<SimulationMetric> metrics = {
        {"success", "success", Unit::Share, true, [](const SimMetrics& m) { return m.success; }},
        {"first", "first-attempt success", Unit::Share, true, [](const SimMetrics& m) { return m.first; }},
        {"full_size", "at full size", Unit::Share, true, [](const SimMetrics& m) { return m.full_size; }},
        {"wait_p50_s", "wait, median", Unit::Seconds, false, [](const SimMetrics& m) { return m.wait_p50_s; }},
        {"wait_p99_s", "wait, 99th percentile", Unit::Seconds, false, [](const SimMetrics& m) { return m.wait_p99_s; }},
        {"retries_per_run", "retries per run", Unit::Ratio, false,
         [](const SimMetrics& m) { return m.retries_per_run; }},
        {"retries_in_outage", "retries in outages", Unit::Ratio, false,
         [](const SimMetrics& m) { return m.retries_in_outage; }},
    };
    return metrics;
}

std::string metric_text(const SimulationMetric& metric, const std::optional<double>& value) {
    if (!value) return "-";
    switch (metric.unit) {
        case Unit::Share:
            // 99.96 % must not read as 100.
            return fmt::format("{:.1f} %", std::floor(*value * 1000 + 1e-9) / 10);
        case Unit::Seconds:
            return *value < 120 ? fmt::format("{:.0f} s", *value) : fmt::format("{:.1f} min", *value / 60);
        case Unit::Ratio:
            break;
    }
    return fmt::format("{:.2f}", *value);
}

std::string counted_text(const SimulationReport& report) {
    const std::uint64_t runs = report.results.empty() ? 0 : report.results.front().all.runs;
    const auto& request = report.request;
    const std::string worlds = request.seeds == 1
                                   ? fmt::format("in one world (seed {})", request.seed)
                                   : fmt::format("in {} worlds (seeds {} to {})", request.seeds, request.seed,
                                                 request.seed + static_cast<std::uint64_t>(request.seeds) - 1);
    return fmt::format("{} runs{} {}", runs,
                       report.scenario.count_outages_only ? ", all those submitted during outages," : "", worlds);
}

std::string simulation_text(const SimulationReport& report) {
    std::string text = fmt::format("{}: {}\n{}\n\n", report.scenario.name, report.scenario.about, counted_text(report));
    base::TableText table(
        {"STRATEGY", "SUCCESS", "FIRST", "FULL SIZE", "WAIT P50", "WAIT P99", "RETRIES/RUN", "IN OUTAGES"});
    for (const SimResult& result : report.results) {
        std::vector<std::string> row = {result.strategy.name};
        for (const SimulationMetric& metric : simulation_metrics())
            row.push_back(metric_text(metric, metric.value(result.all)));
        table.row(std::move(row));
    }
    text += table.render();
    std::string models;
    for (const SimResult& result : report.results)
        if (result.strategy.model)
            models += fmt::format("  {}: {}\n", result.strategy.name, model_text(result.strategy.strategy));
    if (!models.empty()) text += "\nmodels of what there is without signalbox:\n" + models;
    for (const std::string& note : report.notes) text += "note: " + note + "\n";
    return text;
}

json::object simulation_json(const SimulationReport& report) {
    json::array strategies;
    for (const SimResult& result : report.results) {
        json::object object{
            {"name", result.strategy.name}, {"model", result.strategy.model}, {"runs", result.all.runs}};
        for (const SimulationMetric& metric : simulation_metrics())
            object[metric.name] = number(metric.value(result.all));
        object["per_seed"] = per_seed(result);
        object["events"] = result.events;
        strategies.push_back(std::move(object));
    }
    json::array notes;
    for (const std::string& note : report.notes) notes.emplace_back(note);
    return {{"scenario", report.scenario.name},
            {"about", report.scenario.about},
            {"seed", report.request.seed},
            {"seeds", report.request.seeds},
            {"counted", report.scenario.count_outages_only ? "outages" : "all"},
            {"notes", std::move(notes)},
            {"strategies", std::move(strategies)}};
}

}  // namespace signalbox::app
