#pragma once
// What chance and the scenario decide in a simulated world, whatever the strategies do: who arrives when, how long each
// run takes, what fails. Every draw has a generator of its own, so that all strategies meet the same world.

#include <cstdint>
#include <vector>

#include "base/prng.hpp"
#include "domain/network/facts.hpp"
#include "engine/job_simulation.hpp"

namespace signalbox::engine {

enum class SimDraw : std::uint64_t { Arrivals = 1, RunTime, OwnFailure, StartTime, Linger, FailsAfter, Id };

base::Prng sim_prng(std::uint64_t seed, SimDraw draw, std::uint64_t index, std::uint64_t attempt = 0);
base::Duration sim_draw(const SimSpread& spread, base::Prng& prng);

struct SimPlannedRun {
    std::size_t job = 0;
    base::Duration at{};
    base::Duration run_time{};
    bool fails = false;  // wherever it runs
};
// About so many runs a world will have.
double sim_expected_runs(const SimScenario& scenario);
// In the order of time; of the same time, in the jobs' order.
std::vector<SimPlannedRun> sim_plan(const SimScenario& scenario, std::uint64_t seed);

// The scenario's networks as a provider would tell them, all in order: one network, a table and a NAT gateway for each
// subnet, one security group that lets its own in. Subnets stand in the scenario's order.
network::Facts sim_facts(const SimScenario& scenario);
// The security group's id.
inline constexpr const char* sim_group = "sg-runs";

// What becomes of an attempt that starts at `start` and would end well at `end`: the first outage that ends it, if any.
struct SimStrike {
    base::Duration at{};
    SimSymptom symptom = SimSymptom::Lost;
};
std::optional<SimStrike> sim_strike(const SimScenario& scenario, const std::string& zone, base::Duration start,
                                    base::Duration end, std::uint64_t seed, std::uint64_t run, std::uint64_t attempt);
// A hard outage of the zone is on.
bool sim_down(const SimScenario& scenario, const std::string& zone, base::Duration at);
// The provider says that the zone is impaired.
bool sim_announced(const SimScenario& scenario, const std::string& zone, base::Duration at);
// Any outage is on.
bool sim_in_outage(const SimScenario& scenario, base::Duration at);

}  // namespace signalbox::engine
