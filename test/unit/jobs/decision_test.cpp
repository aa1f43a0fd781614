#include "domain/jobs/decision.hpp"

#include <gmock/gmock.h>
#include <numeric>

#include "base/prng.hpp"
#include "decision_values.hpp"

namespace signalbox::jobs {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Ordered, takes_the_first_usable_even_under_capacity_and_judges_all) {
    const DecisionInput input =
        input_of(Strategy::Ordered, 4, {place("one", 9, {broken()}), place("two", 3), place("three", 9)});
    const Decision decision = decide(input);
    EXPECT_EQ(chosen_name(decision), "two");
    EXPECT_EQ(decision.choice()->nodes, 3u);
    EXPECT_EQ(decision.choice()->usability, Usability::UnderCapacity);
    EXPECT_EQ(decision.candidates[2].usability, Usability::FullSize);
    EXPECT_THAT(names(decision), ElementsAre("two", "three", "one"));
    EXPECT_EQ(decision.reason, "'two' is the first usable of 3 connections, with 3 of 4 nodes");
}

TEST(Ordered, two_addresses_start_a_run_and_one_starts_a_job_of_one_node) {
    EXPECT_EQ(chosen_name(decide(input_of(Strategy::Ordered, 2, {place("one", 1)}))), "");
    EXPECT_EQ(chosen_name(decide(input_of(Strategy::Ordered, 2, {place("one", 2)}))), "one");
    EXPECT_EQ(chosen_name(decide(input_of(Strategy::Ordered, 1, {place("one", 1)}))), "one");
    EXPECT_EQ(chosen_name(decide(input_of(Strategy::Ordered, 1, {place("one", 0)}))), "");
}

TEST(Ordered, no_run_starts_with_fewer_nodes_than_its_job_allows) {
    DecisionInput input = input_of(Strategy::Ordered, 8, {place("one", 5), place("two", 6)});
    input.job.workers_min = 6;
    const Decision decision = decide(input);
    EXPECT_EQ(chosen_name(decision), "two");
    EXPECT_EQ(decision.candidates[0].usability, Usability::Unusable);
    EXPECT_EQ(decision.candidates[0].why, "5 addresses available; the job starts with no fewer than 6 nodes");
    input.job.workers = 4;
    EXPECT_EQ(chosen_name(decide(input)), "one") << "never more than full size";
}

TEST(Decide, says_when_nothing_is_usable_and_chooses_nothing) {
    for (const Strategy strategy : all_strategies) {
        DecisionInput input = input_of(strategy, 2, {place("one", 9, {broken()}), place("two", 9, {broken()})});
        const Decision decision = decide(input);
        EXPECT_FALSE(decision.chosen) << to_string(strategy);
        EXPECT_FALSE(decision.wait_until) << "no wait mends a missing route";
        EXPECT_THAT(decision.reason, HasSubstr("none of 2 connections is usable"));
        EXPECT_THAT(names(decision), ElementsAre("one", "two"));
    }
    const Decision none = decide(DecisionInput{});
    EXPECT_FALSE(none.chosen);
    EXPECT_FALSE(none.wait_until);
}

TEST(Decide, signals_rule_out_a_zone_but_never_all) {
    for (const Strategy strategy : all_strategies) {
        DecisionInput input = input_of(strategy, 2, {place("one", 9, {signal()}), place("two", 9)});
        input.program = ProgramAnswer{{"one", "two"}, ""};
        EXPECT_EQ(chosen_name(decide(input)), "two") << to_string(strategy);
        EXPECT_FALSE(decide(input).choice()->despite_signals);
        input.candidates[1].faults = {broken()};
        const Decision open = decide(input);
        EXPECT_EQ(chosen_name(open), "one") << to_string(strategy);
        EXPECT_TRUE(open.choice()->despite_signals);
        EXPECT_THAT(open.reason, HasSubstr("although its zone is reported impaired: no other is left"));
    }
}

