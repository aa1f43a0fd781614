#include "domain/jobs/retry.hpp"

#include <gmock/gmock.h>
#include <set>

#include "decision_values.hpp"

namespace signalbox::jobs {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

Run failed(RunState state = RunState::Failed, std::optional<Exit> driver = Exit{ExitHow::Exited, 1, 0}) {
    jobs::Run run;
    run.id = run_id(std::string(32, '\x5a'));
    run.job.retry.attempts_max = 3;
    run.state = state;
    run.connection = place("a", 9).connection;
    run.zone = "z-a";
    run.nodes.resize(2);
    run.nodes[0].stage = run.nodes[1].stage = NodeStage::Ended;
    run.nodes[0].exit = driver;
    if (driver && driver->how == ExitHow::Exited) run.exit_code = driver->code;
    return run;
}

Run exited(int code) { return failed(RunState::Failed, Exit{ExitHow::Exited, code, 0}); }

Run refused(const std::string& text) {
    jobs::Run run = failed(RunState::Error, std::nullopt);
    run.nodes[0].stage = NodeStage::Dropped;
    run.nodes[1].stage = NodeStage::Dropped;
    run.nodes[1].refusal = text;
    return run;
}

Run undecided(RunState state) {
    jobs::Run run = failed(state, std::nullopt);
    run.connection.reset();
    run.nodes.clear();
    return run;
}

FailureFacts log(const std::string& text) { return {text, false, false}; }

struct Row {
    const char* what;
    jobs::Run run;
    FailureFacts facts;
    RetryClass retry;
    const char* reason;
};

TEST(Classify, tells_each_kind_of_failure) {
    using enum RetryClass;
    const Exit lost{ExitHow::Lost, 0, 0}, late{ExitHow::TimedOut, 0, 15}, missing{ExitHow::Unstartable, 127, 0};
    const Row rows[] = {
        {"no provider", undecided(RunState::Error), {}, Transient, "could not be asked"},
        {"no connection", undecided(RunState::Failed), {}, Connection, "no connection was usable"},
        {"no such command", failed(RunState::Error, missing), {}, Permanent, "cannot be executed"},
        {"time-out", failed(RunState::Timeout, late), {}, Permanent, "time-out"},
        {"time-out kept by the loop", failed(RunState::Timeout, std::nullopt), {}, Permanent, "time-out"},
        {"usage", exited(64), {}, Permanent, "exit code 64"},
        {"data", exited(65), {}, Permanent, "sysexits"},
        {"input", exited(66), {}, Permanent, "sysexits"},
        {"permission", exited(77), {}, Permanent, "sysexits"},
        {"configuration", exited(78), {}, Permanent, "sysexits"},
        {"usage in an impaired zone", exited(64), {"", true, false}, Permanent, "exit code 64"},
        {"any exit in an impaired zone", exited(3), {"", true, false}, Zone, "impaired"},
        {"temporary in an impaired zone", exited(75), {"", true, false}, Zone, "impaired"},
        {"gone", failed(RunState::Error, lost), {}, Zone, "without a trace"},
        {"gone, never seen to end", failed(RunState::Error, std::nullopt), {}, Zone, "without a trace"},
        {"addresses", refused("InsufficientFreeAddressesInSubnet"), {}, Connection, "addresses ran out"},
        {"addresses where a zone is open", refused("no free address"), {"", false, true}, Zone, "addresses ran out"},
        {"refused", refused("quota"), {}, Connection, "a node was not started"},
        {"refused where a zone is open", refused("quota"), {"", false, true}, Zone, "failed in zone 'z-a' before"},
        {"route", exited(1), log("java.net: No Route To Host (Host unreachable)"), Connection, "'no route to host'"},
        {"time", exited(1), log("psycopg2: Connection timed out"), Connection, "the network failed"},
        {"network where a zone is open", exited(1), {"Connection refused", false, true}, Zone, "before"},
        {"temporary", exited(75), {}, Transient, "exit code 75"},
        {"temporary where a zone is open", exited(75), {"", false, true}, Transient, "exit code 75"},
        {"throttled", exited(1), log("ThrottlingException: Rate exceeded"), Transient, "'throttling'"},
        {"deadlock", exited(1), log("ERROR 1213: Deadlock found when trying to get lock"), Transient, "deadlock"},
        {"anything else", exited(1), log("KeyError: 'id'"), Connection, "exit code 1, which no rule knows"},
        {"a signal", failed(RunState::Failed, Exit{ExitHow::Signaled, 0, 9}), {}, Connection, "no rule knows"},
        {"an outcome whose nodes are being ended", exited(64), {}, Permanent, "exit code 64"},
    };
    for (const Row& row : rows) {
        const Verdict verdict = classify(row.run, row.facts);
        EXPECT_EQ(verdict.retry, row.retry) << row.what << ": " << verdict.reason;
        EXPECT_THAT(verdict.reason, HasSubstr(row.reason)) << row.what;
    }
}

TEST(Classify, an_outcome_counts_before_the_run_is_final) {
    jobs::Run run = failed(RunState::Running, std::nullopt);
    run.outcome = RunState::Timeout;
    EXPECT_EQ(classify(run, {}).retry, RetryClass::Permanent);
}

TEST(Classify, the_jobs_own_rules_come_first_and_match_by_all_that_they_name) {
    jobs::Run run = exited(64);
    run.job.retry.otherwise = RetryClass::Permanent;
    run.job.retry.rules = {{{64}, "NOT THERE", RetryClass::Zone},
                           {{63}, "", RetryClass::Zone},
                           {{1, 64}, "out of DISK", RetryClass::Transient},
                           {{64}, "", RetryClass::Connection}};
    EXPECT_EQ(classify(run, log("error: Out of disk\n")).retry, RetryClass::Transient);
    EXPECT_EQ(classify(run, log("error: Out of disk\n")).reason,
              "the job's rule for exit code 64 with 'out of DISK' in the log");
    EXPECT_EQ(classify(run, {}).retry, RetryClass::Connection);
    EXPECT_EQ(classify(run, {}).reason, "the job's rule for exit code 64");
    run.job.retry.rules = {{{}, "", RetryClass::Zone}};
    EXPECT_EQ(classify(run, {}).retry, RetryClass::Permanent) << "a rule that names nothing matches nothing";
    run = exited(9);
    run.job.retry.otherwise = RetryClass::Zone;
    EXPECT_EQ(classify(run, {}).retry, RetryClass::Zone);
}

TEST(Classify, only_the_end_of_a_log_counts) {
    EXPECT_EQ(classify(exited(1), log("deadlock found" + std::string(log_tail_max, '.'))).retry,
              RetryClass::Connection);
    EXPECT_EQ(classify(exited(1), log(std::string(log_tail_max, '.') + "deadlock found")).retry, RetryClass::Transient);
}

TEST(RetryPlan, only_a_failed_attempt_with_attempts_left_is_tried_again) {
    const Verdict verdict{RetryClass::Connection, "why"};
    EXPECT_TRUE(plan_retry(failed(), verdict, {}, t0).again);
    EXPECT_TRUE(plan_retry(failed(RunState::Error), verdict, {}, t0).again);
    EXPECT_TRUE(plan_retry(failed(RunState::Timeout), verdict, {}, t0).again);
    for (const RunState state : {RunState::Succeeded, RunState::Stopped, RunState::Expired, RunState::Running})
        EXPECT_FALSE(plan_retry(failed(state), verdict, {}, t0).again) << to_string(state);
    jobs::Run run = failed();
    run.attempt = 1;
    EXPECT_TRUE(plan_retry(run, verdict, {}, t0).again);
    run.attempt = 2;
    EXPECT_FALSE(plan_retry(run, verdict, {}, t0).again);
    EXPECT_EQ(plan_retry(run, verdict, {}, t0).reason, "no retry: attempt 3 of at most 3");
    run = failed();
    run.stop_requested = true;
    EXPECT_FALSE(plan_retry(run, verdict, {}, t0).again);
    EXPECT_FALSE(plan_retry(failed(), {RetryClass::Permanent, "why"}, {}, t0).again);
    run = failed();
    run.job.retry.attempts_max = 1;
    EXPECT_FALSE(plan_retry(run, verdict, {}, t0).again);
}

TEST(RetryPlan, the_budget_is_the_larger_of_a_number_and_a_share) {
    const Verdict verdict{RetryClass::Zone, "why"};
    EXPECT_TRUE(plan_retry(failed(), verdict, {0, 9}, t0).again);
    const RetryPlan spent = plan_retry(failed(), verdict, {0, 10}, t0);
    EXPECT_FALSE(spent.again);
    EXPECT_EQ(spent.reason, "no retry: the job's budget of 10 within 1h is used up");
    EXPECT_TRUE(plan_retry(failed(), verdict, {40, 19}, t0).again);
    EXPECT_FALSE(plan_retry(failed(), verdict, {40, 20}, t0).again);
}

TEST(RetryPlan, backs_off_with_full_jitter_up_to_a_bound) {
    const Verdict verdict{RetryClass::Zone, "why"};
    for (int attempt = 0; attempt < 12; ++attempt) {
        const base::Duration limit = attempt < 5 ? 10s * (1 << attempt) : base::Duration(5min);
        base::Duration sum{}, longest{};
        std::set<base::Duration> seen;
        for (int i = 0; i < 400; ++i) {
            jobs::Run run = failed();
            run.job.retry.attempts_max = 20;
            run.id += std::to_string(i);
            run.attempt = attempt;
            const RetryPlan plan = plan_retry(run, verdict, {}, t0);
            const auto pause = plan.not_before - t0;
            ASSERT_GE(pause, 0s);
            ASSERT_LE(pause, limit);
            ASSERT_EQ(plan.not_before, plan_retry(run, verdict, {}, t0).not_before) << "the same for the same attempt";
            sum += pause;
            longest = std::max(longest, pause);
            seen.insert(pause);
        }
        EXPECT_NEAR(base::to_ms(sum / 400), base::to_ms(limit) / 2, base::to_ms(limit) * 0.08);
        EXPECT_GT(longest, limit * 9 / 10);
        EXPECT_GT(seen.size(), 390u);
    }
}

TEST(RetryPlan, says_where_the_next_attempt_goes) {
    EXPECT_EQ(plan_retry(failed(), {RetryClass::Transient, "why"}, {}, t0).reason, "why: again on the same connection");
    EXPECT_EQ(plan_retry(failed(), {RetryClass::Connection, "why"}, {}, t0).reason, "why: again on another connection");
    EXPECT_EQ(plan_retry(failed(), {RetryClass::Zone, "why"}, {}, t0).reason,
              "why: again on a connection of another zone");
}

TEST(RetryRules, the_reference_page_shows_the_table) {
    const auto page = base::read_file("docs/reference/jobs.md", 1 << 20);
    ASSERT_TRUE(page) << page.error().text();
    EXPECT_THAT(*page, HasSubstr(retry_rules_text()));
}

}  // namespace
}  // namespace signalbox::jobs
