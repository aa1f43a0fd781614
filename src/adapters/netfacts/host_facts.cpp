#include "adapters/netfacts/host_facts.hpp"

namespace signalbox::netfacts {
namespace {

constexpr const char* name = "host";
constexpr const char* available = "available";
// Nodes share this host's addresses: there is no end to them.
constexpr std::uint64_t ample_addresses = 1U << 24;

network::Rule everything() {
    network::Rule rule;
    rule.protocol = "all";
    rule.range = network::Range{};
    return rule;
}

}  // namespace

base::Result<network::Facts> HostFacts::read(base::WallTime now, base::Duration) {
    // Every range is that of all addresses: where one really is, this host's own routes know.
    network::Facts facts;
    facts.read_at = now;
    network::Zone zone;
    zone.id = name;
    zone.state = available;
    facts.zones.push_back(zone);
    network::Network network;
    network.id = name;
    network.state = available;
    facts.networks.push_back(network);
    network::Subnet subnet;
    subnet.id = subnet.network = subnet.zone = name;
    subnet.state = available;
    subnet.free_addresses = ample_addresses;
    facts.subnets.push_back(subnet);
    network::Route low, high, out;
    low.destination = {0, 1};
    high.destination = {1U << 31, 1};
    low.kind = high.kind = network::TargetKind::Local;
    out.kind = network::TargetKind::Internet;
    out.target = name;
    network::InternetGateway gateway;
    gateway.id = gateway.network = name;
    gateway.state = available;
    facts.internet_gateways.push_back(gateway);
    network::RouteTable table;
    table.id = table.network = name;
    table.main = true;
    table.routes = {low, high, out};
    facts.route_tables.push_back(table);
    network::SecurityGroup group;
    group.id = "default";
    group.network = name;
    group.ingress = group.egress = {everything()};
    facts.security_groups.push_back(group);
    return facts;
}

}  // namespace signalbox::netfacts
