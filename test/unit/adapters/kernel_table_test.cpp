// What the kernel plane decides and writes, without a kernel: targets at each call, the table's text, and its way back
// from what nft prints.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/nftables/plan.hpp"
#include "adapters/nftables/table.hpp"

namespace signalbox::kernel {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

Address at(const std::string& ip, std::uint16_t port = 3306) { return parse_ip(ip, port).value(); }

const Address a = at("10.0.0.1");
const Address b = at("10.0.0.2");

Door writer() {
    Door door;
    door.listen = at("10.9.9.9");
    door.cluster = "shop";
    return door;
}

Door reader() {
    Door door = writer();
    door.listen = at("10.9.9.9", 3307);
    door.role = routing::Role::Reader;
    return door;
}

TEST(KernelStamps, none_is_given_twice_while_it_is_in_use) {
    Stamps stamps(0x1230'0000);
    const Stamp first = stamps.take();
    stamps.keep(0x1230'0000 | (stamp_number_mask - 1));
    const Stamp second = stamps.take();
    EXPECT_NE(first, second);
    EXPECT_EQ(second & stamp_owner_mask, 0x1230'0000U);
    EXPECT_NE(second & stamp_number_mask, 0U);
}

TEST(KernelStamps, the_number_of_questions_is_never_given) {
    Stamps stamps(0x1230'0000);
    stamps.keep(0x1230'0000 | (stamp_number_mask - 2));
    EXPECT_EQ(stamps.take(), 0x1230'0000 | (stamp_number_mask - 1));
    EXPECT_EQ(stamps.take(), 0x1230'0001U);
}

TEST(KernelStamps, no_owner_is_zero) {
    for (int i = 0; i < 10'000; ++i) EXPECT_NE(owner_of(std::to_string(i)), 0U);
}

TEST(KernelPlan, the_same_epoch_at_the_same_address_keeps_its_stamp) {
    Stamps stamps(1U << 20U);
    const Door first = routed(writer(), 3, "m-a", a, stamps);
    ASSERT_THAT(first.targets, SizeIs(1));
    const Door again = routed(held(first), 3, "m-a", a, stamps);
    EXPECT_EQ(again, first);
    EXPECT_TRUE(again.admitted);
}

TEST(KernelPlan, a_held_door_admits_nobody_and_keeps_its_flows) {
    Stamps stamps(1U << 20U);
    const Door door = held(routed(writer(), 3, "m-a", a, stamps));
    EXPECT_FALSE(door.admitted);
    ASSERT_THAT(door.targets, SizeIs(1));
    EXPECT_FALSE(door.targets[0].admits);
}

TEST(KernelPlan, another_epoch_gets_another_stamp_also_at_the_same_address) {
    Stamps stamps(1U << 20U);
    const Door first = routed(writer(), 3, "m-a", a, stamps);
    const Door next = routed(first, 4, "m-a", a, stamps);
    ASSERT_THAT(next.targets, SizeIs(1));
    EXPECT_NE(next.targets[0].stamp, first.targets[0].stamp);
    const Door moved = routed(next, 4, "m-b", b, stamps);
    ASSERT_THAT(moved.targets, SizeIs(1));
    EXPECT_NE(moved.targets[0].stamp, next.targets[0].stamp);
}

TEST(KernelPlan, a_fence_leaves_its_own_epoch_only) {
    Stamps stamps(1U << 20U);
    const Door door = routed(writer(), 3, "m-a", a, stamps);
    EXPECT_THAT(fenced(door, 3, {}, stamps).targets, SizeIs(1));
    EXPECT_FALSE(fenced(door, 3, {}, stamps).admitted);
    EXPECT_THAT(fenced(door, 4, {}, stamps).targets, SizeIs(0));
    // A store that began anew counts from 1 again.
    EXPECT_THAT(fenced(door, 1, {}, stamps).targets, SizeIs(0));
}

TEST(KernelPlan, a_fence_takes_reader_flows_at_the_former_writer_but_not_its_place_among_the_readers) {
    Stamps stamps(1U << 20U);
    const std::vector<Door> doors = {routed(writer(), 3, "m-a", a, stamps)};
    EXPECT_THAT(former_writers(doors, "shop", 4), testing::ElementsAre(a));
    EXPECT_THAT(former_writers(doors, "shop", 3), SizeIs(0));
    EXPECT_THAT(former_writers(doors, "other", 4), SizeIs(0));
    const Door before = with_readers(reader(), {{"m-a", a, 10, false}, {"m-b", b, 20, false}}, stamps);
    const Door after = fenced(before, 4, {a}, stamps);
    ASSERT_THAT(after.targets, SizeIs(2));
    EXPECT_NE(after.targets[0].stamp, before.targets[0].stamp);
    EXPECT_EQ(after.targets[1], before.targets[1]);
    EXPECT_TRUE(after.admitted);
    const Door draining = with_readers(reader(), {{"m-a", a, 10, true}, {"m-b", b, 20, false}}, stamps);
    EXPECT_THAT(fenced(draining, 4, {a}, stamps).targets, SizeIs(1));
}

TEST(KernelPlan, readers_that_stay_keep_their_flows) {
    Stamps stamps(1U << 20U);
    const Door before = with_readers(reader(), {{"m-a", a, 10, false}}, stamps);
    const Door after = with_readers(before, {{"m-b", b, 20, false}, {"m-a", a, 1, true}}, stamps);
    ASSERT_THAT(after.targets, SizeIs(2));
    EXPECT_EQ(after.targets[1].stamp, before.targets[0].stamp);
    EXPECT_FALSE(after.targets[1].admits);
    EXPECT_FALSE(with_readers(after, {}, stamps).admitted);
}

TEST(KernelTable, a_held_door_has_no_rule_that_stamps) {
    Stamps stamps(1U << 20U);
    Table table{"t", 1U << 20U, true, {routed(writer(), 3, "m-a", a, stamps)}};
    EXPECT_THAT(whole_text(table), HasSubstr("ct mark set 0x00100001"));
    EXPECT_THAT(whole_text(table), HasSubstr("timeout 5000ms"));
    table.doors[0] = held(table.doors[0]);
    EXPECT_THAT(whole_text(table), Not(HasSubstr("ct mark set")));
    EXPECT_THAT(whole_text(table), Not(HasSubstr("add element inet t lease4")));
    EXPECT_THAT(whole_text(table), HasSubstr("sent { 0x00100001"));
}

TEST(KernelTable, a_static_door_has_a_lease_that_does_not_run_out_and_is_not_renewed) {
    Stamps stamps(1U << 20U);
    Table table{"t", 1U << 20U, true, {routed(writer(), 3, "m-a", a, stamps)}};
    EXPECT_THAT(renewal_text(table), HasSubstr("timeout 5000ms"));
    table.doors[0].lease = base::Duration::zero();
    EXPECT_EQ(renewal_text(table), "");
    EXPECT_THAT(whole_text(table), HasSubstr("lease4 { 10.9.9.9 . 3306 }"));
}

TEST(KernelTable, a_fence_is_one_text_that_takes_the_stamp_and_the_lease_away) {
    Stamps stamps(1U << 20U);
    const Door before = routed(writer(), 3, "m-a", a, stamps);
    const Door after = fenced(before, 4, {}, stamps);
    const std::string text = change_text({"t", 1U << 20U, true, {before}}, before, after);
    EXPECT_THAT(text, HasSubstr("delete element inet t sent { 0x00100001 }"));
    EXPECT_THAT(text, HasSubstr("delete element inet t received { 0x00100001 }"));
    EXPECT_THAT(text, HasSubstr("delete element inet t targets4 { 0x00100001 }"));
    EXPECT_THAT(text, HasSubstr("delete element inet t lease4 { 10.9.9.9 . 3306 }"));
    EXPECT_THAT(text, Not(HasSubstr("ct mark set")));
}

TEST(KernelTable, readers_are_drawn_by_weight) {
    Stamps stamps(1U << 20U);
    const Door door = with_readers(
        reader(), {{"m-a", a, 30, false}, {"m-b", b, 70, false}, {"m-c", at("10.0.0.3"), 9, true}}, stamps);
    EXPECT_THAT(whole_text({"t", 1U << 20U, true, {door}}),
                HasSubstr("numgen random mod 100 map { 0-29 : 0x00100001, 30-99 : 0x00100002 }"));
}

TEST(KernelTable, where_conntrack_picks_nothing_up_lost_flows_are_reset) {
    EXPECT_THAT(whole_text({"t", 1U << 20U, false, {}}), HasSubstr("arrive ct state invalid goto ended"));
    EXPECT_THAT(whole_text({"t", 1U << 20U, true, {}}), HasSubstr("arrive ct state invalid drop"));
}

std::string listing(const Door& door, const std::string& comment) {
    const std::string id = door.id();
    return R"({"nftables": [{"metainfo": {"version": "1.0.6"}},
        {"counter": {"name": "acc_)" +
           id + R"(", "packets": 7, "bytes": 1}},
        {"counter": {"name": "to_)" +
           id + R"(", "packets": 7, "bytes": 900}},
        {"set": {"name": "endpoints4", "elem": [{"elem": {"val": {"concat": ["10.9.9.9", 3306]}, "comment": "writer shop"}}]}},
        {"set": {"name": "lease4", "elem": [{"elem": {"val": {"concat": ["10.9.9.9", 3306]}, "timeout": 5, "expires": 4}}]}},
        {"map": {"name": "targets4", "map": "ipv4_addr . inet_service", "elem": [[1048577, {"concat": ["10.0.0.1", 3306]}]]}},
        {"map": {"name": "sent", "map": "counter", "elem": [[{"elem": {"val": 1048577, "comment": ")" +
           comment + R"("}}, "x"]]}}]})";
}

TEST(KernelTable, what_a_process_left_is_read_back) {
    const auto doors = parse_table(listing(writer(), writer().id() + " 3 m-a"));
    ASSERT_TRUE(doors) << doors.error().text();
    ASSERT_THAT(*doors, SizeIs(1));
    const Door& door = doors->front();
    EXPECT_EQ(door.listen, at("10.9.9.9"));
    EXPECT_EQ(door.cluster, "shop");
    EXPECT_TRUE(door.admitted);
    EXPECT_FALSE(door.masquerade);
    EXPECT_EQ(door.counts, (Counts{7, 0, 900, 0}));
    ASSERT_THAT(door.targets, SizeIs(1));
    EXPECT_EQ(door.targets[0], (Target{1048577, 3, "m-a", a, 100, false}));
}

TEST(KernelTable, a_listing_that_is_not_ours_is_an_error) {
    EXPECT_FALSE(parse_table("{"));
    EXPECT_FALSE(parse_table("{}"));
    EXPECT_FALSE(parse_table(R"({"nftables": [1]})"));
    for (const char* comment : {"", "x 3 m-a", "x y z", "1 2 3 4"})
        EXPECT_FALSE(parse_table(listing(writer(), comment)));
}

TEST(KernelAddress, only_addresses_are_taken) {
    EXPECT_EQ(parse_address({"localhost", 1}).value().text(), "127.0.0.1:1");
    EXPECT_EQ(parse_address({"fd00::1", 1}).value().text(), "[fd00::1]:1");
    EXPECT_TRUE(parse_address({"0.0.0.0", 1}).value().unspecified());
    EXPECT_TRUE(parse_address({"127.9.9.9", 1}).value().loopback());
    EXPECT_FALSE(parse_address({"db.example", 1}));
    EXPECT_FALSE(parse_address({"", 1}));
}

}  // namespace
}  // namespace signalbox::kernel
