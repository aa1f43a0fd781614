#include "adapters/netfacts/host_facts.hpp"

namespace signalbox::netfacts {
namespace {

constexpr const char* name = "host";
constexpr const char* available = "available";
// Nodes do not take addresses of their own from anybody: as many as there are in the range of the loopback.
constexpr std::uint64_t ample_addresses = (1U << 24) - 2;

network::Rule everything() {
    network::Rule rule;
    rule.protocol = "all";
    rule.range = network::Range{};
    return rule;
}

}  // namespace

base::Result<network::Facts> HostFacts::read(base::WallTime now, base::Duration) {
    SB_TRY(const network::Range range, network::parse_range("127.0.0.0/8"));
    network::Facts facts;
    facts.read_at = now;
    network::Zone zone;
    zone.id = name;
    zone.state = available;
    facts.zones.push_back(zone);
    network::Network network;
    network.id = name;
    network.range = range;
    network.state = available;
    facts.networks.push_back(network);
    network::Subnet subnet;
    subnet.id = subnet.network = subnet.zone = name;
    subnet.range = range;
    subnet.state = available;
    subnet.free_addresses = ample_addresses;
    facts.subnets.push_back(subnet);
    network::Route local, out;
    local.destination = range;
    local.kind = network::TargetKind::Local;
    out.kind = network::TargetKind::Internet;
    network::RouteTable table;
    table.id = table.network = name;
    table.main = true;
    table.routes = {local, out};
    facts.route_tables.push_back(table);
    network::SecurityGroup group;
    group.id = "default";
    group.network = name;
    group.ingress = group.egress = {everything()};
    facts.security_groups.push_back(group);
    return facts;
}

}  // namespace signalbox::netfacts