TEST(Decide, what_is_not_managed_is_never_chosen_and_comes_last) {
    Candidate foreign = place("foreign", 99);
    foreign.connection.managed = false;
    for (const Strategy strategy : all_strategies) {
        DecisionInput input = input_of(strategy, 2, {foreign, place("bad", 9, {broken()}), place("good", 9)});
        input.program = ProgramAnswer{{"foreign", "good"}, ""};
        EXPECT_THAT(names(decide(input)), ElementsAre("good", "bad", "foreign")) << to_string(strategy);
        input.candidates.resize(1);
        EXPECT_FALSE(decide(input).chosen);
        EXPECT_FALSE(decide(input).wait_until);
    }
}

TEST(Decide, only_resilient_heeds_breakers_and_earlier_attempts) {
    for (const Strategy strategy : {Strategy::Ordered, Strategy::Capacity}) {
        DecisionInput input = input_of(strategy, 2, {place("one", 9), place("two", 9)});
        input.candidates[0].health = {BreakerState::Open, 0.9, "open"};
        input.tried = {tried("one", "z-one", RetryClass::Zone)};
        EXPECT_EQ(chosen_name(decide(input)), "one") << to_string(strategy);
    }
}

// AWS's published recipe, written down as slowly and plainly as possible: repeatedly take what comes next.
std::vector<std::string> recipe(const DecisionInput& input, bool capacity) {
    const auto nodes = static_cast<std::uint64_t>(input.job.workers);
    std::vector<const Candidate*> left, result;
    for (const Candidate& candidate : input.candidates)
        if (candidate.connection.managed) left.push_back(&candidate);
    const auto take = [&](const Candidate* next) {
        result.push_back(next);
        left.erase(std::find(left.begin(), left.end(), next));
    };
    while (capacity) {
        const Candidate* most = nullptr;
        for (const Candidate* candidate : left) {
            const bool may = candidate->faults.empty() && candidate->available >= std::min<std::uint64_t>(nodes, 2);
            if (may && (most == nullptr || candidate->available > most->available)) most = candidate;
        }
        if (most == nullptr) break;
        take(most);
    }
    result.insert(result.end(), left.begin(), left.end());
    std::vector<std::string> names;
    for (const Candidate* candidate : result) names.push_back(candidate->connection.name);
    for (const Candidate& candidate : input.candidates)
        if (!candidate.connection.managed) names.push_back(candidate.connection.name);
    return names;
}

DecisionInput random_input(base::Prng& prng, Strategy strategy) {
    std::vector<Candidate> candidates;
    const std::uint64_t count = prng.below(12);
    for (std::uint64_t i = 0; i < count; ++i) {
        Candidate candidate = place("c" + std::to_string(i), prng.below(9));
        if (prng.chance(0.2)) candidate.faults = {broken()};
        candidate.connection.managed = !prng.chance(0.1);
        candidates.push_back(std::move(candidate));
    }
    DecisionInput input = input_of(strategy, static_cast<int>(1 + prng.below(7)), std::move(candidates));
    input.seed = prng.next();
    return input;
}

TEST(Capacity, is_the_published_recipe_for_any_sizes) {
    base::Prng prng(7);
    for (int round = 0; round < 3000; ++round) {
        const DecisionInput input = random_input(prng, Strategy::Capacity);
        const Decision decision = decide(input);
        ASSERT_EQ(names(decision), recipe(input, true)) << "round " << round;
        if (decision.chosen) {
            ASSERT_EQ(*decision.chosen, decision.order.front());
        }
    }
}

TEST(Random, shuffles_within_good_then_within_usable_and_keeps_the_rest) {
    base::Prng prng(8);
    for (int round = 0; round < 3000; ++round) {
        const DecisionInput input = random_input(prng, Strategy::Random);
        const auto nodes = static_cast<std::uint64_t>(input.job.workers);
        std::vector<std::string> good, usable, rest, foreign;
        for (const Candidate& candidate : input.candidates) {
            const bool sound = candidate.connection.managed && candidate.faults.empty();
            auto& group = !candidate.connection.managed                                       ? foreign
                          : sound && candidate.available >= nodes                             ? good
                          : sound && candidate.available >= std::min<std::uint64_t>(nodes, 2) ? usable
                                                                                              : rest;
            group.push_back(candidate.connection.name);
        }
        const std::vector<std::string> order = names(decide(input));
        ASSERT_EQ(order.size(), input.candidates.size());
        auto at = order.begin();
        const auto next = [&](std::size_t count) {
            std::vector<std::string> part(at, at + static_cast<std::ptrdiff_t>(count));
            at += static_cast<std::ptrdiff_t>(count);
            return part;
        };
        ASSERT_THAT(next(good.size()), testing::UnorderedElementsAreArray(good));
        ASSERT_THAT(next(usable.size()), testing::UnorderedElementsAreArray(usable));
        ASSERT_EQ(next(rest.size()), rest);
        ASSERT_EQ(next(foreign.size()), foreign);
    }
}

