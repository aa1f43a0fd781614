#include "domain/lake/poll_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "domain/lake/name_filter.hpp"

namespace signalbox::lake {
namespace {

using namespace std::chrono_literals;
using base::MonoTime;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Outcome = PollPlan::Outcome;

constexpr MonoTime start{1h};

PollTable table(const std::string& name, const std::string& catalog = "c") { return {catalog, name}; }

std::vector<std::string> names(const std::vector<PollTable>& tables) {
    std::vector<std::string> names;
    for (const auto& each : tables) names.push_back(each.catalog == "c" ? each.table : each.catalog + "/" + each.table);
    return names;
}

// One at a time, until nothing is due.
std::vector<std::string> drain(PollPlan& plan, MonoTime now, std::size_t most = 1000) {
    std::vector<std::string> looked;
    while (looked.size() < most) {
        const auto taken = plan.take(now);
        if (taken.empty()) break;
        for (const auto& each : taken) plan.done(each, Outcome::Done, now);
        for (const auto& name : names(taken)) looked.push_back(name);
    }
    return looked;
}

TEST(PollPlan, a_new_table_is_due_at_once_and_then_at_its_interval_with_jitter) {
    PollPlan plan({}, 1);
    plan.add(table("t"), 60s, start);
    EXPECT_THAT(names(plan.take(start)), ElementsAre("t"));
    EXPECT_THAT(plan.take(start), IsEmpty());
    plan.done(table("t"), Outcome::Done, start);
    // The second look comes within the first interval, so that tables spread.
    MonoTime at = *plan.next_at();
    EXPECT_LE(at, start + 60s);
    std::set<base::Duration> pauses;
    for (int i = 0; i < 100; ++i) {
        ASSERT_EQ(plan.take(at).size(), 1);
        plan.done(table("t"), Outcome::Done, at);
        const base::Duration pause = *plan.next_at() - at;
        EXPECT_GE(pause, 54s);
        EXPECT_LE(pause, 66s);
        pauses.insert(pause);
        at = *plan.next_at();
    }
    EXPECT_GT(pauses.size(), 90);
}

TEST(PollPlan, a_failing_table_is_looked_at_less_and_less_until_it_works) {
    PollPlan plan({}, 2);
    plan.add(table("t"), 60s, start);
    MonoTime at = start;
    base::Duration last{};
    for (int i = 0; i < 40; ++i) {
        ASSERT_EQ(plan.take(at).size(), 1);
        plan.done(table("t"), Outcome::Failed, at);
        last = *plan.next_at() - at;
        const base::Duration most = std::min<base::Duration>(5s * (1LL << std::min(i, 20)), 10min);
        EXPECT_LE(last, most);
        EXPECT_GE(last, most / 2);
        at = *plan.next_at();
    }
    EXPECT_GE(last, 5min);
    EXPECT_EQ(plan.failing(), 1);
    ASSERT_EQ(plan.take(at).size(), 1);
    plan.done(table("t"), Outcome::Done, at);
    EXPECT_LE(*plan.next_at() - at, 66s);
    EXPECT_EQ(plan.failing(), 0);
}

TEST(PollPlan, never_looks_at_more_than_allowed_nor_lets_one_catalog_take_all) {
    PollPlan plan({}, 3);
    for (int i = 0; i < 1000; ++i) plan.add(table(std::to_string(i), "slow"), 60s, start);
    plan.add(table("t", "quick"), 60s, start + 1s);
    const auto taken = plan.take(start + 1s);
    EXPECT_EQ(taken.size(), 9);
    EXPECT_THAT(taken, ::testing::Contains(table("t", "quick")));
    EXPECT_EQ(plan.running(), 9);
    // A slow catalog costs the other nothing.
    plan.done(table("t", "quick"), Outcome::Done, start + 1s);
    EXPECT_THAT(names(plan.take(start + 62s)), ElementsAre("quick/t"));
}

TEST(PollPlan, a_woken_table_goes_first_and_waits_for_no_back_off) {
    PollSettings settings;
    settings.running_max = 1;
    PollPlan plan(settings, 4);
    for (const char* name : {"a", "b", "x"}) plan.add(table(name), 60s, start);
    EXPECT_TRUE(plan.wake(table("x")));
    EXPECT_FALSE(plan.wake(table("unknown")));
    EXPECT_THAT(names(plan.take(start)), ElementsAre("x"));
    plan.done(table("x"), Outcome::Failed, start);
    plan.wake(table("x"));
    EXPECT_EQ(plan.next_at(), MonoTime::min());
    EXPECT_THAT(names(plan.take(start)), ElementsAre("x"));
}

TEST(PollPlan, a_table_that_is_woken_while_it_is_looked_at_is_looked_at_once_more) {
    PollPlan plan({}, 5);
    plan.add(table("t"), 60s, start);
    plan.take(start);
    plan.wake(table("t"));
    plan.wake(table("t"));
    EXPECT_THAT(plan.take(start), IsEmpty());
    plan.done(table("t"), Outcome::Done, start);
    EXPECT_THAT(drain(plan, start), ElementsAre("t"));
}

TEST(PollPlan, tables_that_are_woken_all_the_time_do_not_starve_the_others) {
    PollSettings settings;
    settings.running_max = 1;
    PollPlan plan(settings, 6);
    plan.add(table("calm"), 60s, start);
    plan.add(table("hot"), 60s, start);
    int calm = 0;
    for (int i = 0; i < 40; ++i) {
        plan.wake(table("hot"));
        const MonoTime now = start + i * 60s;
        const auto taken = plan.take(now);
        ASSERT_EQ(taken.size(), 1);
        calm += taken[0].table == "calm" ? 1 : 0;
        plan.done(taken[0], Outcome::Done, now);
    }
    EXPECT_GE(calm, 9);
}

TEST(PollPlan, ten_thousand_tables_each_get_their_turn_spread_over_the_interval) {
    PollPlan plan({}, 7);
    for (int i = 0; i < 10'000; ++i) plan.add(table(std::to_string(i), fmt::format("c{}", i % 3)), 60s, start);
    EXPECT_EQ(drain(plan, start, 100'000).size(), 10'000);
    std::map<std::string, int> looks;
    std::size_t busiest = 0;
    for (int second = 1; second <= 600; ++second) {
        const auto looked = drain(plan, start + second * 1s, 100'000);
        if (second > 120) busiest = std::max(busiest, looked.size());
        for (const auto& name : looked) ++looks[name];
    }
    EXPECT_EQ(looks.size(), 10'000);
    for (const auto& [name, count] : looks) {
        EXPECT_GE(count, 9) << name;
        EXPECT_LE(count, 11) << name;
    }
    // 167 a second if they were spread evenly.
    EXPECT_LT(busiest, 400);
}

TEST(PollPlan, a_removed_table_is_gone_also_while_it_is_looked_at_and_may_come_back) {
    PollPlan plan({}, 8);
    plan.add(table("t"), 60s, start);
    plan.add(table("u"), 60s, start);
    plan.take(start);
    plan.remove(table("t"));
    EXPECT_EQ(plan.tables(), 1);
    plan.done(table("t"), Outcome::Done, start);
    plan.done(table("u"), Outcome::Done, start);
    plan.remove(table("u"));
    EXPECT_EQ(plan.next_at(), std::nullopt);
    plan.add(table("t"), 60s, start);
    EXPECT_THAT(names(plan.take(start)), ElementsAre("t"));
}

TEST(PollPlan, a_catalog_that_is_woken_has_all_its_tables_due_now) {
    PollPlan plan({}, 9);
    for (const char* name : {"a", "b"}) plan.add(table(name), 60s, start);
    plan.add(table("o", "other"), 60s, start);
    drain(plan, start);
    plan.wake_catalog("c", start);
    EXPECT_THAT(drain(plan, start), ::testing::UnorderedElementsAre("a", "b"));
}

TEST(PollPlan, the_same_seed_gives_the_same_order) {
    const auto run = [] {
        PollPlan plan({}, 10);
        for (int i = 0; i < 50; ++i) plan.add(table(std::to_string(i)), 60s, start);
        std::vector<std::string> all;
        for (int second = 0; second < 300; ++second)
            for (const auto& name : drain(plan, start + second * 1s)) all.push_back(name);
        return all;
    };
    EXPECT_EQ(run(), run());
}

TEST(NameFilter, fits_stars_and_question_marks) {
    EXPECT_TRUE(fits_pattern("sales.orders", "sales.*"));
    EXPECT_TRUE(fits_pattern("a.b.c", "*.c"));
    EXPECT_TRUE(fits_pattern("a.b.c", "a*b*c"));
    EXPECT_TRUE(fits_pattern("t1", "t?"));
    EXPECT_TRUE(fits_pattern("", "*"));
    EXPECT_FALSE(fits_pattern("sales", "sales.*"));
    EXPECT_FALSE(fits_pattern("t12", "t?"));
    EXPECT_FALSE(fits_pattern("aXbY", "a*b"));
    EXPECT_FALSE(fits_pattern(std::string(5000, 'a'), "*a*a*a*a*a*a*a*a*b"));
}

TEST(NameFilter, exclude_goes_before_include) {
    const NameFilter filter{{"sales.*", "hr.people"}, {"*.tmp_*"}};
    EXPECT_TRUE(filter.passes("sales.orders"));
    EXPECT_TRUE(filter.passes("hr.people"));
    EXPECT_FALSE(filter.passes("hr.pay"));
    EXPECT_FALSE(filter.passes("sales.tmp_1"));
    EXPECT_TRUE((NameFilter{{}, {"a"}}).passes("b"));
}

}  // namespace
}  // namespace signalbox::lake
