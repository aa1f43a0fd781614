// Whatever bytes a server sends: the parsers never read past them, and what an error packet says survives a round trip.

#include <cstdlib>

#include "wire/mysql/packet.hpp"

using namespace signalbox::wire::mysql;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto header = parse_header(bytes);
    if (header.has_value() != (size >= header_size_bytes)) std::abort();
    is_quit(bytes);
    const std::string_view payload = header ? bytes.substr(header_size_bytes) : bytes;
    if (const auto greeting = parse_greeting(payload)) {
        if (greeting->server_version.size() > payload.size()) std::abort();
    }
    const auto error = parse_error(payload);
    if (error && error->sql_state.size() == 5 && error->message.size() <= 1000) {
        const std::string again = build_error(1, error->code, error->sql_state, error->message);
        if (again.substr(header_size_bytes) != payload) std::abort();
    }
    return 0;
}
