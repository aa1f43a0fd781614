// What follows from the end of an attempt.

#include "domain/jobs/attempts.hpp"

#include <gmock/gmock.h>

#include "unit/jobs/runs_bench.hpp"

namespace signalbox::jobs {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

Step ended(const Run& run, int code) { return next(run, std::vector{failed_process(run, 0, code)}, t0 + 1min); }

TEST(Attempts, a_failure_makes_the_next_attempt_which_knows_where_the_last_one_failed) {
    Step step = ended(running_run(1), 7);
    ASSERT_EQ(step.run.state, RunState::Failed);
    const Conclusion end = conclude(step, {"dial: no route to host", false, false}, {1, 0}, t0 + 1min);
    ASSERT_TRUE(end.next);
    EXPECT_EQ(end.next->id, step.run.id + "_attempt_1");
    EXPECT_EQ(end.next->previous, step.run.id);
    EXPECT_EQ(step.run.next, end.next->id);
    EXPECT_EQ(end.next->state, RunState::Waiting);
    EXPECT_EQ(end.next->directory, "/runs/" + end.next->id);
    EXPECT_EQ(end.next->first_submitted_at, t0) << "it keeps its place in the queue";
    ASSERT_EQ(end.next->tried.size(), 1u);
    EXPECT_EQ(end.next->tried[0].zone, "a");
    EXPECT_EQ(end.next->tried[0].retry, RetryClass::Connection);
    ASSERT_TRUE(end.outcome);
    EXPECT_EQ(end.outcome->failure, RetryClass::Connection);
    EXPECT_EQ(step.notes.back().kind, "run-verdict");
    EXPECT_EQ(node_token(*end.next, 0), step.run.id + "_attempt_1-0");
}

TEST(Attempts, the_last_attempt_and_a_permanent_failure_are_not_tried_again) {
    jobs::Run run = running_run(1);
    run.attempt = 2;
    Step last = ended(run, 7);
    EXPECT_FALSE(conclude(last, {}, {1, 2}, t0).next);
    EXPECT_EQ(last.run.next, "");
    EXPECT_NE(last.run.retry_reason, "") << "why there is no further attempt is said";
    Step permanent = ended(running_run(1), 78);
    EXPECT_FALSE(conclude(permanent, {}, {1, 0}, t0).next);
    EXPECT_EQ(permanent.run.verdict->retry, RetryClass::Permanent);
}

TEST(Attempts, a_cycle_of_retries_is_bounded_by_attempts_and_budget) {
    jobs::Run run = running_run(1);
    run.job.retry.attempts_max = 20;
    int attempts = 1;
    for (int retries = 0; attempts < 100; ++retries, ++attempts) {
        Step step = ended(run, 7);
        const Conclusion end = conclude(step, {}, {1, retries}, t0);
        if (!end.next) break;
        EXPECT_EQ(end.next->attempt, attempts);
        EXPECT_EQ(end.next->id, attempt_id(run_id(std::string(32, '\x5a')), attempts));
        run = running_run(1);
        run.job.retry.attempts_max = 20;
        run.id = end.next->id;
        run.nodes[0].token = node_token(run, 0);
        run.attempt = end.next->attempt;
    }
    EXPECT_EQ(attempts, 11) << "ten retries within the window, by the budget";
}

TEST(Attempts, a_success_speaks_for_its_place_and_a_stop_says_nothing) {
    jobs::Run run = running_run(1);
    Step good = next(run, std::vector{process_of(run, 0, false)}, t0 + 1min);
    const Conclusion success = conclude(good, {}, {}, t0 + 1min);
    ASSERT_TRUE(success.outcome);
    EXPECT_FALSE(success.outcome->failure);
    EXPECT_FALSE(success.next);
    Step stopped = next(request_stop(waiting_run(), t0).run, std::nullopt, t0);
    ASSERT_EQ(stopped.run.state, RunState::Stopped);
    const Conclusion stop = conclude(stopped, {}, {}, t0);
    EXPECT_FALSE(stop.outcome);
    EXPECT_FALSE(stop.next);
}

TEST(Attempts, a_stop_after_the_failure_and_before_the_end_prevents_the_retry) {
    jobs::Run run = running_run(2);
    Step failing = next(run, std::vector{failed_process(run, 0), process_of(run, 1)}, t0 + 1s);
    ASSERT_EQ(failing.run.outcome, RunState::Failed);
    ASSERT_FALSE(is_final(failing.run.state));
    const Step asked = request_stop(failing.run, t0 + 2s);
    Step end = next(asked.run, std::vector{failed_process(run, 0), process_of(run, 1, false)}, t0 + 3s);
    ASSERT_EQ(end.run.state, RunState::Failed);
    EXPECT_FALSE(conclude(end, {}, {1, 0}, t0 + 3s).next);
    EXPECT_THAT(end.run.retry_reason, HasSubstr("a stop was requested"));
}

TEST(Attempts, a_retry_waits_for_its_backoff_and_expires_by_its_own_queue_time) {
    jobs::Run run = waiting_run();
    run.not_before = t0 + 20s;
    EXPECT_TRUE(next(run, std::nullopt, t0 + 19s).actions.empty());
    EXPECT_TRUE(has(next(run, std::nullopt, t0 + 20s), Action::Kind::Decide));
    EXPECT_EQ(next(run, std::nullopt, t0 + 20s + run.job.queue_time_max).run.state, RunState::Expired);
    EXPECT_EQ(next(request_stop(run, t0).run, std::nullopt, t0).run.state, RunState::Stopped)
        << "a stop does not wait for the backoff";
}

TEST(Attempts, a_decision_to_wait_is_noted_once_and_its_wait_counts_from_the_first) {
    Decision wait = decision_for(waiting_run(), 0);
    wait.wait_until = t0 + 1min;
    wait.reason = "waits for full size";
    const Step first = apply_decision(waiting_run(), wait, t0);
    EXPECT_EQ(first.run.state, RunState::Waiting);
    EXPECT_EQ(first.run.deciding_since, t0);
    EXPECT_EQ(first.notes.size(), 1u);
    const Step again = apply_decision(first.run, wait, t0 + 1s);
    EXPECT_FALSE(again.changed);
    EXPECT_EQ(again.run.deciding_since, t0);
}

TEST(Attempts, a_run_that_lacks_only_addresses_that_others_hold_waits) {
    const Decision none = decision_for(waiting_run(), 0);
    ASSERT_FALSE(none.chosen);
    const Step patient = apply_decision(waiting_run(), none, t0, "waiting for addresses of subnet data-a");
    EXPECT_EQ(patient.run.state, RunState::Waiting);
    EXPECT_THAT(patient.run.reason, HasSubstr("waiting for addresses"));
    EXPECT_EQ(apply_decision(waiting_run(), none, t0).run.state, RunState::Failed);
}

TEST(Attempts, attempts_survive_the_store_unchanged_and_older_records_are_read) {
    jobs::Run run = waiting_run();
    run.attempt = 1;
    run.previous = "jr_before";
    run.next = "jr_after";
    run.not_before = t0 + 5s;
    run.deciding_since = t0 + 6s;
    run.verdict = Verdict{RetryClass::Zone, "it is gone"};
    run.retry_reason = "again";
    run.tried = {{"via-a", "data-a", "a", RetryClass::Zone}};
    base::json::object stored = to_json(run);
    const auto back = run_from_json(*base::parse_json(base::json::serialize(stored)));
    ASSERT_TRUE(back) << back.error().text();
    EXPECT_EQ(base::json::serialize(to_json(*back)), base::json::serialize(stored));
    for (const char* key :
         {"previous", "next", "verdict", "retry_reason", "tried", "first_submitted_at", "not_before", "deciding_since"})
        stored.erase(key);
    const auto old = run_from_json(stored);
    ASSERT_TRUE(old) << old.error().text();
    EXPECT_EQ(old->first_submitted_at, run.submitted_at);
}

}  // namespace
}  // namespace signalbox::jobs
