#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/channels/bench.hpp"

namespace signalbox::channels {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

SlotStatus no_slot(std::uint64_t current = 0x9000, std::uint64_t timeline = 2) {
    SlotStatus status;
    status.current_lsn = current;
    status.timeline = timeline;
    return status;
}

SlotStatus on_timeline(SlotStatus status, std::uint64_t timeline) {
    status.timeline = timeline;
    return status;
}

Bench read_from() {
    Bench bench(a_slot());
    bench.route(1, "a", Verdict{});
    bench.see(slot_at(0x4000, 0x5000), Verdict{});
    bench.actions.clear();
    return bench;
}

TEST(Slot, that_is_read_from_is_followed_and_remembered) {
    Bench bench(a_slot());
    bench.route(1, "a", Verdict{});
    bench.see(slot_at(0x4000, 0x5000), Verdict{});
    EXPECT_EQ(bench.machine.state(), State::Following);
    EXPECT_EQ(bench.machine.memory().confirmed_lsn, 0x5000);
    EXPECT_EQ(bench.machine.memory().member, "a");
    EXPECT_TRUE(bench.machine.alarms().empty());
}

TEST(Slot, missing_on_the_new_writer_is_an_alarm_with_the_range) {
    Bench bench = read_from();
    bench.route(2, "b", Verdict{});
    bench.see(no_slot(), Verdict{});
    EXPECT_EQ(bench.machine.state(), State::Missing);
    EXPECT_THAT(bench.alarm("slot-missing"), HasSubstr("changes from 0/5000"));
    EXPECT_THAT(bench.alarm("slot-missing"), HasSubstr("the writer is at 0/9000"));
    EXPECT_TRUE(bench.machine.memory().missing);
}

TEST(Slot, recreated_on_the_new_writer_is_an_alarm_that_stays_until_acknowledged) {
    Bench bench = read_from();
    bench.route(2, "b", Verdict{});
    bench.see(no_slot(), Verdict{});
    bench.see(on_timeline(slot_at(0x9100, 0x9200), 2), Verdict{});
    EXPECT_EQ(bench.machine.state(), State::Following);
    EXPECT_EQ(bench.alarm("slot-missing"), "");
    EXPECT_THAT(bench.alarm("slot-recreated"), HasSubstr("changes from 0/5000"));
    EXPECT_THAT(bench.alarm("slot-recreated"), HasSubstr("up to 0/9200"));
    ASSERT_EQ(bench.machine.memory().findings.size(), 1);
    EXPECT_EQ(bench.machine.memory().findings[0].from_lsn, 0x5000);
    EXPECT_EQ(bench.machine.memory().findings[0].to_lsn, 0x9200);

    Bench again(a_slot(), bench.machine.memory());
    EXPECT_NE(again.alarm("slot-recreated"), "") << "also after a restart of the daemon";
    again.machine.step(input::Acknowledged{}, again.now);
    EXPECT_EQ(again.alarm("slot-recreated"), "");
}

TEST(Slot, recreated_before_we_looked_is_told_by_the_wal_that_it_keeps) {
    Bench bench = read_from();
    bench.route(2, "b", Verdict{});
    bench.see(on_timeline(slot_at(0x9100, 0x9200), 2), Verdict{});
    EXPECT_NE(bench.alarm("slot-recreated"), "");
}

TEST(Slot, that_came_along_to_the_new_writer_is_no_alarm) {
    Bench bench = read_from();
    bench.route(2, "b", Verdict{});
    bench.see(on_timeline(slot_at(0x4000, 0x5000), 2), Verdict{});
    bench.see(on_timeline(slot_at(0x4000, 0x6000), 2), Verdict{});
    bench.see(on_timeline(slot_at(0x5800, 0x7000), 2), Verdict{});
    EXPECT_EQ(bench.machine.state(), State::Following);
    EXPECT_TRUE(bench.machine.alarms().empty());
}

TEST(Slot, that_comes_back_with_all_its_wal_is_no_gap) {
    Bench bench = read_from();
    bench.route(2, "b", Verdict{});
    bench.see(no_slot(), Verdict{});
    bench.see(on_timeline(slot_at(0x4000, 0x5000), 2), Verdict{});
    EXPECT_TRUE(bench.machine.alarms().empty());
}

TEST(Slot, whose_reader_confirmed_what_was_rolled_back_is_an_alarm) {
    Bench bench = read_from();
    bench.route(2, "b", Verdict{});
    bench.see(on_timeline(slot_at(0x4000, 0x5000), 2), Verdict{});
    EXPECT_EQ(bench.machine.position(), "1@0/5000");
    bench.judge(Verdict{Verdict::Is::Missing, "1@0/5000", true});
    EXPECT_THAT(bench.alarm("channel-diverged"), HasSubstr("0/5000 on timeline 1"));
    EXPECT_EQ(bench.machine.position(), "");
}

TEST(Slot, whose_past_is_part_of_the_new_history_is_no_alarm) {
    Bench bench = read_from();
    bench.route(2, "b", Verdict{});
    bench.see(on_timeline(slot_at(0x4000, 0x5000), 2), Verdict{});
    bench.judge(contained());
    EXPECT_EQ(bench.alarm("channel-diverged"), "");
    EXPECT_EQ(bench.machine.position(), "");
}

TEST(Slot, that_was_dropped_without_a_switch_is_told_of) {
    Bench bench = read_from();
    bench.see(no_slot(0x5100, 1), Verdict{});
    EXPECT_NE(bench.alarm("slot-missing"), "");
    EXPECT_THAT(bench.records(), ElementsAre("slot-missing", "alarm")) << "dropped, not merely left by its reader";
    bench.see(slot_at(0x5200, 0x5200), Verdict{});
    EXPECT_THAT(bench.alarm("slot-recreated"), HasSubstr("up to 0/5200"));
}

TEST(Slot, that_moved_on_while_the_daemon_was_away_is_no_gap) {
    Bench bench = read_from();
    Bench later(a_slot(), bench.machine.memory());
    later.route(1, "a", Verdict{});
    later.see(slot_at(0x90000, 0x91000), Verdict{});
    EXPECT_TRUE(later.machine.alarms().empty());
}

TEST(Slot, what_the_former_writer_still_says_does_not_count) {
    Bench bench = read_from();
    bench.route(2, "b", Verdict{});
    Observation seen;
    seen.channel = "cdc";
    seen.member = "a";
    seen.sent_at = seen.completed_at = bench.now;
    seen.result = slot_at(0x4000, 0x8000);
    bench.machine.step(input::Observed{&seen, {}}, bench.now);
    EXPECT_EQ(bench.machine.memory().confirmed_lsn, 0x5000);
    EXPECT_EQ(bench.machine.state(), State::Checking);
}

TEST(Slot, whose_reader_replies_nothing_is_half_dead) {
    Bench bench = read_from();
    bench.pass(4s);
    bench.see(slot_at(0x4000, 0x5000), Verdict{});
    EXPECT_EQ(bench.machine.state(), State::Following);
    bench.pass(2s);
    auto sent = slot_at(0x4000, 0x5000);
    sent.current_lsn = 0x8000;
    bench.see(sent, Verdict{});
    EXPECT_EQ(bench.machine.state(), State::HalfDead) << "what the server sends is no sign of life of its reader";
    EXPECT_NE(bench.alarm("channel-half-dead"), "");
    bench.see(slot_at(0x4000, 0x5000, true, "t1"), Verdict{});
    EXPECT_EQ(bench.machine.state(), State::Following);
    EXPECT_EQ(bench.alarm("channel-half-dead"), "");
    EXPECT_THAT(bench.records(), Contains("channel-resumed"));
}

TEST(Slot, that_nobody_reads_from_is_told_of) {
    Bench bench = read_from();
    bench.see(slot_at(0x4000, 0x5000, false), Verdict{});
    EXPECT_EQ(bench.machine.state(), State::Checking);
    bench.pass(6s);
    EXPECT_THAT(bench.alarm("channel-stopped"), HasSubstr("nobody reads from slot 'debezium'"));
    bench.see(slot_at(0x4000, 0x5000), Verdict{});
    EXPECT_EQ(bench.machine.state(), State::Following);
    EXPECT_EQ(bench.alarm("channel-stopped"), "");
}

TEST(Slot, that_lost_its_wal_is_told_of) {
    Bench bench = read_from();
    auto lost = slot_at(0x4000, 0x5000, false);
    lost.wal_status = "lost";
    bench.see(lost, Verdict{});
    EXPECT_THAT(bench.alarm("slot-lost"), HasSubstr("0/5000"));
}

Bench half_dead() {
    Bench bench = read_from();
    bench.pass(6s);
    bench.see(slot_at(0x4000, 0x5000), Verdict{});
    return bench;
}

TEST(Slot, waits_for_a_writer_from_wherever_it_is) {
    Bench bench = read_from();
    bench.unroute();
    EXPECT_EQ(bench.machine.state(), State::Waiting);
    bench.route(2, "b", Verdict{});
    EXPECT_EQ(bench.machine.state(), State::Checking);
    bench.unroute();
    EXPECT_EQ(bench.machine.state(), State::Waiting);
    bench.route(3, "a", Verdict{});
    bench.see(no_slot(0x9000, 3), Verdict{});
    ASSERT_EQ(bench.machine.state(), State::Missing);
    bench.unroute();
    EXPECT_EQ(bench.machine.state(), State::Waiting);
    Bench dead = half_dead();
    ASSERT_EQ(dead.machine.state(), State::HalfDead);
    dead.unroute();
    EXPECT_EQ(dead.machine.state(), State::Waiting);
}

TEST(Slot, is_looked_for_on_every_new_writer) {
    Bench bench = read_from();
    bench.route(2, "b", Verdict{});
    EXPECT_EQ(bench.machine.state(), State::Checking);
    Bench dead = half_dead();
    dead.route(2, "b", Verdict{});
    EXPECT_EQ(dead.machine.state(), State::Checking);
}

TEST(Slot, of_a_half_dead_reader_that_goes_away_or_is_dropped_is_told_as_what_it_is) {
    Bench gone = half_dead();
    gone.see(slot_at(0x4000, 0x5000, false), Verdict{});
    EXPECT_EQ(gone.machine.state(), State::Checking);
    Bench dropped = half_dead();
    dropped.actions.clear();
    dropped.see(no_slot(0x5100, 1), Verdict{});
    EXPECT_EQ(dropped.machine.state(), State::Missing);
    EXPECT_THAT(dropped.records(), ElementsAre("slot-missing", "alarm", "alarm-cleared"));
}

TEST(Slot, is_stored_at_most_once_a_second_while_nothing_is_wrong) {
    Bench bench = read_from();
    for (std::uint64_t i = 1; i <= 100; ++i) {
        bench.pass(50ms);
        bench.see(slot_at(0x4000, 0x5000 + i), Verdict{});
    }
    std::size_t stores = 0;
    for (const Action& action : bench.actions) stores += std::holds_alternative<action::Store>(action) ? 1 : 0;
    EXPECT_GE(stores, 4);
    EXPECT_LE(stores, 6);
}

TEST(Memory, is_read_back_as_it_was_written) {
    Memory memory;
    memory.restarting = true;
    memory.epoch = 7;
    memory.member = "a";
    memory.timeline = 3;
    memory.restart_lsn = 0xFFFFFFFFFFFFFFFF;
    memory.confirmed_lsn = 1;
    memory.missing = true;
    memory.findings = {{"slot-recreated", 7, 1, 2, "text"}};
    const auto text = base::json::serialize(to_json(memory));
    const auto read = memory_from_json(*base::parse_json(text));
    ASSERT_TRUE(read) << read.error().text();
    EXPECT_EQ(*read, memory);
}

TEST(Memory, that_is_damaged_is_an_error_that_names_the_field) {
    const std::string good = base::json::serialize(to_json(Memory{}));
    for (const char* field :
         {"restarting", "epoch", "member", "timeline", "restart_lsn", "confirmed_lsn", "missing", "findings"}) {
        auto damaged = base::parse_json(good)->as_object();
        damaged[field] = base::json::object{};
        const auto read = memory_from_json(damaged);
        ASSERT_FALSE(read) << field;
        EXPECT_THAT(read.error().message, HasSubstr(field));
    }
    EXPECT_FALSE(memory_from_json(nullptr));
}

}  // namespace
}  // namespace signalbox::channels
