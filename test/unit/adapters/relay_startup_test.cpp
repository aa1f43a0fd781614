// What the relay reads of PostgreSQL's start-up.

#include <gmock/gmock.h>

#include "wire/postgres/startup.hpp"

namespace signalbox::wire::postgres {
namespace {

const std::string startup("\0\0\0\x13\0\x03\0\0user\0root\0\0", 19);

TEST(ParseOpening, tells_the_packets_that_a_client_may_begin_with) {
    const auto whole = parse_opening(startup);
    EXPECT_EQ(whole.kind, OpeningKind::Startup);
    EXPECT_EQ(whole.size_bytes, 19U);
    EXPECT_EQ(parse_opening(startup.substr(0, 8)).kind, OpeningKind::Startup);
    EXPECT_EQ(parse_opening(startup.substr(0, 7)).kind, OpeningKind::Incomplete);
    EXPECT_EQ(parse_opening("").kind, OpeningKind::Incomplete);
    EXPECT_EQ(parse_opening(std::string("\0\0\0\x08\x04\xd2\x16\x2f", 8)).kind, OpeningKind::SslRequest);
    EXPECT_EQ(parse_opening(std::string("\0\0\0\x08\x04\xd2\x16\x30", 8)).kind, OpeningKind::GssRequest);
    EXPECT_EQ(parse_opening(std::string("\0\0\0\x09\x04\xd2\x16\x30", 8)).kind, OpeningKind::Unknown);
    EXPECT_EQ(parse_opening("\x16\x03\x01").kind, OpeningKind::Tls);
    EXPECT_EQ(parse_opening("GET / HTTP/1.1").kind, OpeningKind::Unknown);
    EXPECT_EQ(parse_opening(std::string("\0\0\x27\x11\0\x03\0\0", 8)).kind, OpeningKind::Unknown);  // 10,001 bytes
}

TEST(ParseOpening, reads_a_cancel_request_of_any_protocol_version_once_it_is_whole) {
    for (const std::size_t size : {4U, 32U, 256U}) {
        const CancelKey key{0xA1B2C3D4, std::string(size, 's')};
        const std::string packet = build_cancel(key);
        EXPECT_EQ(parse_opening(packet.substr(0, packet.size() - 1)).kind, OpeningKind::Incomplete);
        const auto opening = parse_opening(packet + "more");
        EXPECT_EQ(opening.kind, OpeningKind::Cancel);
        EXPECT_EQ(opening.size_bytes, packet.size());
        EXPECT_EQ(opening.cancel, key);
    }
    EXPECT_EQ(parse_opening(build_cancel({1, "abc"})).kind, OpeningKind::Unknown);
    EXPECT_EQ(parse_opening(build_cancel({1, std::string(257, 's')})).kind, OpeningKind::Unknown);
}

TEST(BuildFatal, has_the_fields_that_clients_show) {
    const std::string expected("E\0\0\0\x26SFATAL\0VFATAL\0C57P03\0Mgone\0Hwait\0\0", 39);
    EXPECT_EQ(build_fatal("57P03", "gone", "wait"), expected);
    EXPECT_LT(build_fatal("57P03", std::string(5000, 'x'), "").size(), 1100U);
}

TEST(StartupScan, finds_the_key_wherever_the_bytes_are_cut) {
    const std::string server(
        "R\0\0\0\x08\0\0\0\0S\0\0\0\x0b"
        "a\0bcde\0K\0\0\0\x0c\0\0\x12\x34"
        "abcdZ\0\0\0\x05I",
        40);
    for (std::size_t piece = 1; piece <= server.size(); ++piece) {
        StartupScan scan;
        scan.from_client(startup);
        for (std::size_t at = 0; at < server.size(); at += piece) scan.from_server(server.substr(at, piece));
        ASSERT_TRUE(scan.key());
        EXPECT_EQ(*scan.key(), (CancelKey{0x1234, "abcd"}));
        EXPECT_TRUE(scan.done());
    }
}

TEST(StartupScan, goes_on_after_refused_encryption_and_stops_at_accepted_one) {
    const std::string request("\0\0\0\x08\x04\xd2\x16\x2f", 8);
    StartupScan refused;
    refused.from_client(request);
    refused.from_server("N");
    EXPECT_FALSE(refused.done());
    refused.from_client(build_cancel({7, "abcd"}));
    ASSERT_TRUE(refused.cancel());
    EXPECT_EQ(refused.cancel()->process_id, 7U);
    StartupScan accepted;
    accepted.from_client(request);
    accepted.from_server("S");
    EXPECT_TRUE(accepted.done());
}

TEST(StartupScan, reads_why_a_server_refused) {
    StartupScan scan;
    scan.from_client(startup);
    scan.from_server(build_fatal("57P03", "the database system is starting up", ""));
    EXPECT_EQ(scan.sql_state(), "57P03");
    EXPECT_TRUE(scan.done());
}

TEST(EndsWithTerminate, looks_at_the_last_bytes) {
    const std::string terminate("X\0\0\0\x04", 5);
    EXPECT_TRUE(ends_with_terminate(terminate));
    EXPECT_TRUE(ends_with_terminate("before" + terminate));
    EXPECT_FALSE(ends_with_terminate(terminate + "x"));
}

}  // namespace
}  // namespace signalbox::wire::postgres
