// The main test of runs: many seeds with crashes, lost answers, full stores and jumping clocks; a crash at every call;
// and each guard taken away.

#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>

#include "base/text.hpp"
#include "sim/jobs_world.hpp"

namespace signalbox::sim {
namespace {

using jobs::Guard;
using jobs::Rules;

std::optional<std::uint64_t> number(const char* variable) {
    const char* text = std::getenv(variable);
    return text == nullptr ? std::nullopt : base::parse_uint(text);
}

std::string replay(std::uint64_t seed) {
    return fmt::format("replay with: SIGNALBOX_SIM_SEED={} build/release/test/sim --gtest_filter=Jobs.every_run*",
                       seed);
}

TEST(Jobs, every_run_is_started_once_and_comes_to_its_end_whatever_crashes) {
    const auto one_seed = number("SIGNALBOX_SIM_SEED");
    const std::uint64_t first = one_seed.value_or(1);
    const std::uint64_t seeds = one_seed ? 1 : number("SIGNALBOX_SIM_SEEDS").value_or(300);
    JobOutcome sum;
    for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
        JobOptions options;
        options.seed = seed;
        const JobOutcome one = run_jobs(options);
        ASSERT_EQ(one.violation, "") << replay(seed) << "\n" << one.trace;
        sum.crashes += one.crashes;
        sum.starts += one.starts;
        sum.attempts += one.attempts;
        sum.retries += one.retries;
        sum.succeeded += one.succeeded;
        sum.stopped += one.stopped;
        sum.lost_answers += one.lost_answers;
        sum.store_failures += one.store_failures;
        sum.jumps += one.jumps;
    }
    fmt::print(
        "{} seeds: {} attempts ({} retries, {} succeeded, {} stopped), {} starts, {} crashes, {} lost answers, {} "
        "failures of the store, {} jumps of the clock\n",
        seeds, sum.attempts, sum.retries, sum.succeeded, sum.stopped, sum.starts, sum.crashes, sum.lost_answers,
        sum.store_failures, sum.jumps);
    EXPECT_GT(sum.starts, sum.attempts / 2) << "most attempts must get as far as a start";
    if (one_seed) return;
    for (const std::uint64_t count :
         {sum.crashes, sum.retries, sum.succeeded, sum.stopped, sum.lost_answers, sum.store_failures, sum.jumps})
        EXPECT_GT(count, seeds / 10) << "a world without them proves nothing of them";
}

TEST(Jobs, a_crash_at_any_call_neither_loses_nor_doubles_anything) {
    JobOptions options;
    options.seed = 7;
    options.runs = 2;
    options.crash = options.store_fails = options.answer_lost = options.clock_jumps = 0;
    std::uint64_t crashes = 0;
    for (options.crash_at = 0;; ++options.crash_at) {
        const JobOutcome one = run_jobs(options);
        ASSERT_EQ(one.violation, "") << "with a crash at call " << options.crash_at << "\n" << one.trace;
        if (!one.crashed_once) break;
        ++crashes;
        ASSERT_LT(crashes, 20'000u) << "a run that never ends";
    }
    fmt::print("{} calls, a crash at each in turn\n", crashes);
    EXPECT_GT(crashes, 100u);
}

// Guards whose absence random worlds notice; test/unit/jobs/guards_test.cpp has a scenario for every one.
constexpr Guard noticed[] = {Guard::IntentFirst,
                             Guard::DriverFirst,
                             Guard::LaunchGrace,
                             Guard::AskedBeforeRepeat,
                             Guard::StartedOnce,
                             Guard::MissingGrace,
                             Guard::NothingLaunchedAfterOutcome,
                             Guard::LateLaunchAwaited,
                             Guard::FinalWhenGone,
                             Guard::BackoffKept,
                             Guard::FailuresOnly,
                             Guard::StoppedNotRetried};

TEST(Jobs, a_guard_that_is_taken_away_is_missed) {
    constexpr std::uint64_t seeds_max = 200;
    for (const Guard guard : noticed) {
        std::string violation;
        std::uint64_t seed = 0;
        while (violation.empty() && seed < seeds_max) {
            JobOptions options;
            options.seed = ++seed;
            options.rules = Rules::without(guard);
            violation = run_jobs(options).violation;
        }
        EXPECT_NE(violation, "") << "nothing notices that the guard " << jobs::to_string(guard) << " is gone";
        fmt::print("{:28} seed {}: {}\n", jobs::to_string(guard), seed, violation.substr(0, 140));
        std::fflush(stdout);
    }
}

}  // namespace
}  // namespace signalbox::sim
