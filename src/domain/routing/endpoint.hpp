#pragma once
// What the user says of an endpoint: an address that clients connect to, for a role.

#include <cstdint>
#include <string>

#include "base/text.hpp"
#include "base/time.hpp"

namespace signalbox::routing {

// How long and how many clients wait while there is no writer.
struct HoldConfig {
    base::Duration time_max = std::chrono::seconds(30);
    std::uint64_t connections_max = 1000;
    friend bool operator==(const HoldConfig&, const HoldConfig&) = default;
};

struct EndpointConfig {
    std::string name;
    std::string cluster;
    base::HostPort listen;
    HoldConfig hold;
    std::uint64_t sessions_max = 20'000;
    friend bool operator==(const EndpointConfig&, const EndpointConfig&) = default;
};

}  // namespace signalbox::routing