TEST(Random, every_order_of_the_good_ones_is_as_likely_as_any_other) {
    DecisionInput input = input_of(Strategy::Random, 2, {place("a", 5), place("b", 5), place("c", 5)});
    std::map<std::string, int> seen;
    for (input.seed = 0; input.seed < 6000; ++input.seed) ++seen[base::join(names(decide(input)), "")];
    EXPECT_EQ(seen.size(), 6u);
    for (const auto& [order, count] : seen) EXPECT_NEAR(count, 1000, 150) << order;
}

TEST(Random, the_same_seed_gives_the_same_order) {
    DecisionInput input = input_of(Strategy::Random, 2, {place("a", 5), place("b", 5), place("c", 5), place("d", 5)});
    input.seed = 99;
    EXPECT_EQ(names(decide(input)), names(decide(input)));
}

TEST(Program, its_names_are_the_order_and_the_rest_follows_as_listed) {
    DecisionInput input = input_of(Strategy::Program, 2, {place("a", 5), place("b", 5), place("c", 5), place("d", 5)});
    input.program = ProgramAnswer{{"c", "a"}, ""};
    const Decision decision = decide(input);
    EXPECT_THAT(names(decision), ElementsAre("c", "a", "b", "d"));
    EXPECT_EQ(chosen_name(decision), "c");
    EXPECT_EQ(decision.strategy, Strategy::Program);
    EXPECT_EQ(decision.fallback, "");
    EXPECT_EQ(decision.reason, "'c' is the program's first usable of 4 connections");
}

TEST(Program, unknown_repeated_and_unusable_names_are_said_and_skipped) {
    DecisionInput input = input_of(Strategy::Program, 2, {place("a", 5), place("b", 5, {broken()}), place("c", 5)});
    input.program = ProgramAnswer{{"x\x1b[31m", "b", "c", "c", "a"}, ""};
    const Decision decision = decide(input);
    EXPECT_THAT(names(decision), ElementsAre("c", "a", "b"));
    EXPECT_EQ(decision.reason,
              "'c' is the program's first usable of 3 connections; skipped of the program's answer: 'x?[31m' is no "
              "connection of the job, 'b' is not usable, 'c' was named before");
    input.program->names.assign(1000, std::string(10000, 'y'));
    input.program->names.emplace_back("a");
    const Decision flooded = decide(input);
    EXPECT_EQ(chosen_name(flooded), "a");
    EXPECT_THAT(flooded.reason, HasSubstr("and 995 more"));
    EXPECT_LT(flooded.reason.size(), 1000u);
}

TEST(Program, on_any_fault_of_it_the_run_falls_back_to_ordered_and_says_so) {
    DecisionInput input = input_of(Strategy::Program, 2, {place("a", 5), place("b", 9)});
    const auto check = [&](const std::string& fallback) {
        const Decision decision = decide(input);
        EXPECT_EQ(decision.strategy, Strategy::Ordered);
        EXPECT_EQ(decision.fallback, fallback);
        EXPECT_EQ(chosen_name(decision), "a");
        EXPECT_EQ(decision.reason, "'a' is the first usable of 2 connections; as listed, since " + fallback);
    };
    check("the strategy program was not asked");
    input.program = ProgramAnswer{{"b"}, "took longer than 5s"};
    check("the strategy program: took longer than 5s");
    input.program = ProgramAnswer{{}, ""};
    check("the strategy program named no usable connection");
    input.program = ProgramAnswer{{"z"}, ""};
    check("the strategy program named no usable connection: 'z' is no connection of the job");
}

