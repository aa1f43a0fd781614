#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

#include "engine/job_simulation.hpp"

namespace signalbox::engine {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

SimStrategy strategy(const std::string& name) {
    for (const SimStrategy& known : sim_strategies())
        if (known.name == name) return known;
    ADD_FAILURE() << "there is no strategy " << name;
    return {};
}

// Subnets a, b … in zones za, zb …, each with a connection via-a, via-b …; one job of 4 workers over all of them. Nodes
// take a second to start, and addresses come back at once.
SimScenario world(const std::vector<std::uint64_t>& addresses) {
    SimScenario scenario;
    scenario.name = "tiny";
    scenario.length = 2h;
    SimJob job;
    job.job.name = "load";
    job.job.workers = 4;
    job.job.max_concurrent_runs = 1000;
    job.job.retry.attempts_max = 3;
    job.run_time.median = 10min;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        const std::string letter(1, static_cast<char>('a' + i));
        scenario.zones.push_back("z" + letter);
        scenario.subnets.push_back({letter, "z" + letter, addresses[i]});
        jobs::Connection connection;
        connection.name = "via-" + letter;
        connection.subnet = letter;
        job.job.connections.push_back(connection);
    }
    scenario.jobs.push_back(job);
    scenario.start_time = {1s, 0};
    scenario.linger = {0s, 0};
    return scenario;
}

void submit_at(SimScenario& scenario, const std::vector<base::Duration>& times) {
    for (const base::Duration at : times) scenario.jobs.front().arrivals.push_back({at, std::nullopt, false});
}

SimOutage outage(const std::string& zone, base::Duration at, base::Duration length, SimOutageKind kind) {
    SimOutage result;
    result.zone = zone;
    result.at = at;
    result.length = length;
    result.kind = kind;
    result.fails_after.median = 1min;
    return result;
}

SimHistory run(const SimScenario& scenario, const std::string& name, std::uint64_t seed = 1) {
    auto history = simulate_once(scenario, strategy(name), seed);
    EXPECT_TRUE(history) << history.error().text();
    return history ? std::move(*history) : SimHistory{};
}

std::vector<std::string> connections_of(const SimRun& run) {
    std::vector<std::string> names;
    for (const SimAttempt& attempt : run.attempts) names.push_back(attempt.connection);
    return names;
}

std::vector<std::string> first_connections(const SimHistory& history) {
    std::vector<std::string> names;
    for (const SimRun& run : history.runs) names.push_back(run.attempts.front().connection);
    return names;
}

std::string told(const SimHistory& history) {
    std::string text;
    for (const SimRun& run : history.runs) {
        text += fmt::format("{} {} {}\n", run.submitted_at.count(), run.succeeded, run.ends);
        for (const SimAttempt& attempt : run.attempts)
            text +=
                fmt::format("  {} {} {} {} {} {}\n", attempt.connection, attempt.nodes, attempt.submitted_at.count(),
                            attempt.started_at.value_or(-1ns).count(), attempt.ended_at.count(), attempt.why);
    }
    return text;
}

// Everything at once: addresses run short, interfaces linger, zones fail in both ways, runs fail by themselves.
SimScenario rough_world() {
    SimScenario scenario = world({23, 30, 17});
    SimJob& job = scenario.jobs.front();
    job.runs_per_hour = {20, 60};
    job.bursts.push_back({30min, 40, 2min});
    job.run_time = {8min, 0.7};
    job.failure_share = 0.05;
    scenario.linger = {2min, 0.5};
    scenario.start_time = {30s, 0.5};
    scenario.outages = {outage("za", 20min, 40min, SimOutageKind::Gray),
                        outage("zb", 50min, 20min, SimOutageKind::Hard)};
    scenario.outages[0].announced_after = 15min;
    return scenario;
}

TEST(Simulation, the_same_seed_tells_the_same_history_and_another_one_another) {
    const SimScenario scenario = rough_world();
    for (const SimStrategy& each : sim_strategies()) {
        const std::string once = told(run(scenario, each.name, 7));
        EXPECT_EQ(once, told(run(scenario, each.name, 7))) << each.name;
        EXPECT_NE(once, told(run(scenario, each.name, 8))) << each.name;
    }
}

