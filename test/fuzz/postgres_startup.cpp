// Whatever bytes a client opens with: the parser never reads past them and says the same of any longer text with the
// same packet in front. The scan of a conversation learns the same however the bytes are cut.

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "wire/postgres/startup.hpp"

using namespace signalbox::wire::postgres;

namespace {

// The first byte of the input says how the conversation is cut into pieces, then each piece says whose it is.
StartupScan scan(std::string_view bytes, std::size_t piece_max) {
    StartupScan scan;
    while (bytes.size() >= 2) {
        const bool client = (bytes[0] & 1) != 0;
        std::string_view said = bytes.substr(2, static_cast<unsigned char>(bytes[1]));
        bytes.remove_prefix(2 + said.size());
        // The answer to a request for encryption is one byte in one piece, by the protocol.
        if (!client) {
            scan.from_server(said);
            continue;
        }
        while (!said.empty()) {
            const auto piece = said.substr(0, piece_max);
            scan.from_client(piece);
            said.remove_prefix(piece.size());
            if (scan.cancel()) break;
        }
    }
    return scan;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const Opening opening = parse_opening(bytes);
    if (opening.kind == OpeningKind::Cancel) {
        if (build_cancel(opening.cancel) != bytes.substr(0, opening.size_bytes)) std::abort();
    }
    if (opening.kind != OpeningKind::Incomplete && parse_opening(std::string(bytes) + "x").kind != opening.kind) {
        std::abort();
    }
    const StartupScan whole = scan(bytes, 256);
    if (whole.key() && (whole.key()->secret.size() < 4 || whole.key()->secret.size() > secret_max_bytes)) std::abort();
    const std::string fatal = build_fatal("57P03", bytes, bytes);
    StartupScan refused;
    refused.from_client(std::string_view("\0\0\0\x08\0\x03\0\0", 8));
    for (const char byte : fatal) refused.from_server({&byte, 1});
    if (!refused.done() || refused.sql_state() != "57P03") std::abort();
    ends_with_terminate(bytes);
    scan(bytes, 1);
    return 0;
}