TEST(DecisionJson, a_journaled_input_decides_the_same_byte_for_byte) {
    base::Prng prng(11);
    for (int round = 0; round < 300; ++round) {
        DecisionInput input = random_input(prng, all_strategies[prng.below(5)]);
        vary(prng, input);
        const std::string stored = base::json::serialize(to_json(input));
        const auto back = parse_decision_input(*base::parse_json(stored));
        ASSERT_TRUE(back) << back.error().text();
        ASSERT_EQ(*back, input);
        ASSERT_EQ(base::json::serialize(to_json(*back)), stored);
        ASSERT_EQ(base::json::serialize(to_json(decide(*back))), base::json::serialize(to_json(decide(input))));
    }
}

TEST(DecisionJson, the_journal_never_gets_the_environment) {
    DecisionInput input = input_of(Strategy::Ordered, 2, {place("a", 5)});
    input.job.environment = {{"PASSWORD", "hunter2"}};
    EXPECT_THAT(base::json::serialize(to_json(input)), testing::Not(HasSubstr("hunter2")));
}

// Every value of the stored input, replaced by something that it can't be, and every one left out.
TEST(DecisionJson, a_damaged_input_is_refused_with_the_field) {
    base::Prng prng(12);
    DecisionInput input = random_input(prng, Strategy::Program);
    vary(prng, input);
    input.candidates = {place("a", 5, {signal()})};
    input.tried = {tried("a", "z-a", RetryClass::Zone)};
    input.job.retry.rules = {{{3}, "x", RetryClass::Zone}};
    input.job.sources = {{"orders", {{"10.0.0.1", 3306}}}};
    const base::json::value whole = to_json(input);
    int damaged = 0;
    const auto damage = [&](const auto& self, base::json::value& root, base::json::value& part) -> void {
        if (base::json::array* array = part.if_array()) {
            for (base::json::value& element : *array) self(self, root, element);
        }
        base::json::object* object = part.if_object();
        if (object == nullptr) return;
        for (std::size_t i = 0; i < object->size(); ++i) {
            auto& member = *(object->begin() + i);
            const base::json::value kept = member.value();
            member.value() = base::json::array{base::json::object{}};
            const auto parsed = parse_decision_input(root);
            EXPECT_FALSE(parsed) << member.key();
            if (!parsed) {
                EXPECT_EQ(parsed.error().kind, base::ErrorKind::CorruptData) << member.key();
            }
            ++damaged;
            member.value() = kept;
            self(self, root, member.value());
        }
    };
    base::json::value root = whole;
    damage(damage, root, root);
    EXPECT_GT(damaged, 60);
    EXPECT_TRUE(parse_decision_input(whole));
    for (const auto& member : whole.as_object()) {
        base::json::object less = whole.as_object();
        less.erase(member.key());
        const auto parsed = parse_decision_input(less);
        ASSERT_FALSE(parsed) << member.key();
    }
    root = whole;
    root.as_object()["candidates"].as_array()[0].as_object()["available"] = -1;
    EXPECT_THAT(parse_decision_input(root).error().text(), HasSubstr("no valid 'available'"));
}

TEST(DecisionJson, shows_order_health_waits_and_fallbacks) {
    DecisionInput input = input_of(Strategy::Program, 2, {place("a", 5), place("b", 1)});
    input.candidates[1].coming_back = 3;
    input.candidates[1].back_at = t0 + 1min;
    input.candidates[0].health = {BreakerState::HalfOpen, 0.5, "zone 'a' half-open"};
    const base::json::object shown = to_json(decide(input));
    EXPECT_EQ(shown.at("strategy"), "ordered");
    EXPECT_EQ(shown.at("fallback"), "the strategy program was not asked");
    EXPECT_EQ(base::json::serialize(shown.at("order")), R"(["a","b"])");
    EXPECT_TRUE(shown.at("wait_until").is_null());
    const base::json::object& a = shown.at("candidates").as_array()[0].as_object();
    EXPECT_EQ(a.at("health").at("state"), "half-open");
    EXPECT_EQ(a.at("chosen"), true);
    const base::json::object& b = shown.at("candidates").as_array()[1].as_object();
    EXPECT_EQ(b.at("coming_back"), 3);
    EXPECT_EQ(b.at("back_at").as_string(), base::format_time(t0 + 1min));
}

}  // namespace
}  // namespace signalbox::jobs
