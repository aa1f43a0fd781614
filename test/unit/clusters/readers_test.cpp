#include "domain/routing/readers.hpp"

#include <gtest/gtest.h>

namespace signalbox::routing {
namespace {

using base::MonoTime;
using namespace std::chrono_literals;

ReaderFact reader(const std::string& name, std::optional<base::Duration> lag = 0ms) {
    return {name, {"10.0.0.1", 3306}, Presence::Answers, Role::Reader, lag};
}
ReaderFact writer(const std::string& name) { return {name, {"10.0.0.9", 3306}, Presence::Answers, Role::Writer, {}}; }

ReaderConfig quick() {
    ReaderConfig config;
    config.slow_start = 0s;
    return config;
}

std::string text(const std::vector<ReaderTarget>& targets) {
    std::string out;
    for (const ReaderTarget& target : targets) {
        out += fmt::format("{}{}{}", out.empty() ? "" : " ", target.member, target.draining ? "-" : "");
    }
    return out;
}

TEST(Readers, only_a_member_whose_evidence_says_reader_is_one) {
    ReaderPool pool(quick());
    ReaderFact unknown = reader("c");
    unknown.role.reset();
    ReaderFact away = reader("d");
    away.presence = Presence::Away;
    EXPECT_EQ(text(pool.update({writer("a"), reader("b"), unknown, away}, MonoTime(1s))), "b");
}

TEST(Readers, one_that_lags_or_does_not_know_drains_and_comes_back_only_well_below_the_limit) {
    ReaderPool pool(quick());
    EXPECT_EQ(text(pool.update({reader("b", 10s)}, MonoTime(1s))), "b");
    EXPECT_EQ(text(pool.update({reader("b", 10001ms)}, MonoTime(2s))), "b-");
    EXPECT_EQ(text(pool.update({reader("b", 9s)}, MonoTime(3s))), "b-");
    EXPECT_EQ(text(pool.update({reader("b", 8s)}, MonoTime(4s))), "b");
    EXPECT_EQ(text(pool.update({reader("b", std::nullopt)}, MonoTime(5s))), "b-");
    ReaderConfig any = quick();
    any.max_lag.reset();
    pool.configure(any);
    EXPECT_EQ(text(pool.update({reader("b", std::nullopt)}, MonoTime(6s))), "b");
}

TEST(Readers, one_that_answers_with_an_error_keeps_its_sessions_and_gets_no_new_ones) {
    ReaderPool pool(quick());
    ReaderFact unsure = reader("b");
    unsure.presence = Presence::Unsure;
    EXPECT_EQ(text(pool.update({unsure}, MonoTime(1s))), "");
    EXPECT_EQ(text(pool.update({reader("b")}, MonoTime(2s))), "b");
    EXPECT_EQ(text(pool.update({unsure}, MonoTime(3s))), "b-");
    // It was the writer until now, and nobody knows what it is.
    unsure.role.reset();
    EXPECT_EQ(text(pool.update({unsure}, MonoTime(4s))), "");
}

TEST(Readers, the_writer_is_a_target_only_by_the_users_wish) {
    ReaderConfig config = quick();
    config.include_writer = IncludeWriter::WhenAlone;
    ReaderPool pool(config);
    EXPECT_EQ(text(pool.update({writer("a"), reader("b")}, MonoTime(1s))), "b");
    EXPECT_EQ(text(pool.update({writer("a"), reader("b", 60s)}, MonoTime(2s))), "a b-");
    EXPECT_EQ(text(pool.update({writer("a"), reader("b")}, MonoTime(3s))), "a- b");
    config.include_writer = IncludeWriter::Always;
    pool.configure(config);
    EXPECT_EQ(text(pool.update({writer("a"), reader("b")}, MonoTime(4s))), "a b");
    config.include_writer = IncludeWriter::Never;
    pool.configure(config);
    EXPECT_EQ(text(pool.update({writer("a")}, MonoTime(5s))), "");
}

TEST(Readers, a_share_grows_in_ten_steps_and_says_when_the_next_is_due) {
    ReaderPool pool(ReaderConfig{});
    MonoTime now(100s);
    EXPECT_EQ(pool.update({reader("b")}, now)[0].weight, 10U);
    std::vector<std::uint32_t> weights;
    while (const auto next = pool.next_change()) {
        ASSERT_GT(*next, now);
        now = *next;
        weights.push_back(pool.update({reader("b")}, now)[0].weight);
    }
    EXPECT_EQ(weights, (std::vector<std::uint32_t>{20, 30, 40, 50, 60, 70, 80, 90, 100}));
    EXPECT_LE(now - MonoTime(100s), 10001ms);
    // Another comes back: it alone starts small.
    const auto both = pool.update({reader("b"), reader("c")}, now + 1s);
    EXPECT_EQ(both[0].weight, 100U);
    EXPECT_EQ(both[1].weight, 10U);
}

}  // namespace
}  // namespace signalbox::routing
