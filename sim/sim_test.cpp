// The main test of the follower: many seeds, every checker after each step.

#include <chrono>
#include <cstdlib>
#include <gtest/gtest.h>

#include "base/text.hpp"
#include "sim/world.hpp"

namespace signalbox::sim {
namespace {

std::string replay(std::uint64_t seed) {
    return fmt::format(
        "replay with: SIGNALBOX_SIM_SEED={} SIGNALBOX_SIM_TRACE=1 build/release/test/sim --gtest_filter=*faults", seed);
}

// The seed of SIGNALBOX_SIM_SEED alone, or nothing.
std::optional<std::uint64_t> one_seed() {
    const char* text = std::getenv("SIGNALBOX_SIM_SEED");
    return text == nullptr ? std::nullopt : base::parse_uint(text);
}

TEST(Simulation, holds_its_promises_under_a_hundred_thousand_faults) {
    constexpr std::uint64_t faults_min = 100'000;
    constexpr std::uint64_t seeds_max = 20'000;
    const auto only = one_seed();
    const auto started = std::chrono::steady_clock::now();
    Outcome sum;
    std::uint64_t seed = only.value_or(1);
    for (std::uint64_t count = 0; count < seeds_max && sum.faults < faults_min; ++count, ++seed) {
        Options options;
        options.seed = seed;
        options.verbose = only && std::getenv("SIGNALBOX_SIM_TRACE") != nullptr;
        const Outcome one = run(options);
        ASSERT_EQ(one.violation, "") << "seed " << seed << ": " << replay(seed);
        sum.faults += one.faults;
        sum.acked += one.acked;
        sum.unknown += one.unknown;
        sum.failed += one.failed;
        sum.rolled_back += one.rolled_back;
        sum.epochs += one.epochs;
        sum.routes += one.routes;
        sum.restarts += one.restarts;
        sum.promotions += one.promotions;
        sum.fenced_only += one.fenced_only;
        sum.kills += one.kills;
        if (only) break;
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    fmt::print(
        "{} faults, {} seeds, {:.1f} s: {} promotions, {} epochs ({} traffic-fenced only), {} routes, {} kills, {} "
        "daemon "
        "restarts; writes {} acknowledged, {} unknown, {} failed; {} rows rolled back\n",
        sum.faults, seed - 1, seconds, sum.promotions, sum.epochs, sum.fenced_only, sum.routes, sum.kills, sum.restarts,
        sum.acked, sum.unknown, sum.failed, sum.rolled_back);
    if (only) return;
    EXPECT_GE(sum.faults, faults_min);
    // It did test what it says.
    EXPECT_GT(sum.unknown, 0U);
    EXPECT_GT(sum.rolled_back, 0U);
    EXPECT_GT(sum.epochs, 100U);
    EXPECT_GT(sum.kills, 10U);
    EXPECT_LT(sum.fenced_only, sum.epochs);
}

TEST(Simulation, the_same_seed_gives_the_same_trace) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        Options options;
        options.seed = one_seed().value_or(seed);
        EXPECT_EQ(run(options).hash, run(options).hash) << replay(options.seed);
        EXPECT_EQ(run(options).faults, run(options).faults);
    }
}

}  // namespace
}  // namespace signalbox::sim
