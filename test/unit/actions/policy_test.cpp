// When an action is called for, and when it may be tried.

#include <gmock/gmock.h>

#include "domain/alarms/action_policy.hpp"

namespace signalbox::alarms {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

const base::WallTime t0{std::chrono::hours(24 * 365 * 50)};

ActionConfig named(const std::string& name, std::set<ActionTrigger> on) {
    ActionConfig action;
    action.name = name;
    action.on = std::move(on);
    return action;
}

TEST(ActionPolicy, the_id_of_a_transition_is_the_same_each_time_and_no_other_has_it) {
    const auto id = action_id("late", "db.orders", "17", "page");
    EXPECT_EQ(id, action_id("late", "db.orders", "17", "page"));
    EXPECT_EQ(id.size(), 4u + 32u);
    EXPECT_NE(id, action_id("late", "db.orders", "18", "page"));
    EXPECT_NE(id, action_id("late", "db.orders", "17", "mail"));
    EXPECT_NE(action_id("a", "bc", "1", "x"), action_id("ab", "c", "1", "x")) << "parts do not run into each other";
    std::set<std::string> ids;
    for (int i = 0; i < 20'000; ++i) ids.insert(action_id("late", "db.orders", std::to_string(i), "page"));
    EXPECT_EQ(ids.size(), 20'000u);
}

TEST(ActionPolicy, an_action_is_called_for_by_the_states_it_names_alone) {
    const std::vector<ActionConfig> actions = {named("page", {ActionTrigger::Alarm}),
                                               named("mail", {ActionTrigger::Alarm, ActionTrigger::Ok})};
    const auto names_for = [&](ActionTrigger entered) {
        std::vector<std::string> names;
        for (const auto* one : called_for(actions, {"mail", "gone", "page", "mail"}, entered))
            names.push_back(one->name);
        return names;
    };
    EXPECT_THAT(names_for(ActionTrigger::Alarm), ElementsAre("mail", "page"));
    EXPECT_THAT(names_for(ActionTrigger::Ok), ElementsAre("mail"));
    EXPECT_THAT(names_for(ActionTrigger::InsufficientData), IsEmpty());
}

TEST(ActionPolicy, more_than_the_rate_wait_until_the_oldest_has_left_the_interval) {
    const RateLimit limit{2, 1h};
    EXPECT_EQ(rate_limited_until(limit, {t0 - 10min}, t0), std::nullopt);
    EXPECT_EQ(rate_limited_until(limit, {t0 - 10min, t0 - 50min}, t0), t0 + 10min);
    EXPECT_EQ(rate_limited_until(limit, {t0 - 10min, t0 - 60min}, t0), std::nullopt) << "an hour ago is over";
    EXPECT_EQ(rate_limited_until(limit, {t0 - 50min, t0 - 30min, t0 - 10min}, t0), t0 + 30min);
    EXPECT_EQ(rate_limited_until({}, std::vector<base::WallTime>(1000, t0), t0), std::nullopt) << "no limit";
}

TEST(ActionPolicy, a_clock_that_was_set_back_holds_nothing_up) {
    EXPECT_EQ(rate_limited_until({1, 1h}, {t0 + 24h}, t0), std::nullopt);
}

TEST(ActionPolicy, tries_are_spread_over_a_time_that_doubles_up_to_its_bound) {
    const ActionRetry retry{10, 4s, 60s, 24h};
    EXPECT_EQ(next_try(retry, 1, t0, {}, 0.5, t0), t0 + 2s);
    EXPECT_EQ(next_try(retry, 2, t0, {}, 0.5, t0), t0 + 4s);
    EXPECT_EQ(next_try(retry, 3, t0, {}, 0.5, t0), t0 + 8s);
    EXPECT_EQ(next_try(retry, 9, t0, {}, 0.5, t0), t0 + 30s);
    EXPECT_EQ(next_try(retry, 9, t0, {}, 0, t0), t0);
}

TEST(ActionPolicy, a_receiver_that_asks_for_patience_gets_it_within_an_hour) {
    const ActionRetry retry{10, 1s, 60s, 24h};
    EXPECT_EQ(next_try(retry, 1, t0, 120s, 0.1, t0), t0 + 120s);
    EXPECT_EQ(next_try(retry, 1, t0, 1000h, 0.1, t0), t0 + 1h);
    EXPECT_EQ(next_try(retry, 1, t0, -5s, 0, t0), t0);
}

TEST(ActionPolicy, tries_and_age_have_an_end) {
    const ActionRetry retry{3, 1s, 60s, 1h};
    EXPECT_TRUE(next_try(retry, 2, t0, {}, 0, t0));
    EXPECT_FALSE(next_try(retry, 3, t0, {}, 0, t0)) << "three tries were all";
    EXPECT_FALSE(next_try(retry, 1, t0 - 2h, {}, 0, t0)) << "older than an hour";
}

TEST(ActionPolicy, placeholders_are_filled_once_and_what_is_not_known_stays) {
    const auto fill = [](std::string_view text) {
        return fill_placeholders(text, {{"table", "db.{partition}"}, {"partition", "day=1"}});
    };
    EXPECT_EQ(fill("{table}/{partition}"), "db.{partition}/day=1") << "a value is not read again";
    EXPECT_EQ(fill("{other} {table"), "{other} {table");
    EXPECT_EQ(fill("{{table}}"), "{db.{partition}}");
    EXPECT_EQ(fill(""), "");
}

}  // namespace
}  // namespace signalbox::alarms
