#include <algorithm>
#include <cmath>

#include "engine/job_simulation.hpp"
#include "engine/job_simulation_plan.hpp"

namespace signalbox::engine {
namespace {

std::optional<double> share(std::uint64_t part, std::uint64_t of) {
    if (of == 0) return std::nullopt;
    return static_cast<double>(part) / static_cast<double>(of);
}

// By nearest rank: of fewer than 100, the 99th percentile is the largest.
std::optional<double> percentile(const std::vector<double>& sorted, double p) {
    if (sorted.empty()) return std::nullopt;
    const auto rank = static_cast<std::size_t>(std::ceil(p * static_cast<double>(sorted.size())));
    return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

}  // namespace

void SimTally::add(const SimHistory& history) {
    for (const SimRun& run : history.runs) {
        const bool in_outage = sim_in_outage(*scenario_, run.submitted_at);
        if (in_outage) ++runs_in_outage_;
        for (std::size_t i = 1; i < run.attempts.size(); ++i)
            if (sim_in_outage(*scenario_, run.attempts[i].submitted_at)) ++retries_in_outage_;
        if (scenario_->count_outages_only && !in_outage) continue;
        ++runs_;
        if (run.succeeded) ++succeeded_;
        if (run.attempts.front().succeeded) ++first_;
        const SimAttempt& last = run.attempts.back();
        if (last.nodes == static_cast<std::uint64_t>(scenario_->jobs[run.job].job.workers)) ++full_size_;
        retries_ += run.attempts.size() - 1;
        for (const SimAttempt& attempt : run.attempts) {
            if (!attempt.started_at) continue;
            waits_s_.push_back(base::to_ms(*attempt.started_at - run.submitted_at) / 1000);
            break;
        }
    }
}

SimMetrics SimTally::metrics() const {
    SimMetrics metrics;
    metrics.runs = runs_;
    metrics.success = share(succeeded_, runs_);
    metrics.first = share(first_, runs_);
    metrics.full_size = share(full_size_, runs_);
    std::vector<double> sorted = waits_s_;
    std::sort(sorted.begin(), sorted.end());
    metrics.wait_p50_s = percentile(sorted, 0.50);
    metrics.wait_p99_s = percentile(sorted, 0.99);
    metrics.retries_per_run = share(retries_, runs_);
    metrics.retries_in_outage = share(retries_in_outage_, runs_in_outage_);
    return metrics;
}

base::Result<std::vector<SimResult>> simulate(const SimScenario& scenario, const SimRequest& request,
                                              const std::function<void(std::size_t done, std::size_t of)>& progress) {
    std::vector<SimResult> results;
    const std::size_t worlds = request.strategies.size() * static_cast<std::size_t>(request.seeds);
    std::size_t done = 0;
    for (const SimStrategy& strategy : request.strategies) {
        SimResult& result = results.emplace_back();
        result.strategy = strategy;
        SimTally all(scenario);
        for (int i = 0; i < request.seeds; ++i) {
            SB_TRY(const SimHistory history, simulate_once(scenario, strategy, request.seed + i));
            SimTally one(scenario);
            one.add(history);
            all.add(history);
            result.per_seed.push_back(one.metrics());
            result.events += history.events;
            progress(++done, worlds);
        }
        result.all = all.metrics();
    }
    return results;
}

}  // namespace signalbox::engine
