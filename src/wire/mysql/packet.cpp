#include "wire/mysql/packet.hpp"

#include "base/assert.hpp"

namespace signalbox::wire::mysql {
namespace {

using base::ErrorKind;
using base::fail;

constexpr unsigned char greeting_version = 10;
constexpr unsigned char error_marker = 0xFF;
constexpr std::size_t sql_state_size = 5;
constexpr std::size_t message_max_bytes = 1000;

std::uint32_t byte_at(std::string_view bytes, std::size_t at) { return static_cast<unsigned char>(bytes[at]); }

}  // namespace

std::optional<PacketHeader> parse_header(std::string_view bytes) {
    if (bytes.size() < header_size_bytes) return std::nullopt;
    return PacketHeader{byte_at(bytes, 0) | byte_at(bytes, 1) << 8 | byte_at(bytes, 2) << 16,
                        static_cast<std::uint8_t>(byte_at(bytes, 3))};
}

base::Result<Greeting> parse_greeting(std::string_view payload) {
    if (payload.empty()) return fail(ErrorKind::CorruptData, "an empty greeting");
    if (byte_at(payload, 0) != greeting_version) {
        return fail(ErrorKind::CorruptData, "expected a greeting of protocol version 10, found {} at offset 0",
                    byte_at(payload, 0));
    }
    const std::size_t end = payload.find('\0', 1);
    if (end == std::string_view::npos) return fail(ErrorKind::CorruptData, "the server version has no end");
    if (payload.size() < end + 5) {
        return fail(ErrorKind::CorruptData, "expected a connection id of 4 bytes at offset {}, found {} bytes", end + 1,
                    payload.size() - end - 1);
    }
    Greeting greeting;
    greeting.server_version = payload.substr(1, end - 1);
    for (std::size_t i = 0; i < 4; ++i) greeting.connection_id |= byte_at(payload, end + 1 + i) << (8 * i);
    return greeting;
}

bool is_error(std::string_view payload) { return !payload.empty() && byte_at(payload, 0) == error_marker; }

base::Result<ErrorPacket> parse_error(std::string_view payload) {
    if (!is_error(payload)) return fail(ErrorKind::CorruptData, "expected 0xFF at offset 0 of an error packet");
    if (payload.size() < 3) {
        return fail(ErrorKind::CorruptData, "expected an error code of 2 bytes at offset 1, found {} bytes",
                    payload.size() - 1);
    }
    ErrorPacket error;
    error.code = static_cast<std::uint16_t>(byte_at(payload, 1) | byte_at(payload, 2) << 8);
    std::string_view rest = payload.substr(3);
    if (!rest.empty() && rest.front() == '#') {
        if (rest.size() < 1 + sql_state_size) {
            return fail(ErrorKind::CorruptData, "expected an SQL state of 5 characters at offset 4, found {}",
                        rest.size() - 1);
        }
        error.sql_state = rest.substr(1, sql_state_size);
        rest = rest.substr(1 + sql_state_size);
    }
    error.message = rest;
    return error;
}

std::string build_error(std::uint8_t packet_number, std::uint16_t code, std::string_view sql_state,
                        std::string_view message) {
    SB_ASSERT(sql_state.empty() || sql_state.size() == sql_state_size, "an SQL state has five characters");
    message = message.substr(0, message_max_bytes);
    const std::size_t size = 3 + (sql_state.empty() ? 0 : 1 + sql_state_size) + message.size();
    std::string packet;
    packet.reserve(header_size_bytes + size);
    for (const std::size_t byte : {size & 0xFF, size >> 8 & 0xFF, size >> 16 & 0xFF, std::size_t{packet_number}}) {
        packet.push_back(static_cast<char>(byte));
    }
    packet.push_back(static_cast<char>(error_marker));
    packet.push_back(static_cast<char>(code & 0xFF));
    packet.push_back(static_cast<char>(code >> 8));
    if (!sql_state.empty()) packet.push_back('#');
    packet += sql_state;
    packet += message;
    return packet;
}

bool is_quit(std::string_view bytes) { return bytes == std::string_view("\x01\x00\x00\x00\x01", 5); }

}  // namespace signalbox::wire::mysql