TEST(Simulation, every_strategy_meets_the_same_arrivals) {
    const SimHistory ours = run(rough_world(), "resilient");
    const SimHistory model = run(rough_world(), "aws-random");
    ASSERT_EQ(ours.runs.size(), model.runs.size());
    for (std::size_t i = 0; i < ours.runs.size(); ++i) EXPECT_EQ(ours.runs[i].submitted_at, model.runs[i].submitted_at);
}

TEST(Simulation, every_run_ends_once_and_no_subnet_ever_gives_more_addresses_than_it_has) {
    const SimScenario scenario = rough_world();
    for (const SimStrategy& each : sim_strategies()) {
        for (std::uint64_t seed = 1; seed <= 5; ++seed) {
            const SimHistory history = run(scenario, each.name, seed);
            ASSERT_GT(history.runs.size(), 80U);
            std::map<std::string, std::map<base::Duration, std::int64_t>> changes;
            for (const SimRun& one : history.runs) {
                EXPECT_EQ(one.ends, 1) << each.name;
                EXPECT_LE(one.attempts.size(), 3U);
                for (std::size_t i = 0; i < one.attempts.size(); ++i) {
                    const SimAttempt& attempt = one.attempts[i];
                    EXPECT_EQ(attempt.succeeded, one.succeeded && i + 1 == one.attempts.size());
                    if (!attempt.started_at) continue;
                    ASSERT_TRUE(attempt.released_at);
                    EXPECT_GE(*attempt.released_at, attempt.ended_at);
                    changes[attempt.subnet][*attempt.started_at] += static_cast<std::int64_t>(attempt.nodes);
                    changes[attempt.subnet][*attempt.released_at] -= static_cast<std::int64_t>(attempt.nodes);
                }
            }
            for (std::size_t i = 0; i < scenario.subnets.size(); ++i) {
                std::int64_t held = 0;
                for (const auto& [at, change] : changes[scenario.subnets[i].id]) {
                    held += change;
                    EXPECT_GE(held, 0);
                    EXPECT_LE(held, static_cast<std::int64_t>(scenario.subnets[i].addresses)) << each.name;
                }
                EXPECT_EQ(held, 0);
                EXPECT_EQ(history.free_at_end[i], scenario.subnets[i].addresses);
            }
        }
    }
}

TEST(Simulation, without_outages_and_with_addresses_enough_every_run_succeeds_at_once_and_at_full_size) {
    SimScenario scenario = world({250, 250});
    scenario.jobs.front().runs_per_hour = {60};
    scenario.jobs.front().run_time = {10min, 0.5};
    for (const SimStrategy& each : sim_strategies()) {
        SimTally tally(scenario);
        tally.add(run(scenario, each.name));
        const SimMetrics metrics = tally.metrics();
        EXPECT_GT(metrics.runs, 60U);
        EXPECT_EQ(metrics.success, 1.0) << each.name;
        EXPECT_EQ(metrics.first, 1.0) << each.name;
        EXPECT_EQ(metrics.full_size, 1.0) << each.name;
        EXPECT_EQ(metrics.retries_per_run, 0.0) << each.name;
        EXPECT_EQ(metrics.wait_p99_s, 1.0) << each.name;
        EXPECT_FALSE(metrics.retries_in_outage) << "there was none";
    }
}

TEST(Simulation, the_providers_own_choice_fills_the_first_subnet_and_starts_under_capacity_there) {
    SimScenario scenario = world({6, 6});
    submit_at(scenario, {0s, 10s, 20s});
    const SimHistory history = run(scenario, "aws-ordered");
    EXPECT_THAT(first_connections(history), ElementsAre("via-a", "via-a", "via-b"));
    EXPECT_EQ(history.runs[0].attempts[0].nodes, 4U);
    EXPECT_EQ(history.runs[1].attempts[0].nodes, 2U);
    EXPECT_EQ(history.runs[2].attempts[0].nodes, 4U);
    // Half of the nodes take twice as long.
    EXPECT_EQ(history.runs[0].attempts[0].ended_at, 10min + 1s);
    EXPECT_EQ(history.runs[1].attempts[0].ended_at, 10s + 1s + 20min);
}

TEST(Simulation, ours_goes_where_it_has_its_full_size) {
    SimScenario scenario = world({6, 6});
    submit_at(scenario, {0s, 10s});
    EXPECT_THAT(first_connections(run(scenario, "resilient")), ElementsAre("via-a", "via-b"));
}

