#pragma once
// The few packets of the MySQL client/server protocol that a relay has to know: the frame, the server's greeting and
// the error packet. Pure: bytes in, structs out, and back.
// Source: MariaDB knowledge base, "Client/Server Protocol": 0-packet, connection (initial handshake packet v10),
// ERR_Packet.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace signalbox::wire::mysql {

constexpr std::size_t header_size_bytes = 4;

// The frame before every packet: 3 bytes length of the payload, little endian, 1 byte number within its exchange.
struct PacketHeader {
    std::uint32_t payload_size_bytes = 0;
    std::uint8_t number = 0;
};

// Nothing if fewer than 4 bytes are there.
std::optional<PacketHeader> parse_header(std::string_view bytes);

// The packet with which a server opens the conversation.
struct Greeting {
    std::string server_version;
    std::uint32_t connection_id = 0;  // as KILL takes it; servers with wider ids send the low 32 bits
};

struct ErrorPacket {
    std::uint16_t code = 0;
    std::string sql_state;  // 5 characters; empty in an error in place of the greeting
    std::string message;
};

// Payloads without their frame. Errors: CorruptData with the offset at which the payload stops following its form.
base::Result<Greeting> parse_greeting(std::string_view payload);
base::Result<ErrorPacket> parse_error(std::string_view payload);
// Does the payload begin as an error packet does?
bool is_error(std::string_view payload);

// The whole packet, frame included. sql_state has 5 characters, or none for an error in place of the greeting: there
// servers send none (seen on MariaDB 10.11, "Too many connections"), and clients would print it as part of the text. A
// message longer than 1,000 bytes is cut.
std::string build_error(std::uint8_t packet_number, std::uint16_t code, std::string_view sql_state,
                        std::string_view message);

// The client's farewell, frame included: a server that closes after it did so because it was asked.
bool is_quit(std::string_view bytes);

}  // namespace signalbox::wire::mysql
