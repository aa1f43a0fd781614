#pragma once
// What is known of the networks of a provider at one moment, as plain values: the input of every check. States are the
// provider's own words; only "available" and "active" are good.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"

namespace signalbox::network {

// An IPv4 address range; base has no bit set outside of its prefix.
struct Range {
    std::uint32_t base = 0;
    int prefix_bits = 0;  // 0–32

    bool contains(std::uint32_t address) const;
    bool contains(const Range& other) const;
    std::uint32_t last() const;  // its highest address
    std::string text() const;
    friend bool operator==(const Range&, const Range&) = default;
};

// "10.0.0.0/16"; InvalidArgument names the text, also for bits outside of the prefix.
base::Result<Range> parse_range(std::string_view text);
// "10.0.1.2", four decimal numbers, no leading zeros; nothing if it is not one.
std::optional<std::uint32_t> parse_address(std::string_view text);

struct Zone {
    std::string id;
    std::string state;  // "available", "impaired"
};

struct Network {
    std::string id;
    Range range;
    std::string state;
};

struct Subnet {
    std::string id;
    std::string network;
    std::string zone;
    Range range;
    std::string state;
    std::uint64_t free_addresses = 0;
};

enum class TargetKind { Local, Nat, Internet, Endpoint, Peering, Other };

struct Route {
    Range destination;
    TargetKind kind = TargetKind::Other;
    // The id behind the kind; "internet" for an internet gateway without one; for Other the provider's whole text.
    std::string target;
    bool blackhole = false;
};

struct RouteTable {
    std::string id;
    std::string network;
    bool main = false;  // used by every subnet of the network without a table of its own
    std::vector<std::string> subnets;
    std::vector<Route> routes;
};

struct NatGateway {
    std::string id;
    std::string subnet;
    std::string zone;
    std::string state;
};

struct Endpoint {
    std::string id;
    std::string network;
    std::string kind;  // "gateway": by route tables, "interface": by subnets
    std::string service;
    std::string state;
    std::vector<std::string> route_tables;
    std::vector<std::string> subnets;
};

struct Rule {
    std::string protocol;  // "tcp", "all"
    int port_from = 0;
    int port_to = 65535;
    // Whom it lets in (ingress) or where it leads (egress): a group's id, or a range.
    std::string group;
    std::optional<Range> range;
};

struct SecurityGroup {
    std::string id;
    std::string network;
    std::vector<Rule> ingress;
    std::vector<Rule> egress;
};

struct Peering {
    std::string id;
    std::vector<std::string> networks;
    std::string state;
};

// An entry of a network ACL. The lowest number that matches decides; what no entry matches is denied.
struct AclEntry {
    int number = 0;  // 1–32766, unique in its direction
    bool allow = false;
    std::string protocol;  // "tcp", "all", …
    int port_from = 0;     // of the packet's destination
    int port_to = 65535;
    Range range;  // whom it comes from (ingress) or where it goes (egress)
};

// Filters what enters and leaves a subnet, packet by packet: an answer needs an entry of its own. Nothing within a
// subnet passes it.
struct NetworkAcl {
    std::string id;
    std::string network;
    bool is_default = false;  // used by every subnet of the network that no other one names
    std::vector<std::string> subnets;
    std::vector<AclEntry> ingress;
    std::vector<AclEntry> egress;
};

// An address of a subnet and who holds it. One without security groups filters nothing.
struct Interface {
    std::string id;
    std::uint32_t address = 0;
    std::string subnet;
    std::vector<std::string> security_groups;
    std::string token;  // of the node that was started with it; empty for others
    std::string state;  // "in-use"; "lingering": its node has ended, the address is still held
};

struct InternetGateway {
    std::string id;
    std::string network;
    std::string state;
};

struct Facts {
    base::WallTime read_at{};  // when the provider was asked: the facts' age counts from here
    std::vector<Zone> zones;
    std::vector<Network> networks;
    std::vector<Subnet> subnets;
    std::vector<RouteTable> route_tables;
    std::vector<NatGateway> nat_gateways;
    std::vector<Endpoint> endpoints;
    std::vector<SecurityGroup> security_groups;
    std::vector<Peering> peerings;
    std::vector<NetworkAcl> network_acls;
    std::vector<InternetGateway> internet_gateways;
    std::vector<Interface> interfaces;
    // False: the provider was not asked for interfaces, so that nothing is said of who has an address.
    bool interfaces_known = false;
};

// "10.0.1.2"
std::string address_text(std::uint32_t address);

}  // namespace signalbox::network
