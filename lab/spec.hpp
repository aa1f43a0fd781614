#pragma once
// What a lab file says (docs/reference/lab.md), read and checked as a whole: every fault is reported at once.

#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "lab/ipv4.hpp"

namespace signalbox::lab {

struct NetworkSpec {
    std::string name;
    Cidr cidr;
};

struct SubnetSpec {
    std::string name;
    std::string network;
    std::string zone;
    std::string route_table;  // never empty after reading: the network's main one by default
    Cidr cidr;
    std::uint32_t taken = 0;  // addresses that other tenants hold
    // How long the interface of an ended process keeps its address.
    base::Duration linger = base::Duration::zero();
};

// "local" (implied), "nat:ID", "internet", "endpoint:ID", "peering:ID"
struct RouteSpec {
    Cidr destination;
    std::string kind;
    std::string id;
    std::string target() const { return id.empty() ? kind : kind + ":" + id; }
};

struct RouteTableSpec {
    std::string name;
    std::string network;
    bool main = false;
    std::vector<RouteSpec> routes;
};

struct NatSpec {
    std::string name;
    std::string subnet;
};

struct EndpointSpec {
    std::string name;
    std::string network;
    std::string kind;  // gateway, interface
    std::string service;
    std::vector<std::string> route_tables;
    std::vector<std::string> subnets;
};

struct RuleSpec {
    std::string protocol;  // tcp, all
    int port_from = 0;
    int port_to = 65535;
    std::string peer;  // "sg:NAME" or a range
};

struct GroupSpec {
    std::string name;
    std::string network;
    std::vector<RuleSpec> ingress;
    std::vector<RuleSpec> egress;
};

// The lowest number that matches decides; what no entry matches is dropped.
struct AclEntrySpec {
    int number = 0;
    bool allow = false;
    std::string protocol;  // tcp, all
    int port_from = 0;
    int port_to = 65535;
    Cidr range;  // source of what enters, destination of what leaves
};

struct AclSpec {
    std::string name;
    std::string network;
    bool is_default = false;  // of the network's subnets that no other one names
    std::vector<std::string> subnets;
    std::vector<AclEntrySpec> ingress;
    std::vector<AclEntrySpec> egress;
};

struct PeeringSpec {
    std::string name;
    std::vector<std::string> networks;  // two
};

struct HostSpec {
    std::string name;
    std::string subnet;
    std::optional<Ipv4> address;
    std::vector<std::string> security_groups;
};

struct UserSpec {
    std::string name;
    std::string password;
    std::vector<std::string> grants;  // as the engine's GRANT takes them: docs/reference/lab.md
};

struct ClusterSpec {
    std::string name;
    std::string engine = "mariadb";  // mariadb, mysql, postgresql
    std::string server;              // mysql: the root directory that holds its programs; absolute
    std::vector<HostSpec> members;   // the first one is the first writer
    std::vector<std::string> databases;
    std::vector<UserSpec> users;
    std::vector<std::string> security_groups;
    base::Duration detect = std::chrono::milliseconds(300);
    bool automatic = true;
    bool like_aurora = false;
};

// A balancer on a node of its own, in front of targets that are registered while it runs.
struct TargetGroupSpec {
    std::string name;
    HostSpec node;
    std::uint16_t port = 0;
    base::Duration registration_delay = std::chrono::milliseconds(200);
    base::Duration drain = base::Duration::zero();
    base::Duration health_check = std::chrono::seconds(1);  // its interval; zero: none
};

struct LabSpec {
    std::string name;
    std::vector<std::string> zones;
    std::vector<NetworkSpec> networks;
    std::vector<SubnetSpec> subnets;
    std::vector<RouteTableSpec> route_tables;
    std::vector<NatSpec> nat_gateways;
    std::vector<EndpointSpec> endpoints;
    std::vector<GroupSpec> security_groups;
    std::vector<AclSpec> network_acls;  // each network has a default one after reading
    std::vector<PeeringSpec> peerings;
    std::vector<ClusterSpec> clusters;
    std::vector<HostSpec> hosts;
    std::vector<TargetGroupSpec> target_groups;
};

// Errors: InvalidConfig with every fault, one "FILE:LINE: …" each; NotFound for the file itself. Password files are
// read relative to the lab file.
base::Result<LabSpec> load_spec(const std::string& path);
base::Result<LabSpec> parse_spec(const std::string& text, const std::string& file);

// The item of that name, or nullptr.
template <typename T>
const T* find_named(const std::vector<T>& items, const std::string& name) {
    for (const auto& item : items)
        if (item.name == name) return &item;
    return nullptr;
}

// Their names, for an error's text.
template <typename T>
std::string known_names(const std::vector<T>& items) {
    std::vector<std::string> names;
    for (const auto& item : items) names.push_back(item.name);
    return names.empty() ? "none" : base::join(names, ", ");
}

}  // namespace signalbox::lab
