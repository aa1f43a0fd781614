#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/job_simulation_past.hpp"

namespace signalbox::engine {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
namespace json = base::json;

const base::WallTime noon = *base::parse_time("2026-03-01T12:00:00Z");

jobs::Job job() {
    jobs::Job job;
    job.name = "load";
    job.workers = 4;
    for (const char* letter : {"a", "b"}) {
        jobs::Connection connection;
        connection.name = std::string("via-") + letter;
        connection.subnet = std::string("data-") + letter;
        job.connections.push_back(connection);
    }
    return job;
}

json::object candidate(const std::string& letter, int free, bool impaired) {
    json::array faults;
    if (impaired) faults.push_back(json::object{{"code", "SB-NET-005"}});
    return {{"connection", "via-" + letter},
            {"subnet", "data-" + letter},
            {"zone", "z" + letter},
            {"free_addresses", free},
            {"faults", std::move(faults)}};
}

struct Made {
    std::string id = "jr_1";
    std::string letter = "a";
    base::Duration at{};
    base::Duration took = 10min;
    jobs::RunState state = jobs::RunState::Succeeded;
    std::optional<jobs::RetryClass> verdict{};
    std::size_t nodes = 4;
    bool impaired = false;
};

// An attempt that started 30 s after it was submitted. Its decision saw 20 free addresses in a and 40 in b.
jobs::Run make(const Made& made) {
    jobs::Run run;
    run.id = made.id;
    run.job = job();
    run.state = made.state;
    run.submitted_at = noon + made.at;
    run.starting_at = run.submitted_at;
    run.running_at = run.submitted_at + 30s;
    run.ended_at = *run.running_at + made.took;
    run.connection = run.job.connections[made.letter == "a" ? 0 : 1];
    run.zone = "z" + made.letter;
    run.nodes.resize(made.nodes);
    if (made.verdict) run.verdict = jobs::Verdict{*made.verdict, "by hand"};
    run.decision = {{"at", base::format_time(run.submitted_at)},
                    {"candidates", json::array{candidate("a", 20, made.impaired), candidate("b", 40, false)}}};
    return run;
}

SimPast past_of(std::vector<jobs::Run> attempts) {
    auto past = simulate_past(std::move(attempts));
    EXPECT_TRUE(past) << past.error().text();
    return past ? std::move(*past) : SimPast{};
}

TEST(SimulationPast, arrivals_run_times_and_sizes_are_those_that_were) {
    const SimPast past = past_of({make({.id = "jr_2", .at = 5min, .took = 20min, .nodes = 2}), make({.id = "jr_1"})});
    const SimScenario& scenario = past.scenario;
    ASSERT_THAT(scenario.jobs, SizeIs(1));
    const SimJob& load = scenario.jobs[0];
    ASSERT_THAT(load.arrivals, SizeIs(2));
    EXPECT_EQ(load.arrivals[0].at, 0s);
    EXPECT_EQ(load.arrivals[1].at, 5min);
    EXPECT_EQ(load.arrivals[0].run_time, base::Duration(10min));
    EXPECT_EQ(load.arrivals[1].run_time, base::Duration(10min)) << "20 minutes with half of its nodes";
    EXPECT_EQ(load.job.workers, 4);
    EXPECT_EQ(scenario.length, 5min + 1s);
    EXPECT_THAT(scenario.start_time.samples, ElementsAre(30s, 30s));
    EXPECT_THAT(scenario.zones, ElementsAre("za", "zb"));
    EXPECT_TRUE(scenario.outages.empty());
}

TEST(SimulationPast, a_subnet_has_what_was_seen_free_with_what_our_own_runs_held_then) {
    const SimPast past = past_of({make({.id = "jr_1"}), make({.id = "jr_2", .at = 5min})});
    ASSERT_THAT(past.scenario.subnets, SizeIs(2));
    EXPECT_EQ(past.scenario.subnets[0].id, "data-a");
    EXPECT_EQ(past.scenario.subnets[0].addresses, 24U) << "20 free, and 4 of the first run at the second's decision";
    EXPECT_EQ(past.scenario.subnets[1].addresses, 40U);
}

TEST(SimulationPast, two_place_failures_in_a_row_are_an_outage_of_their_zone) {
    using jobs::RetryClass;
    using jobs::RunState;
    const SimPast past = past_of(
        {make({.id = "jr_1"}),  // ends well at 10 min 30 s
         make({.id = "jr_2", .at = 20min, .took = 5min, .state = RunState::Failed, .verdict = RetryClass::Connection}),
         make({.id = "jr_3",
               .at = 30min,
               .took = 3min,
               .state = RunState::Failed,
               .verdict = RetryClass::Zone,
               .impaired = true}),
         make({.id = "jr_4", .letter = "b", .at = 31min})});
    ASSERT_THAT(past.scenario.outages, SizeIs(1));
    const SimOutage& outage = past.scenario.outages[0];
    EXPECT_EQ(outage.zone, "za");
    EXPECT_EQ(outage.at, 20min + 30s) << "when the first one that failed had started";
    EXPECT_EQ(outage.end(), 33min + 30s + 1s) << "just after the last failure";
    EXPECT_THAT(outage.fails_after.samples, ElementsAre(5min, 3min));
    EXPECT_EQ(outage.symptom, SimSymptom::Network);
    EXPECT_EQ(outage.announced_after, base::Duration(9min + 30s)) << "the third run's decision saw it";
    EXPECT_THAT(past.notes, testing::Contains(HasSubstr("zone 'za' is taken to have been out")));
    for (const SimArrival& arrival : past.scenario.jobs[0].arrivals) EXPECT_FALSE(arrival.fails);
}

TEST(SimulationPast, one_failure_or_failures_among_many_successes_are_none) {
    using jobs::RetryClass;
    using jobs::RunState;
    std::vector<jobs::Run> attempts = {
        make({.id = "jr_1", .took = 5min, .state = RunState::Failed, .verdict = RetryClass::Connection})};
    EXPECT_TRUE(past_of(attempts).scenario.outages.empty());
    attempts.push_back(
        make({.id = "jr_2", .at = 30min, .took = 5min, .state = RunState::Failed, .verdict = RetryClass::Connection}));
    EXPECT_THAT(past_of(attempts).scenario.outages, SizeIs(1));
    for (int i = 0; i < 3; ++i)
        attempts.push_back(make({.id = fmt::format("jr_ok{}", i), .at = 10min + i * 1min, .took = 2min}));
    EXPECT_TRUE(past_of(attempts).scenario.outages.empty());
}

TEST(SimulationPast, what_failed_by_itself_would_have_failed_anywhere) {
    jobs::Run bad =
        make({.id = "jr_2", .at = 5min, .state = jobs::RunState::Failed, .verdict = jobs::RetryClass::Permanent});
    bad.exit_code = 65;
    const SimPast past = past_of({make({.id = "jr_1"}), bad});
    ASSERT_THAT(past.scenario.jobs[0].arrivals, SizeIs(2));
    EXPECT_FALSE(past.scenario.jobs[0].arrivals[0].fails);
    EXPECT_TRUE(past.scenario.jobs[0].arrivals[1].fails);
    EXPECT_EQ(past.scenario.jobs[0].failure_exit_code, 65);
}

TEST(SimulationPast, later_attempts_are_no_arrivals_of_their_own) {
    jobs::Run second = make({.id = "jr_1_attempt_1", .letter = "b", .at = 6min, .took = 8min});
    second.attempt = 1;
    const SimPast past = past_of(
        {make({.id = "jr_1", .took = 5min, .state = jobs::RunState::Failed, .verdict = jobs::RetryClass::Connection}),
         second});
    ASSERT_THAT(past.scenario.jobs[0].arrivals, SizeIs(1));
    EXPECT_EQ(past.scenario.jobs[0].arrivals[0].run_time, base::Duration(8min)) << "of the attempt that succeeded";
    EXPECT_FALSE(past.scenario.jobs[0].arrivals[0].fails);
}

TEST(SimulationPast, a_store_whose_runs_never_ran_has_no_history) {
    jobs::Run waiting;
    waiting.id = "jr_1";
    waiting.job = job();
    const auto past = simulate_past({waiting});
    ASSERT_FALSE(past);
    EXPECT_EQ(past.error().kind, base::ErrorKind::NotFound);
    EXPECT_THAT(past.error().text(), HasSubstr("no run of the store has run and ended yet"));
    EXPECT_FALSE(simulate_past({}));
}

TEST(SimulationPast, a_history_can_be_simulated_and_its_strategies_compared) {
    std::vector<jobs::Run> attempts;
    for (int i = 0; i < 40; ++i) {
        const bool out = i >= 20 && i < 30;
        attempts.push_back(make({.id = fmt::format("jr_{:02}", i),
                                 .at = i * 3min,
                                 .took = out ? 2min : 10min,
                                 .state = out ? jobs::RunState::Failed : jobs::RunState::Succeeded,
                                 .verdict = out ? std::optional(jobs::RetryClass::Connection) : std::nullopt}));
    }
    SimPast past = past_of(std::move(attempts));
    ASSERT_THAT(past.scenario.outages, SizeIs(1));
    SimRequest request;
    for (const SimStrategy& strategy : sim_strategies())
        if (strategy.name == "resilient" || strategy.name == "aws-ordered") request.strategies.push_back(strategy);
    const auto results = simulate(past.scenario, request, [](std::size_t, std::size_t) {});
    ASSERT_TRUE(results) << results.error().text();
    EXPECT_EQ((*results)[0].all.runs, 40U);
    EXPECT_GT(*(*results)[0].all.success, *(*results)[1].all.success) << "ours would have gone to the other zone";
}

}  // namespace
}  // namespace signalbox::engine
