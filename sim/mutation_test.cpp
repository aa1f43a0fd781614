// Every guard taken away in turn: the simulation, or else a unit test of test/unit/clusters, must notice. What only a
// unit test notices is named here, and that test runs its scenario without the guard too.

#include <gtest/gtest.h>
#include <map>

#include "sim/world.hpp"

namespace signalbox::sim {
namespace {

using clusters::Guard;
using clusters::Rules;

// The first seed that notices, and what; seeds in order, so that it is the same each time.
std::pair<std::uint64_t, std::string> hunt(Guard guard, std::uint64_t seeds_max) {
    for (std::uint64_t seed = 1; seed <= seeds_max; ++seed) {
        Options options;
        options.seed = seed;
        options.rules = Rules::without(guard);
        const Outcome one = run(options);
        if (!one.violation.empty()) return {seed, one.violation};
    }
    return {0, ""};
}

// test/unit/clusters/guards_test.cpp proves these: what they prevent needs more coincidence than a random run has, or
// is no loss but a delay.
const std::map<Guard, std::string> by_unit_test = {
    {Guard::WithdrawnNeedsEpoch, "a_writer_that_withdrew_comes_back_with_a_new_epoch_only"},
    {Guard::HoldWhenUnclear, "new_connections_wait_when_the_claim_is_gone"},
    {Guard::StaleSequence, "an_overtaken_answer_is_ignored"},
    {Guard::OwnDelayIsNoMiss, "our_own_delay_is_no_miss"},
    {Guard::ReplicatesFromNobody, "a_member_that_replicates_is_no_writer_though_it_is_writable"},
    {Guard::NewestClaimWins, "of_two_claims_with_the_same_history_neither_is_believed"},
    {Guard::ReaderContradicts, "a_reader_that_receives_from_a_silent_member_speaks_for_it"},
    {Guard::OldClaimEnds, "a_former_writer_that_never_withdrew_is_not_elected_by_saying_so_again"},
    {Guard::OthersAsked, "nobody_is_proven_before_everybody_was_asked"},
    {Guard::Identity, "one_server_under_two_names_is_not_believed"},
    {Guard::SameCluster, "a_member_of_another_cluster_is_not_believed"},
    {Guard::TopologyAgrees, "a_member_that_the_newest_topology_contradicts_is_not_believed"},
    {Guard::CaughtUpBeforePromote, "the_hook_runs_only_when_the_target_has_all_that_the_writer_has"},
    {Guard::HookIsNoProof, "a_hook_that_succeeded_makes_nobody_the_writer"},
    {Guard::AnswersSinceHook, "after_a_hook_of_unknown_outcome_only_newer_answers_prove_a_writer"},
    {Guard::DiscoveredByAddress, "only_well_formed_addresses_and_not_more_than_the_bound_become_members"},
};

TEST(Mutation, every_guard_that_is_taken_away_is_missed) {
    constexpr std::uint64_t seeds_max = 1000;
    for (int i = 0; i < clusters::guard_count; ++i) {
        const Guard guard = static_cast<Guard>(i);
        if (const auto unit = by_unit_test.find(guard); unit != by_unit_test.end()) {
            fmt::print("{:26} unit test: {}\n", clusters::to_string(guard), unit->second);
            continue;
        }
        const auto [seed, violation] = hunt(guard, seeds_max);
        EXPECT_NE(seed, 0U) << "nothing notices that the guard " << clusters::to_string(guard) << " is gone";
        fmt::print("{:26} seed {}: {}\n", clusters::to_string(guard), seed, violation.substr(0, 160));
    }
}

}  // namespace
}  // namespace signalbox::sim
