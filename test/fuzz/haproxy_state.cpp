// Any bytes are HAProxy's list of servers or an error; a list that lost its end is never one.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "adapters/haproxy/runtime_text.hpp"
#include "base/assert.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace signalbox;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto reply = haproxy::parse_reply(text);
    SB_ASSERT(reply || !reply.error().message.empty(), "an error says what is wrong");
    const auto servers = haproxy::parse_servers(text, "targets");
    if (!servers) return 0;
    SB_ASSERT(servers->size() <= haproxy::servers_max, "a list is bounded");
    for (const auto& server : *servers) {
        SB_ASSERT(haproxy::is_proxy_name(server.name) && !server.address.host.empty(), "a server can be named");
        SB_ASSERT(server.weight <= 256, "a weight is in its range");
    }
    SB_ASSERT(!haproxy::parse_servers(text.substr(0, size - 1), "targets"), "a list without its end is no list");
    return 0;
}
