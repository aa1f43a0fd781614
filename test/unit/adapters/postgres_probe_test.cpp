#include <gmock/gmock.h>

#include "adapters/postgres/probe.hpp"

namespace signalbox::postgres {
namespace {

using clusters::Evidence;
using clusters::ProbeFailure;
using clusters::ProbeFailureKind;
using testing::HasSubstr;

const Questions questions{150020, true, false, false, ""};
const Hello hello{"15.20", "7711183394202366839", true, true, false};

// As a server of version 15 answers, by column.
using Row = std::vector<std::pair<std::string, std::optional<std::string>>>;

ResultSet one_row(const Row& row) {
    ResultSet set;
    set.rows.emplace_back();
    for (const auto& [column, value] : row) {
        set.columns.push_back(column);
        set.rows[0].push_back(value);
    }
    return set;
}

Row writer() {
    return {{"in_recovery", "f"},
            {"transaction_read_only", "off"},
            {"synchronous_standby_names", ""},
            {"synchronous_commit", "on"},
            {"flush_lsn", "0/3000CD8"},
            {"wal_file", "000000020000000000000003"},
            {"replay_lsn", std::nullopt},
            {"since_replayed_s", std::nullopt},
            {"receiver_pid", std::nullopt},
            {"receiver_status", std::nullopt},
            {"received_timeline", std::nullopt},
            {"sender_host", std::nullopt},
            {"sender_port", std::nullopt},
            {"received_lsn", std::nullopt},
            {"primary_conninfo", std::nullopt},
            {"min_recovery_lsn", std::nullopt},
            {"min_recovery_timeline", std::nullopt},
            {"checkpoint_lsn", std::nullopt},
            {"checkpoint_timeline", std::nullopt}};
}

void set(Row& row, std::string_view column, const std::optional<std::string>& value) {
    for (auto& [name, cell] : row) {
        if (name == column) cell = value;
    }
}

Row reader() {
    Row row = writer();
    set(row, "in_recovery", "t");
    set(row, "transaction_read_only", "on");
    set(row, "flush_lsn", std::nullopt);
    set(row, "wal_file", std::nullopt);
    set(row, "replay_lsn", "0/3000C00");
    set(row, "since_replayed_s", "1.5");
    set(row, "receiver_pid", "4711");
    set(row, "receiver_status", "streaming");
    set(row, "received_timeline", "2");
    set(row, "received_lsn", "0/3000CD8");
    set(row, "sender_host", "10.0.0.1");
    set(row, "sender_port", "5432");
    set(row, "primary_conninfo", "user=repl password='a b' host=db1 hostaddr=10.0.0.1 port=5433");
    return row;
}

Row alone() {
    Row row = reader();
    for (const char* column :
         {"receiver_pid", "receiver_status", "received_timeline", "received_lsn", "sender_host", "sender_port"}) {
        set(row, column, std::nullopt);
    }
    set(row, "min_recovery_lsn", "0/3000100");
    set(row, "min_recovery_timeline", "2");
    set(row, "checkpoint_lsn", "0/2000000");
    set(row, "checkpoint_timeline", "1");
    return row;
}

Answered read(const Row& row) { return std::get<Answered>(read_answer(questions, {one_row(row)})); }

std::string incomplete(const Row& row) {
    const auto answer = read_answer(questions, {one_row(row)});
    const auto* failure = std::get_if<ProbeFailure>(&answer);
    if (failure == nullptr) return "taken as an answer";
    EXPECT_EQ(failure->kind, ProbeFailureKind::Incomplete);
    return failure->text;
}

const TimelineHistory history{{1, 0x3000148}};

TEST(PostgresProbe, a_writer_stands_on_the_timeline_of_its_log_file) {
    const Answered answered = read(writer());
    const auto point = reached(answered, std::nullopt);
    ASSERT_TRUE(point);
    const Evidence evidence = to_evidence(hello, answered, point, history);
    EXPECT_TRUE(evidence.claims_writer());
    EXPECT_EQ(evidence.server_id, 2U);
    EXPECT_EQ(evidence.cluster_uid, "7711183394202366839");
    EXPECT_EQ(evidence.binlog_state, "1@0/3000148,2@0/3000CD8");
    EXPECT_EQ(evidence.applied, evidence.binlog_state);
    EXPECT_FALSE(evidence.waits_for_replica);
    EXPECT_EQ(evidence.lag, std::nullopt);
}

TEST(PostgresProbe, a_reader_says_what_it_received_and_what_it_applied) {
    const Answered answered = read(reader());
    const Evidence evidence = to_evidence(hello, answered, reached(answered, std::nullopt), history);
    EXPECT_FALSE(evidence.claims_writer());
    EXPECT_TRUE(evidence.read_only);
    ASSERT_EQ(evidence.sources.size(), 1U);
    EXPECT_EQ(evidence.sources[0].address.text(), "10.0.0.1:5433");
    EXPECT_TRUE(evidence.sources[0].io_running);
    EXPECT_EQ(evidence.sources[0].received, "1@0/3000148,2@0/3000CD8");
    EXPECT_EQ(evidence.applied, "1@0/3000148,2@0/3000C00");
    EXPECT_EQ(evidence.lag, std::chrono::milliseconds(1500));
}

TEST(PostgresProbe, a_reader_with_all_applied_has_no_lag_however_old_the_last_transaction_is) {
    Row row = reader();
    set(row, "replay_lsn", "0/3000CD8");
    const Answered answered = read(row);
    EXPECT_EQ(to_evidence(hello, answered, reached(answered, std::nullopt), history).lag, base::Duration(0));
    set(row, "receiver_status", "waiting");
    const Answered waiting = read(row);
    const Evidence evidence = to_evidence(hello, waiting, reached(waiting, std::nullopt), history);
    EXPECT_EQ(evidence.lag, std::chrono::milliseconds(1500)) << "nobody sends to it";
    EXPECT_FALSE(evidence.sources[0].io_running);
}

TEST(PostgresProbe, a_receiver_that_begins_at_a_segments_start_takes_nothing_away) {
    Row row = reader();
    set(row, "received_lsn", "0/3000000");
    const auto point = reached(read(row), std::nullopt);
    EXPECT_EQ(point, (WalPoint{2, 0x3000C00}));
}

TEST(PostgresProbe, what_was_received_up_to_a_pages_boundary_may_end_inside_a_record) {
    Row row = reader();
    set(row, "received_lsn", "0/3002000");
    const auto received = [](const Row& of, const std::optional<WalPoint>& before) {
        const Answered answered = read(of);
        return to_evidence(hello, answered, reached(answered, before), history).sources[0].received;
    };
    EXPECT_EQ(received(row, std::nullopt), "1@0/3000148,2@0/3000C00");
    set(row, "replay_lsn", "0/3002000");
    EXPECT_EQ(received(row, std::nullopt), "1@0/3000148,2@0/3002000") << "it was replayed, so it is whole";
    // Nor is it whole once the sender is gone.
    EXPECT_EQ(received(alone(), WalPoint{2, 0x3002000}), "1@0/3000148,2@0/3000C00");
}

TEST(PostgresProbe, without_a_receiver_only_places_with_a_timeline_count) {
    const Answered answered = read(alone());
    // Its replay_lsn is further, but on which timeline?
    EXPECT_EQ(reached(answered, std::nullopt), (WalPoint{2, 0x3000100}));
    EXPECT_EQ(reached(answered, WalPoint{2, 0x3000CD8}), (WalPoint{2, 0x3000CD8}));
    EXPECT_EQ(reached(answered, WalPoint{1, 0x9000000}), (WalPoint{2, 0x3000100}));
    const Evidence evidence = to_evidence(hello, answered, WalPoint{2, 0x3000CD8}, history);
    EXPECT_EQ(evidence.sources[0].received, "1@0/3000148,2@0/3000CD8");
    EXPECT_EQ(evidence.applied, "1@0/3000148,2@0/3000C00");
    EXPECT_FALSE(evidence.sources[0].io_running);
    Row fresh = alone();
    set(fresh, "min_recovery_lsn", "0/0");
    set(fresh, "min_recovery_timeline", "0");
    EXPECT_EQ(reached(read(fresh), std::nullopt), (WalPoint{1, 0x2000000}));
}

TEST(PostgresProbe, an_answer_with_a_hole_is_never_writable) {
    for (const char* column : {"in_recovery", "transaction_read_only", "synchronous_standby_names",
                               "synchronous_commit", "flush_lsn", "wal_file"}) {
        Row row = writer();
        set(row, column, std::nullopt);
        EXPECT_NE(incomplete(row), "taken as an answer") << column;
        std::erase_if(row, [&](const auto& cell) { return cell.first == column; });
        EXPECT_NE(incomplete(row), "taken as an answer") << column;
        row = writer();
        set(row, column, "");
        if (std::string_view(column) != "synchronous_standby_names" &&
            std::string_view(column) != "synchronous_commit") {
            EXPECT_NE(incomplete(row), "taken as an answer") << column;
        }
    }
    const auto empty = read_answer(questions, {});
    EXPECT_TRUE(std::holds_alternative<ProbeFailure>(empty));
    ResultSet none = one_row(writer());
    none.rows.clear();
    EXPECT_TRUE(std::holds_alternative<ProbeFailure>(read_answer(questions, {none})));
    for (const char* column : {"received_timeline", "received_lsn"}) {
        Row row = reader();
        set(row, column, std::nullopt);
        EXPECT_THAT(incomplete(row), HasSubstr("WAL receiver")) << column;
    }
    Row hidden = reader();
    set(hidden, "receiver_status", std::nullopt);
    EXPECT_THAT(incomplete(hidden), HasSubstr("GRANT pg_monitor"));
}

TEST(PostgresProbe, the_password_in_a_connection_string_stays_there) {
    const Answered answered = read(reader());
    EXPECT_EQ(answered.source.host, "10.0.0.1");
    Row row = reader();
    set(row, "primary_conninfo", "host='unclosed password=secret");
    const Answered broken = read(row);
    EXPECT_EQ(broken.source.host, "");
    EXPECT_EQ(to_evidence(hello, broken, WalPoint{1, 1}, {}).sources[0].address.host, "10.0.0.1") << "the receiver's";
}

TEST(PostgresProbe, old_servers_are_refused_in_one_line) {
    EXPECT_FALSE(check_version(150020));
    EXPECT_FALSE(check_version(120000));
    EXPECT_EQ(check_version(110022)->text, "is PostgreSQL 11.22, which is too old: 12 or later is needed");
    EXPECT_EQ(check_version(90624)->text, "is PostgreSQL 9.6, which is too old: 12 or later is needed");
}

TEST(PostgresProbe, errors_are_told_apart) {
    using base::ErrorKind;
    const auto kind = [](ErrorKind error, int code) { return to_failure({error, "x", "", code}).kind; };
    EXPECT_EQ(kind(ErrorKind::Unavailable, code_refused), ProbeFailureKind::Refused);
    EXPECT_EQ(kind(ErrorKind::UnknownOutcome, code_lost), ProbeFailureKind::Reset);
    EXPECT_EQ(kind(ErrorKind::UnknownOutcome, sqlstate_code("57P01")), ProbeFailureKind::Reset);
    EXPECT_EQ(kind(ErrorKind::UnknownOutcome, sqlstate_code("57P02")), ProbeFailureKind::Reset);
    EXPECT_EQ(kind(ErrorKind::Unavailable, sqlstate_code("57P03")), ProbeFailureKind::ServerError);
    EXPECT_EQ(kind(ErrorKind::PermissionDenied, sqlstate_code("28P01")), ProbeFailureKind::LoginDenied);
    EXPECT_EQ(kind(ErrorKind::Timeout, 0), ProbeFailureKind::TimedOut);
    EXPECT_EQ(kind(ErrorKind::Unavailable, code_unreachable), ProbeFailureKind::TimedOut);
    EXPECT_EQ(kind(ErrorKind::Unavailable, code_no_socket), ProbeFailureKind::OurOwnDelay);
    EXPECT_EQ(kind(ErrorKind::Unavailable, code_protocol), ProbeFailureKind::ServerError);
    for (const char* state : {"57P01", "28P01", "00000", "ZZZZZ"}) {
        EXPECT_EQ(sqlstate_text(sqlstate_code(state)), sqlstate_code(state) == 0 ? "" : state);
    }
    EXPECT_EQ(sqlstate_code("57p01"), 0);
    EXPECT_EQ(sqlstate_code("57P011"), 0);
}

TEST(PostgresTimeline, a_history_file_is_a_line_per_ancestor) {
    const auto read_history =
        parse_history("1\t0/3000148\tno recovery target specified\n\n# a comment\n2\t16/B374D848\tbefore x\n", 3);
    ASSERT_TRUE(read_history);
    EXPECT_EQ(*read_history, (TimelineHistory{{1, 0x3000148}, {2, 0x16B374D848}}));
    EXPECT_EQ(position_text(*read_history, {3, 0x16C0000000}), "1@0/3000148,2@16/B374D848,3@16/C0000000");
    EXPECT_EQ(position_text(*read_history, {3, 0x3000100}), "1@0/3000100") << "not there yet";
    EXPECT_EQ(position_text({}, {1, 0x3000100}), "1@0/3000100");
    for (const char* wrong :
         {"1\n", "x\t0/1\n", "1\t0\n", "3\t0/1\n", "2\t0/1\n1\t0/2\n", "1\t0/1G\n", "1\t100000000/1\n"}) {
        EXPECT_FALSE(parse_history(wrong, 3)) << wrong;
    }
    EXPECT_FALSE(parse_lsn("0/"));
    EXPECT_FALSE(parse_lsn("/0"));
    EXPECT_FALSE(parse_lsn("0-0"));
}

}  // namespace
}  // namespace signalbox::postgres
