#include <gmock/gmock.h>

#include "wire/mysql/packet.hpp"

namespace signalbox::wire::mysql {
namespace {

using namespace std::string_literals;

TEST(MysqlPacket, a_header_is_a_little_endian_length_and_a_number) {
    EXPECT_FALSE(parse_header("abc"));
    const auto header = parse_header("\x01\x02\x03\x04more"s);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->payload_size_bytes, 0x030201U);
    EXPECT_EQ(header->number, 4);
}

TEST(MysqlPacket, a_greeting_names_version_and_connection) {
    const auto greeting = parse_greeting(
        "\x0a"
        "5.5.5-10.11.19-MariaDB\0\x2a\x01\x00\x00saltsalt"s);
    ASSERT_TRUE(greeting);
    EXPECT_EQ(greeting->server_version, "5.5.5-10.11.19-MariaDB");
    EXPECT_EQ(greeting->connection_id, 0x12aU);
}

TEST(MysqlPacket, a_greeting_cut_anywhere_is_an_error_and_says_where) {
    const std::string whole =
        "\x0a"
        "10.11\0\x2a\x01\x00\x00"s;
    ASSERT_TRUE(parse_greeting(whole));
    for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(parse_greeting(whole.substr(0, size))) << size;
    EXPECT_EQ(parse_greeting("\x09"
                             "old"s)
                  .error()
                  .text(),
              "expected a greeting of protocol version 10, found 9 at offset 0");
}

TEST(MysqlPacket, an_error_in_place_of_the_greeting_is_as_servers_send_it) {
    // Seen on MariaDB 10.11 past max_connections.
    EXPECT_EQ(build_error(0, 1040, "", "Too many connections"), "\x17\x00\x00\x00\xff\x10\x04Too many connections"s);
}

TEST(MysqlPacket, an_error_survives_the_way_there_and_back) {
    const std::string packet = build_error(3, 1290, "HY000", "read only");
    EXPECT_EQ(parse_header(packet)->payload_size_bytes, packet.size() - header_size_bytes);
    const auto error = parse_error(std::string_view(packet).substr(header_size_bytes));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, 1290);
    EXPECT_EQ(error->sql_state, "HY000");
    EXPECT_EQ(error->message, "read only");
    EXPECT_FALSE(parse_error("\xff\x10"s));
    EXPECT_FALSE(parse_error("\xff\x10\x04#080"s));
    EXPECT_FALSE(parse_error("\x00"s));
}

}  // namespace
}  // namespace signalbox::wire::mysql
