// The main test of the follower: many seeds, every checker after each step.

#include <chrono>
#include <cstdlib>
#include <gtest/gtest.h>
#include <mutex>
#include <thread>

#include "base/text.hpp"
#include "sim/world.hpp"

namespace signalbox::sim {
namespace {

std::string replay(std::uint64_t seed) {
    return fmt::format(
        "replay with: SIGNALBOX_SIM_SEED={} SIGNALBOX_SIM_TRACE=1 build/release/test/sim --gtest_filter=*million*",
        seed);
}

std::optional<std::uint64_t> number(const char* variable) {
    const char* text = std::getenv(variable);
    return text == nullptr ? std::nullopt : base::parse_uint(text);
}

// The seed of SIGNALBOX_SIM_SEED alone, or nothing.
std::optional<std::uint64_t> one_seed() { return number("SIGNALBOX_SIM_SEED"); }

void add(Outcome& sum, const Outcome& one) {
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
    sum.switchovers += one.switchovers;
    sum.switched += one.switched;
    sum.hooks += one.hooks;
    sum.reconfigured += one.reconfigured;
    sum.discovered += one.discovered;
    sum.events += one.events;
    sum.reader_sets += one.reader_sets;
}

// Seeds from `first` on, by all processors, until so many faults were injected or a seed failed.
struct Sweep {
    Outcome sum;
    std::uint64_t seeds = 0;
    std::uint64_t failed_seed = 0;
};
Sweep sweep(std::uint64_t first, std::uint64_t faults_min, std::uint64_t seeds_max) {
    Sweep result;
    std::mutex mutex;
    const auto work = [&] {
        for (;;) {
            Options options;
            {
                const std::lock_guard guard(mutex);
                const bool enough = result.sum.faults >= faults_min || result.seeds >= seeds_max;
                if (enough || result.failed_seed != 0) return;
                options.seed = first + result.seeds++;
            }
            const Outcome one = run(options);
            const std::lock_guard guard(mutex);
            add(result.sum, one);
            if (one.violation.empty() || (result.failed_seed != 0 && result.failed_seed < options.seed)) continue;
            result.failed_seed = options.seed;
            result.sum.violation = one.violation;
        }
    };
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < std::max(2U, std::thread::hardware_concurrency()); ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
    return result;
}

TEST(Simulation, holds_its_promises_under_a_million_faults) {
    if (const auto only = one_seed()) {
        Options options;
        options.seed = *only;
        options.verbose = std::getenv("SIGNALBOX_SIM_TRACE") != nullptr;
        const Outcome one = run(options);
        fmt::print("seed {}: {} faults, {} epochs, trace {:016x}\n", *only, one.faults, one.epochs, one.hash);
        EXPECT_EQ(one.violation, "");
        return;
    }
    const std::uint64_t faults_min = number("SIGNALBOX_SIM_FAULTS").value_or(1'000'000);
    const std::uint64_t first = number("SIGNALBOX_SIM_FIRST").value_or(1);
    const auto started = std::chrono::steady_clock::now();
    const Sweep swept = sweep(first, faults_min, faults_min / 10);
    const Outcome& sum = swept.sum;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    ASSERT_EQ(swept.failed_seed, 0U) << "seed " << swept.failed_seed << ": " << sum.violation << "; "
                                     << replay(swept.failed_seed);
    fmt::print(
        "{} faults, {} seeds, {:.1f} s: {} promotions, {} epochs ({} traffic-fenced only), {} routes, {} kills, {} "
        "daemon restarts; {} switchovers begun, {} hooks, {} done; {} reloads, {} members found, {} events, {} sets of "
        "readers; writes {} acknowledged, {} unknown, {} failed; {} rows rolled back\n",
        sum.faults, swept.seeds, seconds, sum.promotions, sum.epochs, sum.fenced_only, sum.routes, sum.kills,
        sum.restarts, sum.switchovers, sum.hooks, sum.switched, sum.reconfigured, sum.discovered, sum.events,
        sum.reader_sets, sum.acked, sum.unknown, sum.failed, sum.rolled_back);
    EXPECT_GE(sum.faults, faults_min);
    // It did test what it says.
    EXPECT_GT(sum.unknown, 0U);
    EXPECT_GT(sum.rolled_back, 0U);
    EXPECT_GT(sum.epochs, 100U);
    EXPECT_GT(sum.kills, 10U);
    EXPECT_LT(sum.fenced_only, sum.epochs);
    EXPECT_GT(sum.switched, 10U);
    EXPECT_GT(sum.hooks, sum.switched);
    EXPECT_GT(sum.discovered, 0U);
    EXPECT_GT(sum.events, 0U);
    EXPECT_GT(sum.reader_sets, 100U);
}

TEST(Simulation, the_same_seed_gives_the_same_trace) {
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        Options options;
        options.seed = one_seed().value_or(seed);
        const Outcome once = run(options);
        const Outcome again = run(options);
        EXPECT_EQ(once.hash, again.hash) << replay(options.seed);
        EXPECT_EQ(once.faults, again.faults) << replay(options.seed);
        if (one_seed()) return;
    }
}

}  // namespace
}  // namespace signalbox::sim
