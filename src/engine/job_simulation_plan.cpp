#include "engine/job_simulation_plan.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace signalbox::engine {
namespace {

using base::Duration;

constexpr Duration hour = std::chrono::hours(1);

// Of a rate that is constant within an hour; at an hour's end the waiting begins anew, which a Poisson process
// forgives.
void add_by_rate(const SimScenario& scenario, const SimJob& job, std::size_t index, base::Prng& prng,
                 std::vector<SimPlannedRun>& runs) {
    for (std::size_t i = 0; !job.runs_per_hour.empty() && static_cast<std::int64_t>(i) * hour < scenario.length; ++i) {
        const double rate = job.runs_per_hour[i % job.runs_per_hour.size()];
        if (rate <= 0) continue;
        const Duration begin = static_cast<std::int64_t>(i) * hour;
        const Duration end = std::min(begin + hour, scenario.length);
        for (Duration at = begin;;) {
            const double hours = -std::log1p(-prng.unit()) / rate;
            at += Duration(static_cast<std::int64_t>(std::min(hours, 2.0) * static_cast<double>(hour.count())));
            if (at >= end) break;
            runs.push_back({index, at, {}, false});
        }
    }
}

}  // namespace

base::Prng sim_prng(std::uint64_t seed, SimDraw draw, std::uint64_t index, std::uint64_t attempt) {
    // Four generators in a row, each seeded by what the one before says and the next number.
    std::uint64_t mixed = seed;
    for (const std::uint64_t part : {static_cast<std::uint64_t>(draw), index, attempt})
        mixed = base::Prng(mixed ^ (part * 0x9E3779B97F4A7C15ULL)).next();
    return base::Prng(mixed);
}

Duration sim_draw(const SimSpread& spread, base::Prng& prng) {
    if (!spread.samples.empty()) return spread.samples[prng.below(spread.samples.size())];
    if (spread.sigma <= 0) return std::min(spread.median, spread.max);
    // Box and Muller's normal variate.
    const double radius = std::sqrt(-2.0 * std::log1p(-prng.unit()));
    const double normal = radius * std::cos(2.0 * std::numbers::pi * prng.unit());
    const double length = static_cast<double>(spread.median.count()) * std::exp(spread.sigma * normal);
    return Duration(static_cast<std::int64_t>(std::min(length, static_cast<double>(spread.max.count()))));
}

double sim_expected_runs(const SimScenario& scenario) {
    double expected = 0;
    for (const SimJob& job : scenario.jobs) {
        expected += static_cast<double>(job.arrivals.size());
        for (const SimBurst& burst : job.bursts) expected += static_cast<double>(burst.runs);
        for (std::size_t i = 0; !job.runs_per_hour.empty() && static_cast<std::int64_t>(i) * hour < scenario.length;
             ++i)
            expected += job.runs_per_hour[i % job.runs_per_hour.size()];
    }
    return expected;
}

std::vector<SimPlannedRun> sim_plan(const SimScenario& scenario, std::uint64_t seed) {
    std::vector<SimPlannedRun> runs;
    for (std::size_t i = 0; i < scenario.jobs.size(); ++i) {
        const SimJob& job = scenario.jobs[i];
        base::Prng prng = sim_prng(seed, SimDraw::Arrivals, i);
        std::vector<SimPlannedRun> of_job;
        add_by_rate(scenario, job, i, prng, of_job);
        for (const SimBurst& burst : job.bursts)
            for (std::int64_t k = 0; k < burst.runs; ++k)
                of_job.push_back({i, burst.at + burst.over * k / burst.runs, {}, false});
        for (const SimArrival& arrival : job.arrivals)
            of_job.push_back({i, arrival.at, arrival.run_time.value_or(Duration::zero()), arrival.fails});
        for (std::size_t k = 0; k < of_job.size(); ++k) {
            const std::uint64_t index = (static_cast<std::uint64_t>(i) << 32) + k;
            base::Prng time = sim_prng(seed, SimDraw::RunTime, index);
            base::Prng failure = sim_prng(seed, SimDraw::OwnFailure, index);
            if (of_job[k].run_time <= Duration::zero())
                of_job[k].run_time = std::max(sim_draw(job.run_time, time), Duration(std::chrono::seconds(1)));
            of_job[k].fails = of_job[k].fails || failure.chance(job.failure_share);
        }
        runs.insert(runs.end(), of_job.begin(), of_job.end());
    }
    std::stable_sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
    return runs;
}

