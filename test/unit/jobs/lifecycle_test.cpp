#include "domain/jobs/lifecycle.hpp"

#include <gmock/gmock.h>

#include "unit/jobs/runs_bench.hpp"

namespace signalbox::jobs {
namespace {

using namespace std::chrono_literals;
using Kind = Action::Kind;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<Kind> kinds(const Step& step) {
    std::vector<Kind> kinds;
    for (const Action& action : step.actions) kinds.push_back(action.kind);
    return kinds;
}

TEST(Lifecycle, the_driver_is_launched_first_and_the_intent_is_durable) {
    Step first = next(starting_run(3), std::vector<NodeProcess>{}, t0);
    ASSERT_THAT(kinds(first), ElementsAre(Kind::Launch));
    EXPECT_EQ(first.actions[0].rank, 0);
    EXPECT_TRUE(first.changed);
    EXPECT_TRUE(first.durable);
    EXPECT_EQ(first.run.nodes[0].stage, NodeStage::Intended);
    EXPECT_EQ(first.notes[0].kind, "run-intent");
    Step started = apply_launch(first.run, 0, {LaunchResult::Kind::Started, process_of(first.run, 0), {}}, t0);
    Step workers = next(started.run, std::vector{process_of(first.run, 0)}, t0);
    EXPECT_THAT(kinds(workers), ElementsAre(Kind::Launch, Kind::Launch));
    EXPECT_EQ(workers.run.state, RunState::Starting);
}

TEST(Lifecycle, an_intent_left_by_a_crash_is_looked_for_and_not_repeated_within_the_grace) {
    jobs::Run run = next(starting_run(), std::vector<NodeProcess>{}, t0).run;
    EXPECT_THAT(next(run, std::nullopt, t0 + 1h).actions, IsEmpty()) << "nobody could be asked";
    EXPECT_THAT(next(run, std::vector<NodeProcess>{}, t0 + 9s).actions, IsEmpty()) << "it may still appear";
    const Step found = next(run, std::vector{process_of(run, 0)}, t0 + 9s);
    EXPECT_EQ(found.run.nodes[0].stage, NodeStage::Started);
    const Step again = next(run, std::vector<NodeProcess>{}, t0 + 11s);
    ASSERT_THAT(kinds(again), ElementsAre(Kind::Launch));
    EXPECT_EQ(again.run.nodes[0].token, run.nodes[0].token) << "the same token: the launcher starts it at most once";
}

TEST(Lifecycle, an_unknown_launch_stays_intended_and_a_refused_one_is_planned_again) {
    const jobs::Run run = next(starting_run(), std::vector<NodeProcess>{}, t0).run;
    EXPECT_EQ(apply_launch(run, 0, {LaunchResult::Kind::Unknown, {}, "no answer"}, t0).run.nodes[0].stage,
              NodeStage::Intended);
    const jobs::Run refused = apply_launch(run, 0, {LaunchResult::Kind::Refused, {}, "full"}, t0).run;
    EXPECT_EQ(refused.nodes[0].stage, NodeStage::Planned);
    EXPECT_THAT(next(refused, std::vector<NodeProcess>{}, t0 + 1s).actions, IsEmpty()) << "a pause first";
    EXPECT_THAT(kinds(next(refused, std::vector<NodeProcess>{}, t0 + 3s)), ElementsAre(Kind::Launch));
}

TEST(Lifecycle, the_grace_counts_from_when_the_answer_is_missing_however_long_was_waited_for_it) {
    jobs::Run run = next(starting_run(), std::vector<NodeProcess>{}, t0).run;
    run = apply_launch(run, 0, {LaunchResult::Kind::Unknown, {}, "no answer"}, t0 + 15s).run;
    EXPECT_THAT(next(run, std::vector<NodeProcess>{}, t0 + 24s).actions, IsEmpty()) << "it may still appear";
    EXPECT_THAT(kinds(next(run, std::vector<NodeProcess>{}, t0 + 26s)), ElementsAre(Kind::Launch));
}

TEST(Lifecycle, a_refusal_of_a_repeated_launch_does_not_undo_the_doubt_about_the_first) {
    jobs::Run run = next(starting_run(), std::vector<NodeProcess>{}, t0).run;
    run = next(run, std::vector<NodeProcess>{}, t0 + 11s).run;
    run = apply_launch(run, 0, {LaunchResult::Kind::Refused, {}, "full"}, t0 + 11s).run;
    EXPECT_EQ(run.nodes[0].stage, NodeStage::Intended);
}

TEST(Lifecycle, a_launch_that_can_never_succeed_ends_in_error) {
    jobs::Run run = next(starting_run(), std::vector<NodeProcess>{}, t0).run;
    run = apply_launch(run, 0, {LaunchResult::Kind::Invalid, {}, "no such subnet"}, t0).run;
    const Step end = next(run, std::vector<NodeProcess>{}, t0);
    EXPECT_EQ(end.run.state, RunState::Error);
    EXPECT_THAT(end.run.reason, testing::HasSubstr("no such subnet"));
}

TEST(Lifecycle, a_run_that_does_not_start_in_time_ends_in_error_with_the_launchers_reason) {
    jobs::Run run = next(starting_run(), std::vector<NodeProcess>{}, t0).run;
    run = apply_launch(run, 0, {LaunchResult::Kind::Refused, {}, "subnet full"}, t0).run;
    const Step end = next(run, std::vector<NodeProcess>{}, t0 + 61s);
    EXPECT_EQ(end.run.state, RunState::Error);
    EXPECT_THAT(end.run.reason, testing::HasSubstr("subnet full"));
    EXPECT_THAT(end.actions, IsEmpty());
}

TEST(Lifecycle, the_driver_decides_and_workers_are_stopped_after_a_grace) {
    const jobs::Run run = running_run();
    ASSERT_EQ(run.state, RunState::Running);
    const std::vector seen = {process_of(run, 0, false), process_of(run, 1)};
    const Step ended = next(run, seen, t0 + 1s);
    EXPECT_EQ(ended.run.state, RunState::Running);
    EXPECT_EQ(ended.run.outcome, RunState::Succeeded);
    EXPECT_THAT(ended.actions, IsEmpty());
    const Step late = next(ended.run, seen, t0 + 5s);
    ASSERT_THAT(kinds(late), ElementsAre(Kind::Stop));
    EXPECT_EQ(late.actions[0].process, "p1");
    const Step done = next(late.run, std::vector{process_of(run, 0, false), process_of(run, 1, false)}, t0 + 6s);
    EXPECT_EQ(done.run.state, RunState::Succeeded);
    EXPECT_EQ(done.run.exit_code, 0);
}

TEST(Lifecycle, a_failed_worker_is_recorded_but_the_driver_decides) {
    const jobs::Run run = running_run();
    NodeProcess worker = process_of(run, 1, false);
    worker.exit = Exit{ExitHow::Exited, 7, 0};
    const Step step = next(run, std::vector{process_of(run, 0), worker}, t0 + 1s);
    EXPECT_FALSE(step.run.outcome);
    EXPECT_EQ(step.run.nodes[1].exit->code, 7);
    EXPECT_THAT(step.notes, SizeIs(1));
}

struct DriverEnd {
    Exit exit;
    RunState outcome;
};

TEST(Lifecycle, every_end_of_the_driver_has_its_outcome) {
    const DriverEnd ends[] = {
        {{ExitHow::Exited, 0, 0}, RunState::Succeeded}, {{ExitHow::Exited, 3, 0}, RunState::Failed},
        {{ExitHow::Signaled, 0, 9}, RunState::Failed},  {{ExitHow::TimedOut, 0, 15}, RunState::Timeout},
        {{ExitHow::Stopped, 0, 15}, RunState::Failed},  {{ExitHow::Unstartable, 126, 0}, RunState::Error},
        {{ExitHow::Lost, 0, 0}, RunState::Error}};
    for (const DriverEnd& end : ends) {
        const jobs::Run run = running_run(1);
        NodeProcess driver = process_of(run, 0, false);
        driver.exit = end.exit;
        EXPECT_EQ(next(run, std::vector{driver}, t0 + 1s).run.state, end.outcome) << end.exit.text();
    }
}

TEST(Lifecycle, a_stop_ends_all_nodes_before_the_run_is_stopped) {
    const jobs::Run run = request_stop(running_run(), t0).run;
    const std::vector seen = {process_of(run, 0), process_of(run, 1)};
    const Step stopping = next(run, seen, t0 + 1s);
    EXPECT_EQ(stopping.run.state, RunState::Stopping);
    EXPECT_THAT(kinds(stopping), ElementsAre(Kind::Stop, Kind::Stop));
    EXPECT_EQ(next(stopping.run, std::nullopt, t0 + 2s).run.state, RunState::Stopping);
    const Step done = next(stopping.run, std::vector{process_of(run, 0, false), process_of(run, 1, false)}, t0 + 2s);
    EXPECT_EQ(done.run.state, RunState::Stopped);
}

TEST(Lifecycle, a_stop_that_comes_after_the_drivers_end_changes_nothing) {
    const jobs::Run run = running_run(1);
    jobs::Run asked = request_stop(run, t0).run;
    EXPECT_EQ(next(asked, std::vector{process_of(run, 0, false)}, t0 + 1s).run.state, RunState::Succeeded);
}

TEST(Lifecycle, nothing_is_launched_once_a_stop_was_requested) {
    jobs::Run run = request_stop(next(starting_run(), std::vector<NodeProcess>{}, t0).run, t0).run;
    Step step = next(run, std::vector<NodeProcess>{}, t0 + 1s);
    EXPECT_EQ(step.run.state, RunState::Stopping) << "the launch may still appear";
    EXPECT_THAT(step.actions, IsEmpty());
    step = next(step.run, std::vector{process_of(run, 0)}, t0 + 2s);
    EXPECT_THAT(kinds(step), ElementsAre(Kind::Stop)) << "it did: it is stopped, not forgotten";
    const Step never = next(run, std::vector<NodeProcess>{}, t0 + 20s);
    EXPECT_EQ(never.run.state, RunState::Stopped);
}

TEST(Lifecycle, a_process_missing_from_one_list_is_lost_only_after_a_grace) {
    const jobs::Run run = running_run(1);
    const Step missing = next(run, std::vector<NodeProcess>{}, t0 + 1s);
    EXPECT_EQ(missing.run.state, RunState::Running);
    EXPECT_THAT(missing.actions, IsEmpty()) << "what was started once is never started again";
    const Step back = next(missing.run, std::vector{process_of(run, 0)}, t0 + 5s);
    EXPECT_FALSE(back.run.nodes[0].missing_since);
    EXPECT_EQ(next(missing.run, std::vector<NodeProcess>{}, t0 + 12s).run.state, RunState::Error);
}

TEST(Lifecycle, the_loop_keeps_the_time_out_if_the_supervisor_does_not) {
    const jobs::Run run = running_run(1);
    const std::vector seen = {process_of(run, 0)};
    EXPECT_FALSE(next(run, seen, t0 + 10min + 14s).run.outcome);
    const Step late = next(run, seen, t0 + 10min + 16s);
    EXPECT_EQ(late.run.outcome, RunState::Timeout);
    EXPECT_THAT(kinds(late), ElementsAre(Kind::Stop));
}

TEST(Lifecycle, a_waiting_run_decides_expires_or_is_stopped) {
    EXPECT_THAT(kinds(next(waiting_run(), std::nullopt, t0)), ElementsAre(Kind::Decide));
    EXPECT_EQ(next(waiting_run(), std::nullopt, t0 + 25h).run.state, RunState::Expired);
    EXPECT_EQ(next(request_stop(waiting_run(), t0).run, std::nullopt, t0).run.state, RunState::Stopped);
}

TEST(Lifecycle, no_usable_connection_fails_the_run_with_its_decision) {
    jobs::Run run = waiting_run();
    const Decision none = decision_for(run, 0);
    const Step step = apply_decision(run, none, t0);
    EXPECT_EQ(step.run.state, RunState::Failed);
    EXPECT_FALSE(step.run.decision.empty());
}

TEST(Lifecycle, a_tight_subnet_starts_fewer_nodes) {
    const jobs::Run run = waiting_run(5);
    EXPECT_THAT(apply_decision(run, decision_for(run, 2), t0).run.nodes, SizeIs(2));
}

TEST(Lifecycle, starting_runs_promise_addresses_until_their_nodes_exist) {
    jobs::Run run = starting_run(3);
    EXPECT_EQ(addresses_promised(run), 3u);
    run = next(run, std::vector{process_of(run, 0)}, t0).run;
    EXPECT_EQ(addresses_promised(run), 2u);
    EXPECT_EQ(addresses_promised(running_run()), 0u);
}

TEST(Lifecycle, final_states_have_no_way_out) {
    for (const Transition& row : transitions()) {
        EXPECT_FALSE(is_final(row.from)) << row.why;
        EXPECT_NE(row.to, RunState::Waiting);
    }
    EXPECT_FALSE(allowed(RunState::Stopping, RunState::Succeeded));
    EXPECT_FALSE(allowed(RunState::Running, RunState::Starting));
}

TEST(Lifecycle, the_reference_page_shows_the_transition_table) {
    const auto page = base::read_file("docs/reference/jobs.md", 1 << 20);
    ASSERT_TRUE(page) << page.error().text();
    EXPECT_THAT(*page, testing::HasSubstr(transitions_text()));
}

TEST(Lifecycle, a_run_survives_the_store_unchanged) {
    jobs::Run run = running_run();
    run.job.environment = {{"PASSWORD", "hunter2"}};
    run.job.spark = SparkApplication{
        "/jobs/load.py", {"--full"}, "", "/usr/bin/python3", {{"spark.hadoop.secret", "hunter2"}}, 2, 700};
    run.arguments = {{"day", "2026-01-01"}};
    run.nodes[1].exit = Exit{ExitHow::Signaled, 0, 9};
    const auto value = base::parse_json(base::json::serialize(to_json(run)));
    const auto back = run_from_json(*value);
    ASSERT_TRUE(back) << back.error().text();
    EXPECT_EQ(base::json::serialize(to_json(*back)), base::json::serialize(to_json(run)));
    EXPECT_EQ(back->job, run.job);
    EXPECT_THAT(base::json::serialize(describe(run)), testing::Not(testing::HasSubstr("hunter2")));
}

TEST(Lifecycle, a_damaged_run_is_refused_with_the_field) {
    base::json::object object = to_json(running_run());
    object["nodes"].as_array()[0].as_object().erase("token");
    const auto back = run_from_json(object);
    ASSERT_FALSE(back);
    EXPECT_THAT(back.error().text(), testing::HasSubstr("token"));
    for (const auto& field : to_json(running_run())) {
        base::json::object damaged = to_json(running_run());
        damaged[field.key()] = base::json::array{base::json::object{}};
        if (field.key() == "decision") continue;
        EXPECT_FALSE(run_from_json(damaged)) << field.key();
    }
}

}  // namespace
}  // namespace signalbox::jobs
