#pragma once
// What the user says of an endpoint: an address that clients connect to, for a role, and how it is served.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/text.hpp"
#include "base/time.hpp"

namespace signalbox::routing {

enum class Role { Writer, Reader };

enum class Mode {
    Stream,       // bytes are relayed
    Kernel,       // nftables rewrites the destination
    Dns,          // a name server answers with the member's address
    TargetGroup,  // an external balancer's target group is kept right
};

// What clients and members speak, for the errors that an endpoint answers itself.
enum class Protocol { MySql, PostgreSql };

// How long and how many clients wait while there is no writer, and how much of what they send meanwhile is kept.
struct HoldConfig {
    base::Duration time_max = std::chrono::seconds(30);
    std::uint64_t connections_max = 1000;
    std::uint64_t bytes_max = 1U << 20U;  // of all held connections of the endpoint
    friend bool operator==(const HoldConfig&, const HoldConfig&) = default;
};

enum class IncludeWriter { Never, WhenAlone, Always };

// Of reader endpoints.
struct ReaderConfig {
    IncludeWriter include_writer = IncludeWriter::Never;
    std::optional<base::Duration> max_lag = std::chrono::seconds(10);  // none: any lag is good
    // A reader that comes back gets a growing share for this long.
    base::Duration slow_start = std::chrono::seconds(10);
    friend bool operator==(const ReaderConfig&, const ReaderConfig&) = default;
};

enum class OnDaemonLoss {
    Close,   // without a refresh within `lease` new flows are refused
    Static,  // the last route stays
};

// Of kernel endpoints.
struct KernelConfig {
    base::Duration lease = std::chrono::seconds(5);
    OnDaemonLoss on_daemon_loss = OnDaemonLoss::Close;
    bool masquerade = true;  // members see our address; false: their way back must lead through this machine
    friend bool operator==(const KernelConfig&, const KernelConfig&) = default;
};

// Of DNS endpoints; several may listen on one address.
struct DnsConfig {
    std::string name;  // the record, without a final dot
    base::Duration ttl = std::chrono::seconds(1);
    friend bool operator==(const DnsConfig&, const DnsConfig&) = default;
};

// Of target groups.
struct TargetGroupConfig {
    std::string socket;                                  // HAProxy's runtime API, a unix socket with level admin
    std::string backend;                                 // in it
    base::Duration reconcile = std::chrono::seconds(5);  // compared at least this often
    base::Duration deadline = std::chrono::seconds(2);   // for a fence to be verified there
    friend bool operator==(const TargetGroupConfig&, const TargetGroupConfig&) = default;
};

struct EndpointConfig {
    std::string name;
    std::string cluster;
    Role role = Role::Writer;
    Mode mode = Mode::Stream;
    Protocol protocol = Protocol::MySql;  // of the cluster's engine
    base::HostPort listen;                // empty for a target group
    HoldConfig hold;                      // stream
    ReaderConfig reader;
    KernelConfig kernel;
    DnsConfig dns;
    TargetGroupConfig target_group;
    std::uint64_t sessions_max = 20'000;
    friend bool operator==(const EndpointConfig&, const EndpointConfig&) = default;
};

// Where a reader endpoint's clients may go.
struct ReaderTarget {
    std::string member;
    base::HostPort address;
    std::uint32_t weight = 100;  // 1–100: its share of new connections beside the others
    bool draining = false;       // no new connections; running ones may stay
    friend bool operator==(const ReaderTarget&, const ReaderTarget&) = default;
};

std::string_view to_string(Role role);
std::string_view to_string(Mode mode);

}  // namespace signalbox::routing
