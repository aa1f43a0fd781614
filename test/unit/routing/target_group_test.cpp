// What is done so that a target group becomes what it should be.

#include "domain/routing/target_group.hpp"

#include <gmock/gmock.h>

#include "base/prng.hpp"

namespace signalbox::routing {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

base::HostPort at(int number) { return {"10.0.0." + std::to_string(number), 3306}; }
RegisteredTarget there(int number, TargetState state = TargetState::Healthy, std::uint32_t weight = 100,
                       std::uint64_t sessions = 0) {
    return {at(number), state, weight, sessions};
}
TargetStep register_step(int number, std::uint32_t weight = 100) {
    return {TargetAction::Register, at(number), weight};
}
TargetStep deregister_step(int number) { return {TargetAction::Deregister, at(number), 0}; }

TEST(TargetPlan, the_former_goes_before_the_new_comes) {
    const auto plan = plan_targets({{at(2)}}, {there(1)});
    EXPECT_THAT(plan.steps, ElementsAre(deregister_step(1), register_step(2)));
    EXPECT_FALSE(plan.verified);
}

TEST(TargetPlan, only_what_is_there_and_healthy_and_alone_is_verified) {
    EXPECT_TRUE(plan_targets({{at(1)}}, {there(1)}).verified);
    EXPECT_TRUE(plan_targets({}, {}).verified);
    EXPECT_FALSE(plan_targets({{at(1)}}, {}).verified);
    const auto initial = plan_targets({{at(1)}}, {there(1, TargetState::Initial)});
    EXPECT_FALSE(initial.verified);
    EXPECT_THAT(initial.steps, IsEmpty());
    EXPECT_THAT(initial.waiting, HasSubstr("10.0.0.1:3306 is registered and not yet in use"));
    EXPECT_THAT(plan_targets({{at(1)}}, {there(1, TargetState::Unhealthy)}).waiting, HasSubstr("own check"));
}

TEST(TargetPlan, whatever_somebody_else_registered_goes_once_for_each_address) {
    const auto plan = plan_targets(
        {{at(1)}}, {there(3), there(1), there(4, TargetState::Unhealthy), there(3), there(5, TargetState::Draining)});
    EXPECT_THAT(plan.steps, ElementsAre(deregister_step(3), deregister_step(4), deregister_step(5)));
}

TEST(TargetPlan, the_same_address_on_another_port_is_another_target) {
    EXPECT_THAT(plan_targets({{at(1)}}, {{{"10.0.0.1", 3307}, TargetState::Healthy, 100, 0}}).steps,
                ElementsAre(TargetStep{TargetAction::Deregister, {"10.0.0.1", 3307}, 0}, register_step(1)));
}

TEST(TargetPlan, what_an_operator_put_aside_stays_unless_something_may_run_through_it) {
    EXPECT_TRUE(plan_targets({}, {there(1, TargetState::Unused)}).verified);
    EXPECT_THAT(plan_targets({}, {there(1, TargetState::Unused, 100, 2)}).steps, ElementsAre(deregister_step(1)));
    auto unknown = there(1, TargetState::Unused);
    unknown.sessions.reset();
    EXPECT_THAT(plan_targets({}, {unknown}).steps, ElementsAre(deregister_step(1)));
}

TEST(TargetPlan, a_wanted_one_that_drains_or_is_out_of_use_is_taken_back) {
    EXPECT_THAT(plan_targets({{at(1)}}, {there(1, TargetState::Draining)}).steps, ElementsAre(register_step(1)));
    EXPECT_THAT(plan_targets({{at(1)}}, {there(1, TargetState::Unused)}).steps, ElementsAre(register_step(1)));
}

TEST(TargetPlan, a_wrong_weight_is_mended_and_a_balancer_without_weights_has_none_to_mend) {
    EXPECT_THAT(plan_targets({{at(1), 10}}, {there(1)}).steps, ElementsAre(register_step(1, 10)));
    auto unweighted = there(1);
    unweighted.weight.reset();
    EXPECT_TRUE(plan_targets({{at(1), 10}}, {unweighted}).verified);
}

TEST(TargetPlan, a_draining_one_gets_no_new_traffic_and_is_not_added_for_that) {
    const WantedTarget draining{at(1), 100, true};
    EXPECT_THAT(plan_targets({draining}, {there(1)}).steps, ElementsAre(TargetStep{TargetAction::Drain, at(1), 0}));
    EXPECT_TRUE(plan_targets({draining}, {there(1, TargetState::Draining)}).verified);
    EXPECT_TRUE(plan_targets({draining}, {}).verified);
    EXPECT_TRUE(plan_targets({draining}, {there(1)}, false).verified) << "left as it is where that can't be taken back";
}

// A balancer that does as it is told.
void apply(std::vector<RegisteredTarget>& found, const TargetStep& step) {
    if (step.action == TargetAction::Deregister) {
        std::erase_if(found, [&](const auto& one) { return one.address == step.address; });
        return;
    }
    bool known = false;
    for (auto& one : found) {
        if (one.address != step.address) continue;
        known = true;
        one.state = step.action == TargetAction::Drain ? TargetState::Draining : TargetState::Healthy;
        if (step.action == TargetAction::Register) one.weight = step.weight;
    }
    if (!known && step.action == TargetAction::Register)
        found.push_back({step.address, TargetState::Healthy, step.weight, 0});
}

TEST(TargetPlan, from_anything_to_anything_in_one_pass_and_never_two_generations_at_once) {
    for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
        base::Prng random(seed);
        std::vector<RegisteredTarget> found;
        for (std::uint64_t i = random.below(6); i > 0; --i)
            found.push_back(there(static_cast<int>(random.below(5)), static_cast<TargetState>(random.below(5)),
                                  static_cast<std::uint32_t>(random.below(101)), random.below(3)));
        std::vector<WantedTarget> wanted;
        for (int i = 0; i < 5; ++i) {
            if (random.chance(0.4))
                wanted.push_back({at(i), static_cast<std::uint32_t>(1 + random.below(100)), random.chance(0.2)});
        }
        bool added = false;
        for (const auto& step : plan_targets(wanted, found).steps) {
            EXPECT_FALSE(added && step.action == TargetAction::Deregister) << "seed " << seed;
            added = added || step.action == TargetAction::Register;
            apply(found, step);
        }
        const auto after = plan_targets(wanted, found);
        EXPECT_THAT(after.steps, IsEmpty()) << "seed " << seed;
        // One that the balancer's own check keeps out is for the balancer to take in.
        EXPECT_EQ(after.verified, after.waiting.empty()) << "seed " << seed;
    }
}

}  // namespace
}  // namespace signalbox::routing
