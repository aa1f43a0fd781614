// The default strategy: where, when not yet, and what it does with its own failures.

#include <gmock/gmock.h>

#include "decision_values.hpp"
#include "domain/jobs/decision.hpp"

namespace signalbox::jobs {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

DecisionInput resilient(int workers, std::vector<Candidate> candidates) {
    DecisionInput input = input_of(Strategy::Resilient, workers, std::move(candidates));
    input.at = t0 + 1min;
    return input;
}

Candidate with(Candidate candidate, BreakerState state, double badness = 0.5) {
    candidate.health = {state, badness, "zone '" + candidate.zone + "' " + std::string(to_string(state))};
    return candidate;
}

Candidate zone_of(Candidate candidate, const char* zone) {
    candidate.zone = zone;
    return candidate;
}

struct Row {
    const char* behaviour;
    DecisionInput input;
    std::vector<std::string> order;
};

DecisionInput after(DecisionInput input, std::vector<Tried> tried) {
    input.tried = std::move(tried);
    return input;
}

DecisionInput low_risk(DecisionInput input) {
    input.job.low_risk = true;
    return input;
}

std::vector<Row> rows() {
    using enum BreakerState;
    const auto a = [](std::uint64_t available = 9) { return place("a", available); };
    const auto b = [](std::uint64_t available = 9) { return place("b", available); };
    const auto c = [](std::uint64_t available = 9) { return place("c", available); };
    const auto zone_a = [&](const char* name) { return zone_of(place(name, 9), "z-a"); };
    return {
        {"equal places as listed", resilient(2, {a(), b(), c()}), {"a", "b", "c"}},
        {"full size before smaller", resilient(4, {a(3), b(9)}), {"b", "a"}},
        {"closed before half open before open",
         resilient(2, {with(a(), Open), with(b(), HalfOpen), c()}),
         {"c", "b", "a"}},
        {"a half-open place at full size before a smaller closed one",
         resilient(4, {a(3), with(b(), HalfOpen)}),
         {"b", "a"}},
        {"what less speaks against first",
         resilient(2, {with(a(), Closed, 0.4), with(b(), Closed, 0.2), c()}),
         {"c", "b", "a"}},
        {"among open ones the least bad", resilient(2, {with(a(), Open, 0.8), with(b(), Open, 0.6)}), {"b", "a"}},
        {"a low-risk job tries what is half open", low_risk(resilient(2, {a(), with(b(), HalfOpen)})), {"b", "a"}},
        {"but does not shrink for it", low_risk(resilient(4, {a(), with(b(3), HalfOpen)})), {"a", "b"}},
        {"nor go where it is open", low_risk(resilient(2, {with(a(), Open), b()})), {"b", "a"}},
        {"nor with a retry",
         after(low_risk(resilient(2, {a(), with(b(), HalfOpen), c()})), {tried("a", "z-a", RetryClass::Connection)}),
         {"c", "b", "a"}},
        {"another connection after a failure of a connection",
         after(resilient(2, {a(), b()}), {tried("a", "z-a", RetryClass::Connection)}),
         {"b", "a"}},
        {"another connection may be in the same zone",
         after(resilient(2, {zone_a("a1"), zone_a("a2"), b()}), {tried("a1", "z-a", RetryClass::Connection)}),
         {"a2", "b", "a1"}},
        {"another zone after a failure of a zone",
         after(resilient(2, {zone_a("a1"), zone_a("a2"), b()}), {tried("a1", "z-a", RetryClass::Zone)}),
         {"b", "a1", "a2"}},
        {"the same connection after a transient failure",
         after(resilient(2, {a(), b()}), {tried("b", "z-b", RetryClass::Transient)}),
         {"b", "a"}},
        {"but a transient failure long before means nothing",
         after(resilient(2, {a(), b(), c()}),
               {tried("c", "z-c", RetryClass::Transient), tried("a", "z-a", RetryClass::Connection)}),
         {"b", "c", "a"}},
        {"a transient failure is no reason to shrink",
         after(resilient(4, {a(), b(3)}), {tried("b", "z-b", RetryClass::Transient)}),
         {"a", "b"}},
        {"where all were tried the one that failed first",
         after(resilient(2, {a(), b()}),
               {tried("b", "z-b", RetryClass::Connection), tried("a", "z-a", RetryClass::Connection)}),
         {"b", "a"}},
        {"tried again rather than into an open breaker",
         after(resilient(2, {a(), with(b(), Open)}), {tried("a", "z-a", RetryClass::Connection)}),
         {"a", "b"}},
        {"into an open breaker rather than against a signal, which stands last as unusable",
         resilient(2, {place("a", 9, {signal()}), with(b(), Open)}),
         {"b", "a"}},
        {"with more nodes if none is full", resilient(9, {a(3), b(5), c(4)}), {"b", "c", "a"}},
        {"the rest in its old order", resilient(2, {place("a", 9, {broken()}), b(0), c()}), {"c", "a", "b"}},
    };
}

TEST(Resilient, orders_as_the_record_of_the_decision_says) {
    for (const Row& row : rows()) {
        DecisionInput input = row.input;
        EXPECT_EQ(names(decide(input)), row.order) << row.behaviour;
        input.deciding_since = t0 - 1h;
        EXPECT_EQ(chosen_name(decide(input)), row.order.front()) << "after the wait: " << row.behaviour;
    }
}

TEST(Resilient, says_what_put_a_place_where_it_is) {
    DecisionInput input = resilient(2, {with(place("a", 9), BreakerState::Open), place("b", 9), place("c", 9)});
    input.tried = {tried("b", "z-b", RetryClass::Connection), tried("c", "z-c", RetryClass::Transient)};
    const Decision decision = decide(input);
    EXPECT_EQ(decision.candidates[0].why, "zone 'z-a' open");
    EXPECT_EQ(decision.candidates[1].why, "attempt 0 of this run failed there");
    EXPECT_EQ(decision.candidates[2].why, "the last attempt failed there by something transient");
    EXPECT_EQ(decision.reason, "'c' is the best place of 3 connections");
}

TEST(Resilient, breakers_never_rule_out_all) {
    const DecisionInput input =
        resilient(2, {with(place("a", 9), BreakerState::Open), with(place("b", 9), BreakerState::Open)});
    const Decision decision = decide(input);
    EXPECT_EQ(chosen_name(decision), "a") << "at once: no place without a breaker can come";
    EXPECT_TRUE(decision.choice()->despite_signals);
    EXPECT_THAT(decision.reason, HasSubstr("although its breaker is open: no other is left"));
}

TEST(Resilient, waits_for_full_size_until_its_time_is_over_and_then_shrinks) {
    DecisionInput input = resilient(5, {place("a", 3), place("b", 4)});
    Decision decision = decide(input);
    EXPECT_FALSE(decision.chosen);
    EXPECT_EQ(decision.wait_until, t0 + 5min);
    EXPECT_EQ(decision.reason, "waits until " + base::format_time(t0 + 5min) +
                                   " at the latest: the best place now, 'b', has room for 4 of 5 nodes");
    input.at = t0 + 5min;
    decision = decide(input);
    EXPECT_FALSE(decision.wait_until);
    EXPECT_EQ(chosen_name(decision), "b");
    EXPECT_EQ(decision.choice()->nodes, 4u);
    input.job.workers_min = 5;
    decision = decide(input);
    EXPECT_FALSE(decision.chosen) << "never below workers_min";
    EXPECT_FALSE(decision.wait_until);
}

TEST(Resilient, waits_for_addresses_where_there_are_none_and_looks_when_they_are_expected_back) {
    const base::Fault none{"SB-NET-030", "no-free-addresses", base::Severity::Unusable, false, "", ""};
    DecisionInput input = resilient(2, {place("a", 0, {none}), place("b", 1)});
    EXPECT_EQ(decide(input).wait_until, t0 + 5min);
    EXPECT_THAT(decide(input).reason, HasSubstr("no connection has the addresses to start now"));
    input.candidates[0].coming_back = 2;
    input.candidates[0].back_at = t0 + 90s;
    input.candidates[1].coming_back = 2;
    input.candidates[1].back_at = t0 + 30s;
    EXPECT_EQ(decide(input).wait_until, t0 + 90s) << "what should have come back before now is no time to look";
    input.candidates[1].back_at = t0 + 10min;
    input.candidates[0].back_at.reset();
    EXPECT_EQ(decide(input).wait_until, t0 + 5min) << "never beyond the job's own time";
    input.at = t0 + 5min;
    EXPECT_FALSE(decide(input).wait_until);
    EXPECT_FALSE(decide(input).chosen);
}

TEST(Resilient, waits_for_a_sound_place_rather_than_use_one_that_much_speaks_against) {
    DecisionInput input = resilient(2, {with(place("a", 9), BreakerState::Open), place("b", 1)});
    EXPECT_TRUE(decide(input).wait_until);
    EXPECT_THAT(decide(input).reason, HasSubstr("only 'a' has addresses now, and much speaks against it: zone 'z-a'"));
    input.at = t0 + 5min;
    EXPECT_EQ(chosen_name(decide(input)), "a");
    input = after(resilient(2, {place("a", 9), place("b", 1)}), {tried("a", "z-a", RetryClass::Connection)});
    EXPECT_TRUE(decide(input).wait_until);
    input.at = t0 + 5min;
    EXPECT_EQ(chosen_name(decide(input)), "a") << "never excluded for good";
}

TEST(Resilient, shrinks_in_a_sound_place_rather_than_grow_where_its_breaker_is_open) {
    DecisionInput input = resilient(4, {with(place("a", 9), BreakerState::Open), place("b", 3)});
    input.at = t0 + 5min;
    EXPECT_EQ(chosen_name(decide(input)), "b");
}

TEST(Resilient, never_waits_where_waiting_cannot_help) {
    DecisionInput input = resilient(5, {place("a", 3), place("b", 9, {broken()})});
    input.candidates[0].size = 3;
    EXPECT_EQ(chosen_name(decide(input)), "a") << "the subnet has no more addresses in all";
    input.candidates[0].size = 4;
    EXPECT_TRUE(decide(input).wait_until);
    input.candidates[0] = place("a", 0);
    input.candidates[0].size = 1;
    const Decision none = decide(input);
    EXPECT_FALSE(none.wait_until);
    EXPECT_EQ(none.candidates[0].why, "its subnet has 1 addresses in all");
}

TEST(Resilient, waits_only_if_its_job_allows_it) {
    DecisionInput input = resilient(5, {place("a", 3)});
    input.at = input.deciding_since;
    input.job.full_size_wait = 0s;
    EXPECT_EQ(chosen_name(decide(input)), "a");
}

TEST(Resilient, a_clock_that_went_back_ends_the_wait) {
    DecisionInput input = resilient(5, {place("a", 3)});
    input.at = t0 - 1s;
    EXPECT_EQ(chosen_name(decide(input)), "a") << "how long it has waited is not known any more";
}

TEST(Resilient, no_other_strategy_waits) {
    for (const Strategy strategy : {Strategy::Ordered, Strategy::Random, Strategy::Capacity, Strategy::Program}) {
        DecisionInput input = resilient(5, {place("a", 3)});
        input.job.strategy = strategy;
        EXPECT_EQ(chosen_name(decide(input)), "a") << to_string(strategy);
    }
}

}  // namespace
}  // namespace signalbox::jobs
