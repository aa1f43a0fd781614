#include "domain/meter/ledger.hpp"

#include <gtest/gtest.h>

#include "builder.hpp"

namespace signalbox::meter {
namespace {

Attempt attempt(std::uint64_t number, Outcome outcome = Outcome::Ok) { return Attempt{RowId{0, number}, outcome}; }

MemberRows member(std::string name, bool writable, const std::vector<std::uint64_t>& numbers) {
    MemberRows rows;
    rows.member = std::move(name);
    rows.readable = true;
    rows.writable = writable;
    for (const std::uint64_t number : numbers) rows.rows.push_back(StoredRow{RowId{0, number}, 1});
    return rows;
}

TEST(Ledger, counts_what_was_acknowledged_and_finds_it) {
    const auto check = check_ledger({attempt(1), attempt(2)}, {member("direct-1", true, {1, 2})}, {});
    EXPECT_TRUE(check.resolved);
    EXPECT_EQ(check.judged_by, "direct-1");
    EXPECT_EQ(check.acknowledged, 2U);
    EXPECT_EQ(check.lost, 0U);
    EXPECT_EQ(check.duplicated, 0U);
}

TEST(Ledger, an_acknowledged_row_that_the_writer_does_not_hold_is_lost_even_if_a_reader_does) {
    const auto check =
        check_ledger({attempt(1), attempt(2)}, {member("direct-1", false, {1, 2}), member("direct-2", true, {1})}, {});
    EXPECT_EQ(check.lost, 1U);
    ASSERT_EQ(check.lost_rows.size(), 1U);
    EXPECT_EQ(check.lost_rows[0].number, 2U);
    ASSERT_EQ(check.differences.size(), 1U);
    EXPECT_EQ(check.differences[0].member, "direct-1");
    EXPECT_EQ(check.differences[0].extra, 1U);
}

TEST(Ledger, a_reader_that_is_behind_loses_nothing_but_is_named) {
    const auto check =
        check_ledger({attempt(1), attempt(2)}, {member("direct-1", true, {1, 2}), member("direct-2", false, {1})}, {});
    EXPECT_EQ(check.lost, 0U);
    ASSERT_EQ(check.differences.size(), 1U);
    EXPECT_EQ(check.differences[0].missing, 1U);
}

TEST(Ledger, two_writers_have_to_agree) {
    const auto check =
        check_ledger({attempt(1), attempt(2)}, {member("direct-1", true, {1}), member("direct-2", true, {1, 2})}, {});
    EXPECT_EQ(check.judged_by, "all members");
    EXPECT_EQ(check.lost, 1U);
}

TEST(Ledger, without_a_writer_a_row_is_lost_only_if_nobody_holds_it) {
    const auto check = check_ledger({attempt(1), attempt(2), attempt(3)},
                                    {member("direct-1", false, {1}), member("direct-2", false, {2})}, {});
    EXPECT_EQ(check.lost, 1U);
}

TEST(Ledger, a_row_twice_on_any_member_is_duplicated_once) {
    auto first = member("direct-1", true, {1, 2});
    first.rows[1].copies = 3;
    const auto check = check_ledger({attempt(1), attempt(2)}, {first, member("direct-2", false, {1, 2, 2})}, {});
    EXPECT_EQ(check.duplicated, 1U);
    EXPECT_EQ(check.lost, 0U);
}

TEST(Ledger, unknown_writes_are_resolved_to_happened_or_not) {
    const auto check = check_ledger({attempt(1, Outcome::Unknown), attempt(2, Outcome::Unknown), attempt(3)},
                                    {member("direct-1", true, {1, 3})}, {});
    EXPECT_EQ(check.unknown, 2U);
    EXPECT_EQ(check.unknown_happened, 1U);
    EXPECT_EQ(check.unknown_did_not_happen, 1U);
    EXPECT_EQ(check.lost, 0U);
}

TEST(Ledger, a_row_that_was_seen_unacknowledged_and_is_gone_was_rolled_back) {
    const auto check = check_ledger({attempt(1, Outcome::Unknown), attempt(2, Outcome::Unknown), attempt(3)},
                                    {member("direct-1", true, {1, 3})}, {RowId{0, 1}, RowId{0, 2}, RowId{0, 3}});
    EXPECT_EQ(check.rolled_back, 1U);
}

TEST(Ledger, a_lost_row_is_lost_and_not_rolled_back_although_it_was_seen) {
    const auto check = check_ledger({attempt(1)}, {member("direct-1", true, {})}, {RowId{0, 1}});
    EXPECT_EQ(check.lost, 1U);
    EXPECT_EQ(check.rolled_back, 0U);
}

TEST(Ledger, a_refused_write_that_is_there_nevertheless_is_reported) {
    const auto check = check_ledger({attempt(1, Outcome::Failed)}, {member("direct-1", true, {1, 7})}, {});
    EXPECT_EQ(check.failed, 1U);
    EXPECT_EQ(check.failed_happened, 1U);
    EXPECT_EQ(check.not_ours, 1U);
}

TEST(Ledger, nothing_is_known_when_no_member_can_be_read) {
    MemberRows away;
    away.member = "direct-1";
    away.error = "refused";
    const auto check = check_ledger({attempt(1), attempt(2, Outcome::Unknown)}, {away}, {});
    EXPECT_FALSE(check.resolved);
    EXPECT_EQ(check.lost, 0U);
    EXPECT_EQ(check.unknown_did_not_happen, 0U);
    ASSERT_EQ(check.unread.size(), 1U);
    EXPECT_EQ(check.unread[0], "direct-1: refused");
}

TEST(Ledger, nothing_is_known_when_the_writer_is_away_and_only_readers_answer) {
    MemberRows away;
    away.member = "direct-1";
    away.error = "refused";
    // The reader holds the row that the writer may have lost.
    const auto check = check_ledger({attempt(1)}, {away, member("direct-2", false, {1})}, {});
    EXPECT_FALSE(check.resolved);
    EXPECT_EQ(check.lost, 0U);
    EXPECT_EQ(check.unread.size(), 1U);
}

TEST(Ledger, attempts_are_the_writes_whose_statement_was_sent) {
    RecordingBuilder b;
    const auto path = b.path("x");
    b.add(path, Kind::Write, 0, 1);
    b.add(path, Kind::Write, 10, 11, Outcome::Failed, 2003).number = 0;
    b.add(path, Kind::Read, 10, 11);
    EXPECT_EQ(attempts_of(b.recording).size(), 1U);
}

}  // namespace
}  // namespace signalbox::meter
