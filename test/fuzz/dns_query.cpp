// Any bytes are a DNS query that gets an answer which fits, or are not answered; an answer is never answered.

#include <cstddef>
#include <cstdint>

#include "adapters/dns/answer.hpp"
#include "base/assert.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace signalbox::dns;
    Zone zone;
    zone.server = "127.0.0.1";
    zone.names["orders.db.example"].targets = {{"10.0.0.1", 100}, {"fd00::1", 10}};
    zone.names["example"];
    auto& many = zone.names["many.example"];
    for (int i = 0; i < 100; ++i) many.targets.push_back({"10.0.0." + std::to_string(i), 100});
    for (const auto transport : {Transport::Udp, Transport::Tcp}) {
        const auto reply = answer(zone, data, size, transport);
        if (reply.empty()) continue;
        SB_ASSERT(reply.size() >= 12 && reply[0] == data[0] && reply[1] == data[1], "an answer has its query's id");
        SB_ASSERT(reply.size() <= (transport == Transport::Udp ? udp_size_max : tcp_size_max), "an answer fits");
        SB_ASSERT((reply[2] & 0x80U) != 0, "an answer says that it is one");
        SB_ASSERT(answer(zone, reply.data(), reply.size(), transport).empty(), "an answer is not answered");
    }
    return 0;
}
