#pragma once
// The conformance suite of ports::Router: what every adapter must do. An adapter's test gives a world with
//   std::unique_ptr<ports::Router> router();     // of a group that starts empty
//   base::HostPort target(std::size_t number);   // different addresses that may be registered
//   void register_foreign(const base::HostPort&);  // as somebody else would, beside the router
//   void fail(); void recover();                 // the balancer does not answer, and again does, with its targets
//   static constexpr base::Duration settled_within, deadline;  // until a change shows; of one call, generously
// and instantiates it: INSTANTIATE_TYPED_TEST_SUITE_P(Haproxy, RouterSuite, HaproxyWorld);

#include <algorithm>
#include <chrono>
#include <gmock/gmock.h>
#include <thread>

#include "ports/router.hpp"

namespace signalbox::test {

template <typename World>
class RouterSuite : public testing::Test {
  protected:
    using Targets = std::vector<ports::RegisteredTarget>;

    // Asks until `good` says so, at most the world's time to settle; the last answer.
    template <typename Good>
    Targets targets_until(Good good) {
        const auto end = std::chrono::steady_clock::now() + World::settled_within;
        for (;;) {
            auto found = router_->targets();
            if (found && good(*found)) return *found;
            if (std::chrono::steady_clock::now() > end) {
                ADD_FAILURE() << (found ? "the targets never became as expected" : found.error().text());
                return found ? *found : Targets();
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
    }
    static std::size_t count(const Targets& targets, const base::HostPort& address) {
        return static_cast<std::size_t>(
            std::count_if(targets.begin(), targets.end(), [&](const auto& one) { return one.address == address; }));
    }
    static bool has(const Targets& targets, const base::HostPort& address, ports::TargetState state) {
        return std::any_of(targets.begin(), targets.end(),
                           [&](const auto& one) { return one.address == address && one.state == state; });
    }
    void expect_ok(const base::Status& status) { EXPECT_TRUE(status) << status.error().text(); }

    World world_;
    std::unique_ptr<ports::Router> router_ = world_.router();
};

TYPED_TEST_SUITE_P(RouterSuite);

TYPED_TEST_P(RouterSuite, a_group_starts_empty_and_names_itself) {
    const auto found = this->router_->targets();
    ASSERT_TRUE(found) << found.error().text();
    EXPECT_TRUE(found->empty());
    EXPECT_FALSE(this->router_->describe().empty());
}

TYPED_TEST_P(RouterSuite, what_is_registered_gets_traffic_and_twice_is_once) {
    const auto target = this->world_.target(0);
    this->expect_ok(this->router_->register_target(target, 100));
    this->expect_ok(this->router_->register_target(target, 100));
    const auto found = this->targets_until(
        [&](const auto& targets) { return this->has(targets, target, ports::TargetState::Healthy); });
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].weight.value_or(100), 100U);
}

TYPED_TEST_P(RouterSuite, several_targets_have_their_own_weights_and_keep_them_until_told_otherwise) {
    for (std::size_t i = 0; i < 3; ++i)
        this->expect_ok(this->router_->register_target(this->world_.target(i), static_cast<std::uint32_t>(10 + i)));
    this->expect_ok(this->router_->register_target(this->world_.target(1), 77));
    const auto found = this->targets_until([&](const auto& targets) { return targets.size() == 3; });
    for (const auto& one : found) {
        if (!one.weight) continue;
        const std::uint32_t expected = one.address == this->world_.target(0)   ? 10U
                                       : one.address == this->world_.target(1) ? 77U
                                                                               : 12U;
        EXPECT_EQ(*one.weight, expected) << one.address.text();
    }
}

TYPED_TEST_P(RouterSuite, what_is_deregistered_goes_and_the_others_stay) {
    for (std::size_t i = 0; i < 3; ++i) this->expect_ok(this->router_->register_target(this->world_.target(i), 100));
    this->expect_ok(this->router_->deregister_target(this->world_.target(1)));
    const auto found = this->targets_until([&](const auto& targets) { return targets.size() == 2; });
    EXPECT_EQ(this->count(found, this->world_.target(1)), 0U);
    this->expect_ok(this->router_->deregister_target(this->world_.target(1)));
    this->expect_ok(this->router_->deregister_target(this->world_.target(7)));
}

TYPED_TEST_P(RouterSuite, what_somebody_else_registered_is_seen_and_can_be_removed) {
    const auto foreign = this->world_.target(5);
    this->world_.register_foreign(foreign);
    this->targets_until([&](const auto& targets) { return this->count(targets, foreign) == 1; });
    this->expect_ok(this->router_->deregister_target(foreign));
    this->targets_until([](const auto& targets) { return targets.empty(); });
}

TYPED_TEST_P(RouterSuite, a_drained_target_is_taken_back_by_registering_it) {
    const auto target = this->world_.target(0);
    this->expect_ok(this->router_->register_target(target, 100));
    const auto drained = this->router_->drain_target(target);
    if (!drained) {
        EXPECT_EQ(drained.error().kind, base::ErrorKind::NotSupported) << drained.error().text();
        return;
    }
    this->expect_ok(this->router_->drain_target(target));
    this->expect_ok(this->router_->drain_target(this->world_.target(6)));
    const auto found = this->targets_until(
        [&](const auto& targets) { return this->has(targets, target, ports::TargetState::Draining); });
    EXPECT_EQ(found.size(), 1U);
    this->expect_ok(this->router_->register_target(target, 100));
    this->targets_until([&](const auto& targets) { return this->has(targets, target, ports::TargetState::Healthy); });
}

TYPED_TEST_P(RouterSuite, a_balancer_that_does_not_answer_is_an_error_within_the_deadline_never_an_empty_group) {
    const auto target = this->world_.target(0);
    this->expect_ok(this->router_->register_target(target, 100));
    this->world_.fail();
    const auto before = std::chrono::steady_clock::now();
    const auto found = this->router_->targets();
    ASSERT_FALSE(found);
    EXPECT_TRUE(found.error().kind == base::ErrorKind::Timeout || found.error().kind == base::ErrorKind::Unavailable)
        << found.error().text();
    EXPECT_THAT(found.error().text(), testing::HasSubstr(this->router_->describe()));
    EXPECT_FALSE(this->router_->deregister_target(target));
    EXPECT_FALSE(this->router_->register_target(this->world_.target(1), 100));
    EXPECT_LT(std::chrono::steady_clock::now() - before, 3 * TypeParam::deadline);
    this->world_.recover();
    this->targets_until([&](const auto& targets) { return this->count(targets, target) == 1; });
}

TYPED_TEST_P(RouterSuite, a_cancelled_router_ends_its_call_at_once_and_answers_no_more) {
    this->world_.fail();
    std::thread canceller([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        this->router_->cancel();
    });
    const auto before = std::chrono::steady_clock::now();
    EXPECT_FALSE(this->router_->targets());
    EXPECT_LT(std::chrono::steady_clock::now() - before, TypeParam::deadline);
    canceller.join();
    this->world_.recover();
    const auto later = this->router_->targets();
    ASSERT_FALSE(later);
    EXPECT_EQ(later.error().kind, base::ErrorKind::Unavailable) << later.error().text();
}

REGISTER_TYPED_TEST_SUITE_P(RouterSuite, a_group_starts_empty_and_names_itself,
                            what_is_registered_gets_traffic_and_twice_is_once,
                            several_targets_have_their_own_weights_and_keep_them_until_told_otherwise,
                            what_is_deregistered_goes_and_the_others_stay,
                            what_somebody_else_registered_is_seen_and_can_be_removed,
                            a_drained_target_is_taken_back_by_registering_it,
                            a_balancer_that_does_not_answer_is_an_error_within_the_deadline_never_an_empty_group,
                            a_cancelled_router_ends_its_call_at_once_and_answers_no_more);

}  // namespace signalbox::test
