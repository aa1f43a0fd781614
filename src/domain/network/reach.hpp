#pragma once
// Can a node of a subnet, with these security groups, open a TCP connection to an address and port? Yes with the path,
// or no with every reason: nothing stops at the first one.
//
// What is judged: the groups' outbound rules; the network ACLs of every subnet that the packets enter or leave, both
// ways; the route with the longest prefix and what it leads to; and, where the address lies in a known network, the
// groups of the interface that has it, and the way back. What can't be known is not held against it: whether anybody
// listens there, and what lies behind an internet gateway, a peered network that is not among the facts, or a kind of
// target that Signalbox does not know. Security groups are stateful, network ACLs are not; neither peerings nor
// gateways pass on to private addresses beyond them (VPC user guide: security groups, network ACLs, peering
// limitations).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fault.hpp"
#include "domain/network/index.hpp"

namespace signalbox::network {

// Answers come back to the port that the client's side chose: Linux chooses among these (ip-sysctl:
// ip_local_port_range), so that none of them may be denied, …
inline constexpr int client_port_first = 32768;
inline constexpr int client_port_last = 60999;
// … and others, NAT gateways among them, among these (VPC user guide, network ACLs): one denied is a degradation.
inline constexpr int ephemeral_first = 1024;
inline constexpr int ephemeral_last = 65535;

struct From {
    std::string subnet;
    std::vector<std::string> groups;  // none: nothing of it is filtered
};

// A step of the path: "subnet", "route-table", "nat-gateway", "peering", "endpoint", "internet", "interface", …
struct Hop {
    std::string kind;
    std::string id;
    std::string detail;  // for people
    friend bool operator==(const Hop&, const Hop&) = default;
};

struct Reach {
    bool reachable = false;  // no fault that is unusable, signals left aside
    std::vector<Hop> path;   // as far as it is known
    std::vector<base::Fault> faults;
};

Reach reach(const Index& index, const From& from, std::uint32_t address, int port);

// True if a fault rules out, a zone's reported health left aside.
bool has_unusable(const std::vector<base::Fault>& faults);

// Facts older than this are said to be stale.
inline constexpr base::Duration facts_age_max = std::chrono::seconds(60);
// The fault that says so, with the age; nothing if they are fresh.
std::optional<base::Fault> staleness(const Facts& facts, base::WallTime now);

}  // namespace signalbox::network