TEST(Simulation, without_reservations_two_runs_are_promised_the_same_addresses_and_one_of_them_fails) {
    SimScenario scenario = world({4});
    submit_at(scenario, {0s, 0s});
    const SimHistory history = run(scenario, "aws-capacity");
    EXPECT_TRUE(history.runs[0].succeeded);
    EXPECT_THAT(history.runs[1].attempts.front().why, HasSubstr("no free addresses"));
    EXPECT_FALSE(history.runs[1].succeeded) << "all its attempts, a minute apart, meet the first run";
    EXPECT_THAT(history.runs[1].attempts, SizeIs(3));
    EXPECT_EQ(history.runs[1].attempts[1].submitted_at, 1s + 1min);
    for (const char* ours : {"resilient", "ordered", "random", "capacity"}) {
        const SimHistory reserved = run(scenario, ours);
        EXPECT_TRUE(reserved.runs[1].succeeded) << ours;
        EXPECT_THAT(reserved.runs[1].attempts, SizeIs(1)) << ours << " waits for the first run's addresses";
    }
}

TEST(Simulation, the_providers_own_choice_tries_the_same_connection_again_in_a_zone_that_is_down) {
    SimScenario scenario = world({100, 100});
    submit_at(scenario, {5min});
    scenario.outages = {outage("za", 0s, 1h, SimOutageKind::Hard)};
    const SimHistory history = run(scenario, "aws-ordered");
    EXPECT_THAT(connections_of(history.runs[0]), ElementsAre("via-a", "via-a", "via-a"));
    EXPECT_FALSE(history.runs[0].succeeded);
    const SimHistory ours = run(scenario, "resilient");
    EXPECT_THAT(connections_of(ours.runs[0]), ElementsAre("via-a", "via-b"));
    EXPECT_TRUE(ours.runs[0].succeeded);
}

TEST(Simulation, most_free_addresses_lead_back_into_the_zone_whose_failed_runs_gave_theirs_back) {
    SimScenario scenario = world({10, 10});
    submit_at(scenario, {0s, 10s, 100s, 200s});
    scenario.jobs.front().job.retry.attempts_max = 1;
    scenario.outages = {outage("za", 0s, 1h, SimOutageKind::Gray)};
    const SimHistory history = run(scenario, "aws-capacity");
    // The second run keeps 4 of b's addresses for ten minutes; a's are back after one.
    EXPECT_THAT(first_connections(history), ElementsAre("via-a", "via-b", "via-a", "via-a"));
    EXPECT_EQ(history.runs[0].attempts[0].ended_at, 1s + 1min);
    EXPECT_FALSE(history.runs[3].succeeded);
}

TEST(Simulation, the_recipes_shuffle_draws_every_connection_anew_at_each_attempt) {
    SimScenario scenario = world({1000, 1000});
    scenario.jobs.front().bursts.push_back({0s, 200, 1h});
    scenario.jobs.front().run_time.median = 1min;
    const auto names = first_connections(run(scenario, "aws-random"));
    EXPECT_THAT(std::count(names.begin(), names.end(), "via-a"), testing::AllOf(testing::Gt(70), testing::Lt(130)));
}

TEST(Simulation, a_hard_outage_ends_what_runs_there_and_nothing_starts) {
    SimScenario scenario = world({100});
    submit_at(scenario, {0s, 6min});
    scenario.jobs.front().job.retry.attempts_max = 1;
    scenario.outages = {outage("za", 5min, 10min, SimOutageKind::Hard)};
    const SimHistory history = run(scenario, "aws-ordered");
    EXPECT_EQ(history.runs[0].attempts[0].ended_at, 5min);
    EXPECT_THAT(history.runs[0].attempts[0].why, HasSubstr("gone"));
    EXPECT_FALSE(history.runs[1].attempts[0].started_at);
}

