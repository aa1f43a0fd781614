#pragma once
// Values that tests of decisions start from.

#include <string>
#include <vector>

#include "base/prng.hpp"
#include "domain/jobs/decision.hpp"

namespace signalbox::jobs {

inline const base::WallTime t0{std::chrono::hours(24 * 365 * 50)};
inline constexpr Strategy all_strategies[] = {Strategy::Ordered, Strategy::Random, Strategy::Capacity,
                                              Strategy::Resilient, Strategy::Program};

inline base::Fault broken() { return {"X", "no-way-out", base::Severity::Unusable, false, "found", "mend"}; }
inline base::Fault signal() { return {"S", "zone-impaired", base::Severity::Unusable, true, "found", "mend"}; }

// A place in a zone and a subnet of its own: "one" is in "z-one" and "s-one".
inline Candidate place(const std::string& name, std::uint64_t available, std::vector<base::Fault> faults = {}) {
    Candidate candidate;
    candidate.connection.name = name;
    candidate.connection.subnet = "s-" + name;
    candidate.zone = "z-" + name;
    candidate.free_addresses = candidate.available = available;
    candidate.faults = std::move(faults);
    return candidate;
}

inline Tried tried(const std::string& name, const std::string& zone, RetryClass retry) {
    return {name, "s-" + name, zone, retry};
}

inline DecisionInput input_of(Strategy strategy, int workers, std::vector<Candidate> candidates) {
    DecisionInput input;
    input.job.name = "load";
    input.job.strategy = strategy;
    input.job.workers = workers;
    input.candidates = std::move(candidates);
    for (const Candidate& candidate : input.candidates) input.job.connections.push_back(candidate.connection);
    input.at = input.facts_at = input.deciding_since = t0;
    return input;
}

// Other values for everything that random_input leaves alone.
inline void vary(base::Prng& prng, DecisionInput& input) {
    const auto some = [&](std::uint64_t bound) { return prng.below(bound); };
    const auto moment = [&] { return t0 + base::Duration(static_cast<std::int64_t>(some(600'000'000'000))); };
    input.at = moment();
    input.facts_at = moment();
    input.deciding_since = moment();
    input.job.low_risk = prng.chance(0.5);
    input.job.workers_min = static_cast<int>(1 + some(static_cast<std::uint64_t>(input.job.workers)));
    input.job.connections.clear();
    for (Candidate& candidate : input.candidates) {
        candidate.way_out = "nat nat-1";
        candidate.coming_back = some(3);
        if (prng.chance(0.5)) candidate.back_at = moment();
        candidate.size = some(300);
        candidate.health.state = static_cast<BreakerState>(some(3));
        candidate.health.badness = prng.unit();
        candidate.health.reason = "zone 'x' is \"so\"";
        if (prng.chance(0.3)) candidate.faults.push_back(signal());
        if (prng.chance(0.5)) candidate.connection.data_source = base::HostPort{"10.0.0.1", 3306};
        input.job.connections.push_back(candidate.connection);
    }
    for (std::uint64_t i = some(4); i > 0; --i)
        input.tried.push_back(tried("c" + std::to_string(some(12)), "z-c1", static_cast<RetryClass>(some(4))));
    if (prng.chance(0.7)) {
        input.program.emplace();
        for (std::uint64_t i = some(6); i > 0; --i) input.program->names.push_back("c" + std::to_string(some(14)));
        if (prng.chance(0.2)) input.program->fault = "exit 1";
    }
}

inline std::vector<std::string> names(const Decision& decision) {
    std::vector<std::string> names;
    for (const std::size_t i : decision.order) names.push_back(decision.candidates[i].candidate.connection.name);
    return names;
}

inline std::string chosen_name(const Decision& decision) {
    return decision.choice() == nullptr ? "" : decision.choice()->candidate.connection.name;
}

}  // namespace signalbox::jobs