network::Facts sim_facts(const SimScenario& scenario) {
    network::Facts facts;
    const network::Range everywhere{0, 0};
    for (const std::string& zone : scenario.zones) facts.zones.push_back({zone, "available"});
    network::Network network;
    network.id = "net";
    network.range = {10U << 24, 8};
    network.state = "available";
    facts.networks.push_back(network);
    for (std::size_t i = 0; i < scenario.subnets.size(); ++i) {
        const SimSubnet& from = scenario.subnets[i];
        network::Subnet subnet;
        subnet.id = from.id;
        subnet.network = network.id;
        subnet.zone = from.zone;
        subnet.range = {(10U << 24) + (static_cast<std::uint32_t>(i) << 16), 16};
        subnet.state = "available";
        subnet.free_addresses = from.addresses;
        facts.subnets.push_back(subnet);
        network::NatGateway nat;
        nat.id = "nat-" + from.id;
        nat.subnet = from.id;
        nat.zone = from.zone;
        nat.state = "available";
        facts.nat_gateways.push_back(nat);
        network::RouteTable table;
        table.id = "table-" + from.id;
        table.network = network.id;
        table.subnets = {from.id};
        table.routes.push_back({network.range, network::TargetKind::Local, "local", false});
        table.routes.push_back({everywhere, network::TargetKind::Nat, nat.id, false});
        facts.route_tables.push_back(table);
    }
    network::SecurityGroup group;
    group.id = sim_group;
    group.network = network.id;
    group.ingress.push_back({"all", 0, 65535, sim_group, std::nullopt});
    group.egress.push_back({"all", 0, 65535, "", everywhere});
    facts.security_groups.push_back(group);
    return facts;
}

std::optional<SimStrike> sim_strike(const SimScenario& scenario, const std::string& zone, Duration start, Duration end,
                                    std::uint64_t seed, std::uint64_t run, std::uint64_t attempt) {
    std::optional<SimStrike> first;
    for (std::size_t i = 0; i < scenario.outages.size(); ++i) {
        const SimOutage& outage = scenario.outages[i];
        if (outage.zone != zone || outage.end() <= start || outage.at >= end) continue;
        SimStrike strike{std::max(outage.at, start), SimSymptom::Lost};
        if (outage.kind == SimOutageKind::Gray) {
            base::Prng prng = sim_prng(seed, SimDraw::FailsAfter, run, attempt * scenario.outages.size() + i);
            strike.at += sim_draw(outage.fails_after, prng);
            strike.symptom = outage.symptom;
        }
        // What did not fail before the outage was over, or before the run was, does not fail of it.
        if (strike.at >= std::min(end, outage.end())) continue;
        if (!first || strike.at < first->at) first = strike;
    }
    return first;
}

bool sim_down(const SimScenario& scenario, const std::string& zone, Duration at) {
    return std::any_of(scenario.outages.begin(), scenario.outages.end(), [&](const SimOutage& outage) {
        return outage.kind == SimOutageKind::Hard && outage.zone == zone && outage.at <= at && at < outage.end();
    });
}

bool sim_announced(const SimScenario& scenario, const std::string& zone, Duration at) {
    return std::any_of(scenario.outages.begin(), scenario.outages.end(), [&](const SimOutage& outage) {
        return outage.announced_after && outage.zone == zone && outage.at + *outage.announced_after <= at &&
               at < outage.end() + outage.announced_longer;
    });
}

bool sim_in_outage(const SimScenario& scenario, Duration at) {
    return std::any_of(scenario.outages.begin(), scenario.outages.end(),
                       [&](const SimOutage& outage) { return outage.at <= at && at < outage.end(); });
}

}  // namespace signalbox::engine