TEST(Simulation, a_gray_outage_spares_what_ends_before_it_strikes) {
    SimScenario scenario = world({100});
    scenario.jobs.front().job.retry.attempts_max = 1;
    scenario.outages = {outage("za", 0s, 5min, SimOutageKind::Gray)};
    scenario.jobs.front().arrivals = {{0s, 50s, false}, {0s, 70s, false}, {4min + 30s, 10min, false}};
    const SimHistory history = run(scenario, "aws-ordered");
    EXPECT_TRUE(history.runs[0].succeeded) << "it was done after 50 s";
    EXPECT_FALSE(history.runs[1].succeeded);
    EXPECT_TRUE(history.runs[2].succeeded) << "the outage was over before its minute was";
}

TEST(Simulation, an_announced_zone_is_avoided_by_all_from_the_announcement_on) {
    SimScenario scenario = world({100, 100});
    scenario.jobs.front().job.retry.attempts_max = 1;
    submit_at(scenario, {1min, 11min, 71min});
    scenario.outages = {outage("za", 0s, 1h, SimOutageKind::Gray)};
    scenario.outages[0].announced_after = 10min;
    scenario.outages[0].announced_longer = 10min;
    EXPECT_THAT(first_connections(run(scenario, "aws-ordered")), ElementsAre("via-a", "via-b", "via-a"));
}

TEST(Simulation, runs_that_fail_by_themselves_fail_everywhere) {
    SimScenario scenario = world({100, 100});
    scenario.jobs.front().arrivals = {{0s, 1min, true}};
    const SimHistory history = run(scenario, "resilient");
    EXPECT_FALSE(history.runs[0].succeeded);
    EXPECT_THAT(history.runs[0].attempts, SizeIs(3));
}

TEST(Simulation, runs_beyond_the_jobs_limit_queue_and_expire) {
    SimScenario scenario = world({100});
    submit_at(scenario, {0s, 1min, 2min});
    jobs::Job& job = scenario.jobs.front().job;
    job.max_concurrent_runs = 1;
    job.queue_time_max = 15min;
    const SimHistory history = run(scenario, "resilient");
    EXPECT_EQ(history.runs[0].attempts[0].ended_at, 10min + 1s);
    ASSERT_TRUE(history.runs[1].attempts[0].started_at);
    EXPECT_EQ(*history.runs[1].attempts[0].started_at, 10min + 1s + 1s + 1s) << "looked at a second later";
    EXPECT_FALSE(history.runs[2].succeeded);
    EXPECT_EQ(history.runs[2].attempts[0].ended_at, 17min);
    EXPECT_THAT(history.runs[2].attempts, SizeIs(1)) << "expired is final";
}

TEST(Simulation, a_world_that_needs_too_many_events_ends_with_an_error_that_names_it) {
    SimScenario scenario = world({100});
    scenario.jobs.front().bursts.push_back({0s, 100, 1min});
    scenario.events_max = 120;
    const auto stopped = simulate_once(scenario, strategy("aws-ordered"), 3);
    ASSERT_FALSE(stopped);
    EXPECT_THAT(stopped.error().text(), HasSubstr("scenario 'tiny' with aws-ordered and seed 3 needs more than 120"));
    scenario.jobs.front().bursts.front().runs = 1'000'000'000'000;
    const auto refused = simulate_once(scenario, strategy("aws-ordered"), 3);
    ASSERT_FALSE(refused) << "and is not even begun when its runs alone are too many";
    EXPECT_THAT(refused.error().text(), HasSubstr("submits about 1000000000000 runs"));
}

// A history by hand: an outage from 10 to 20 min; four runs.
SimHistory history_by_hand() {
    const auto attempt = [](base::Duration at, std::optional<base::Duration> started, std::uint64_t nodes, bool good) {
        SimAttempt result;
        result.submitted_at = at;
        result.started_at = started;
        result.nodes = nodes;
        result.succeeded = good;
        return result;
    };
    SimHistory history;
    // Before the outage: succeeded at once, at full size, after 30 s; one more attempt than needed is impossible.
    history.runs.push_back({0, 5min, {attempt(5min, 5min + 30s, 4, true)}, true, 1});
    // In the outage: failed to start, then ran with two nodes after 100 s.
    history.runs.push_back(
        {0, 12min, {attempt(12min, std::nullopt, 0, false), attempt(13min, 12min + 100s, 2, true)}, true, 1});
    // In the outage: its third attempt began when it was over.
    history.runs.push_back({0,
                            15min,
                            {attempt(15min, 15min + 40s, 4, false), attempt(18min, 18min + 40s, 4, false),
                             attempt(21min, 21min + 40s, 4, true)},
                            true,
                            1});
    // In the outage: never started.
    history.runs.push_back({0, 16min, {attempt(16min, std::nullopt, 0, false)}, false, 1});
    return history;
}

