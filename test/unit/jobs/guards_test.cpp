// One scenario per guard of a run's life: right with the guard, wrong without it.

#include <functional>
#include <gtest/gtest.h>
#include <map>

#include "unit/jobs/runs_bench.hpp"

namespace signalbox::jobs {
namespace {

using namespace std::chrono_literals;
using Kind = Action::Kind;
using Processes = std::vector<NodeProcess>;

Run intended_run(int workers = 2) { return next(starting_run(workers), Processes{}, t0).run; }

LaunchResult refused() { return {LaunchResult::Kind::Refused, {}, "full"}; }

// Whether the end of this run makes another attempt.
bool tried_again(Run run, Rules rules) {
    Step step{std::move(run), {}, {}, true, true};
    return conclude(step, {}, {1, 0}, t0, rules).next.has_value();
}

Run ended_run(RunState state) {
    Run run = running_run(1);
    run.state = state;
    run.ended_at = t0;
    run.exit_code = 7;
    run.nodes[0].stage = NodeStage::Ended;
    run.nodes[0].exit = Exit{ExitHow::Exited, 7, 0};
    return run;
}

Run retried_run() {
    Run run = waiting_run();
    run.not_before = t0 + 10s;
    return run;
}

// Each says whether it goes wrong.
const std::map<Guard, std::function<bool(Rules)>> scenarios = {
    {Guard::IntentFirst,
     [](Rules rules) {
         const Step step = next(starting_run(), Processes{}, t0, rules);
         return has(step, Kind::Launch) && (step.run.nodes[0].stage != NodeStage::Intended || !step.durable);
     }},
    {Guard::DriverFirst, [](Rules rules) { return next(starting_run(3), Processes{}, t0, rules).actions.size() != 1; }},
    {Guard::LaunchGrace,
     [](Rules rules) { return has(next(intended_run(), Processes{}, t0 + 9s, rules), Kind::Launch); }},
    {Guard::AskedBeforeRepeat,
     [](Rules rules) { return has(next(intended_run(), std::nullopt, t0 + 20s, rules), Kind::Launch); }},
    {Guard::DoubtStays,
     [](Rules rules) {
         const Run run = next(intended_run(), Processes{}, t0 + 11s, rules).run;  // launched again
         return apply_launch(run, 0, refused(), t0 + 11s, rules).run.nodes[0].stage != NodeStage::Intended;
     }},
    {Guard::RelaunchPause,
     [](Rules rules) {
         const Run run = apply_launch(intended_run(), 0, refused(), t0, rules).run;
         return has(next(run, Processes{}, t0 + 1s, rules), Kind::Launch);
     }},
    {Guard::StartedOnce,
     [](Rules rules) { return has(next(running_run(1), Processes{}, t0 + 1s, rules), Kind::Launch); }},
    {Guard::MissingGrace,
     [](Rules rules) { return next(running_run(1), Processes{}, t0 + 1s, rules).run.outcome.has_value(); }},
    {Guard::OutcomeOnce,
     [](Rules rules) {
         Run run = give_up(running_run(1), RunState::Error, "given up", t0).run;
         run = next(run, Processes{process_of(run, 0, false)}, t0 + 1s, rules).run;
         return run.outcome != RunState::Error;
     }},
    {Guard::NothingLaunchedAfterOutcome,
     [](Rules rules) {
         const Run run = give_up(starting_run(), RunState::Error, "given up", t0).run;
         return has(next(run, Processes{}, t0, rules), Kind::Launch);
     }},
    {Guard::LateLaunchAwaited,
     [](Rules rules) {
         const Run run = give_up(intended_run(), RunState::Error, "given up", t0).run;
         return is_final(next(run, Processes{}, t0 + 1s, rules).run.state);
     }},
    {Guard::FinalWhenGone,
     [](Rules rules) {
         const Run run = request_stop(running_run(1), t0).run;
         return is_final(next(run, Processes{process_of(run, 0)}, t0 + 1s, rules).run.state);
     }},
    {Guard::FinalStays,
     [](Rules rules) {
         Run run = ended_run(RunState::Failed);
         run.nodes[0].stage = NodeStage::Started;
         return next(run, Processes{process_of(run, 0, false)}, t0 + 1h, rules).changed;
     }},
    {Guard::StopBeforeStart,
     [](Rules rules) { return has(next(request_stop(waiting_run(), t0).run, std::nullopt, t0, rules), Kind::Decide); }},
    {Guard::DriverBeforeStop,
     [](Rules rules) {
         const Run run = request_stop(running_run(1), t0).run;
         return next(run, Processes{process_of(run, 0, false)}, t0 + 1s, rules).run.state != RunState::Succeeded;
     }},
    {Guard::QueueTime,
     [](Rules rules) { return next(waiting_run(), std::nullopt, t0 + 25h, rules).run.state != RunState::Expired; }},
    {Guard::StartTime,
     [](Rules rules) {
         const Run run = apply_launch(intended_run(), 0, refused(), t0, rules).run;
         return next(run, Processes{}, t0 + 61s, rules).run.state != RunState::Error;
     }},
    {Guard::TimeLimit,
     [](Rules rules) {
         const Run run = running_run(1);
         return !next(run, Processes{process_of(run, 0)}, t0 + 11min, rules).run.outcome;
     }},
    {Guard::WorkersGrace,
     [](Rules rules) {
         const Run run = running_run(2);
         return has(next(run, Processes{process_of(run, 0, false), process_of(run, 1)}, t0 + 1s, rules), Kind::Stop);
     }},
    {Guard::BackoffKept,
     [](Rules rules) { return has(next(retried_run(), std::nullopt, t0 + 9s, rules), Kind::Decide); }},
    {Guard::BackoffBounded,
     [](Rules rules) { return !has(next(retried_run(), std::nullopt, t0 - 24h, rules), Kind::Decide); }},
    {Guard::ClockSetBack,
     [](Rules rules) {
         Run run = next(intended_run(), Processes{}, t0 - 24h, rules).run;
         return !has(next(run, Processes{}, t0 - 24h + 11s, rules), Kind::Launch);
     }},
    {Guard::FailuresOnly,
     [](Rules rules) {
         return tried_again(ended_run(RunState::Stopped), rules) || tried_again(ended_run(RunState::Expired), rules);
     }},
    {Guard::StoppedNotRetried,
     [](Rules rules) {
         Run run = ended_run(RunState::Failed);
         run.stop_requested = true;
         return tried_again(run, rules);
     }},
    {Guard::NextOnce,
     [](Rules rules) {
         Run run = ended_run(RunState::Failed);
         run.next = attempt_id(run.id, 1);
         return tried_again(run, rules);
     }},
};

TEST(RunGuards, every_guard_prevents_what_it_is_there_for) {
    for (int i = 0; i < guard_count; ++i) {
        const Guard guard = static_cast<Guard>(i);
        ASSERT_TRUE(scenarios.contains(guard)) << to_string(guard) << " has no scenario";
        EXPECT_FALSE(scenarios.at(guard)(Rules{})) << to_string(guard);
        EXPECT_TRUE(scenarios.at(guard)(Rules::without(guard))) << to_string(guard) << " is not what prevents it";
    }
}

}  // namespace
}  // namespace signalbox::jobs