TEST(SimulationMetrics, each_is_what_is_computed_by_hand) {
    SimScenario scenario = world({100});
    scenario.outages = {outage("za", 10min, 10min, SimOutageKind::Gray)};
    SimTally tally(scenario);
    tally.add(history_by_hand());
    const SimMetrics metrics = tally.metrics();
    EXPECT_EQ(metrics.runs, 4U);
    EXPECT_EQ(metrics.success, 0.75);
    EXPECT_EQ(metrics.first, 0.25);
    EXPECT_EQ(metrics.full_size, 0.5);
    EXPECT_EQ(metrics.wait_p50_s, 40.0) << "of 30, 40 and 100";
    EXPECT_EQ(metrics.wait_p99_s, 100.0);
    EXPECT_EQ(metrics.retries_per_run, 0.75) << "three further attempts of four runs";
    EXPECT_EQ(metrics.retries_in_outage, 2.0 / 3) << "two of them during the outage, of three runs";
}

TEST(SimulationMetrics, only_runs_of_outages_count_where_the_scenario_says_so) {
    SimScenario scenario = world({100});
    scenario.outages = {outage("za", 10min, 10min, SimOutageKind::Gray)};
    scenario.count_outages_only = true;
    SimTally tally(scenario);
    tally.add(history_by_hand());
    const SimMetrics metrics = tally.metrics();
    EXPECT_EQ(metrics.runs, 3U);
    EXPECT_EQ(metrics.success, 2.0 / 3);
    EXPECT_EQ(metrics.first, 0.0);
    EXPECT_EQ(metrics.full_size, 1.0 / 3);
    EXPECT_EQ(metrics.wait_p50_s, 40.0);
    EXPECT_EQ(metrics.retries_per_run, 1.0);
}

TEST(SimulationMetrics, nothing_counted_is_nothing_known) {
    const SimScenario scenario = world({100});
    const SimMetrics metrics = SimTally(scenario).metrics();
    EXPECT_EQ(metrics.runs, 0U);
    EXPECT_FALSE(metrics.success);
    EXPECT_FALSE(metrics.wait_p50_s);
}

TEST(SimulationMetrics, the_99th_percentile_of_a_hundred_is_the_99th) {
    const SimScenario scenario = world({100});
    SimHistory history;
    for (int i = 1; i <= 100; ++i) {
        SimAttempt attempt;
        attempt.started_at = std::chrono::seconds(i);
        history.runs.push_back({0, 0s, {attempt}, true, 1});
    }
    SimTally tally(scenario);
    tally.add(history);
    EXPECT_EQ(tally.metrics().wait_p50_s, 50.0);
    EXPECT_EQ(tally.metrics().wait_p99_s, 99.0);
}

TEST(Simulation, results_are_of_all_seeds_together_and_of_each) {
    SimScenario scenario = world({100});
    scenario.jobs.front().runs_per_hour = {30};
    SimRequest request;
    request.strategies = {strategy("resilient"), strategy("aws-ordered")};
    request.seed = 5;
    request.seeds = 3;
    std::vector<std::size_t> told_done;
    const auto results = simulate(scenario, request, [&](std::size_t done, std::size_t of) {
        EXPECT_EQ(of, 6U);
        told_done.push_back(done);
    });
    ASSERT_TRUE(results);
    EXPECT_THAT(told_done, ElementsAre(1, 2, 3, 4, 5, 6));
    ASSERT_THAT(*results, SizeIs(2));
    ASSERT_THAT((*results)[0].per_seed, SizeIs(3));
    std::uint64_t runs = 0;
    for (const SimMetrics& seed : (*results)[0].per_seed) runs += seed.runs;
    EXPECT_EQ((*results)[0].all.runs, runs);
    SimTally alone(scenario);
    alone.add(run(scenario, "resilient", 6));
    EXPECT_EQ((*results)[0].per_seed[1].runs, alone.metrics().runs) << "the second seed is the one after the first";
}

}  // namespace
}  // namespace signalbox::engine
