#include "domain/network/check.hpp"

#include <algorithm>

#include "domain/network/faults.hpp"

namespace signalbox::network {
namespace {

using base::Severity;

struct Checker {
    const Facts& facts;
    const Demand& demand;
    Report report;
    const Subnet* subnet = nullptr;
    const RouteTable* table = nullptr;

    void add(FaultId id, std::string message) { report.faults.push_back(make_fault(id, std::move(message))); }
    void add(FaultId id, std::string message, Severity severity) {
        report.faults.push_back(make_fault(id, std::move(message), severity));
    }
    bool impaired(const std::string& zone_id) const {
        const Zone* zone = find(facts.zones, zone_id);
        return zone != nullptr && zone->state != "available";
    }

    void place();
    void way_out();
    bool by_endpoint();
    void by_nat(const Route& route, Severity severity);
    void addresses();
    void groups();
    void nodes_talk(const std::vector<const SecurityGroup*>& groups);
    void data_source(const std::vector<const SecurityGroup*>& groups);
    void source_route(std::uint32_t address, const std::string& name);
};

void Checker::place() {
    report.network = subnet->network;
    report.zone = subnet->zone;
    if (subnet->state != "available")
        add(FaultId::SubnetUnavailable, fmt::format("subnet '{}' is {}", subnet->id, subnet->state));
    const Network* network = find(facts.networks, subnet->network);
    if (network == nullptr) {
        add(FaultId::NetworkMissing, fmt::format("there is no network '{}'", subnet->network));
    } else if (network->state != "available") {
        add(FaultId::NetworkUnavailable, fmt::format("network '{}' is {}", network->id, network->state));
    }
    const Zone* zone = find(facts.zones, subnet->zone);
    if (zone == nullptr) {
        add(FaultId::ZoneUnknown, fmt::format("nothing is known of zone '{}'", subnet->zone));
    } else if (zone->state != "available") {
        add(FaultId::ZoneImpaired, fmt::format("zone '{}' is {}", zone->id, zone->state));
    }
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// An endpoint serves the subnet by its route table (gateway), by itself (interface), or by a route that names it.
bool Checker::by_endpoint() {
    bool works = false;
    for (const Endpoint& endpoint : facts.endpoints) {
        bool serves = contains(endpoint.subnets, subnet->id);
        if (table != nullptr) {
            serves = serves || contains(endpoint.route_tables, table->id);
            for (const Route& route : table->routes)
                serves = serves || (route.kind == TargetKind::Endpoint && route.target == endpoint.id);
        }
        if (!serves) continue;
        if (endpoint.state == "available") {
            works = true;
            if (report.way_out.empty()) report.way_out = "endpoint " + endpoint.id;
        }
    }
    return works;
}

void Checker::by_nat(const Route& route, Severity severity) {
    const NatGateway* nat = find(facts.nat_gateways, route.target);
    if (nat == nullptr) {
        add(FaultId::NatMissing,
            fmt::format("table '{}' routes {} to NAT gateway '{}', which does not exist", table->id,
                        route.destination.text(), route.target),
            severity);
        return;
    }
    if (nat->state != "available") {
        add(FaultId::NatUnavailable, fmt::format("NAT gateway '{}' is {}", nat->id, nat->state), severity);
        return;
    }
    report.way_out = "nat " + nat->id;
    if (nat->zone == subnet->zone) return;
    add(FaultId::NatOtherZone, fmt::format("NAT gateway '{}' is in zone '{}', subnet '{}' in zone '{}'", nat->id,
                                           nat->zone, subnet->id, subnet->zone));
    if (impaired(nat->zone)) {
        add(FaultId::NatZoneImpaired,
            fmt::format("NAT gateway '{}' is in zone '{}', which is impaired", nat->id, nat->zone), severity);
    }
}

void Checker::way_out() {
    table = table_of(facts, *subnet);
    const bool endpoint = by_endpoint();
    // With an endpoint at hand, a broken default route no longer makes the subnet useless.
    const Severity severity = endpoint ? Severity::Degraded : Severity::Unusable;
    if (table == nullptr) {
        add(FaultId::NoRouteTable,
            fmt::format("no route table for subnet '{}', and network '{}' has no main one", subnet->id,
                        subnet->network),
            severity);
        return;
    }
    for (const Route& route : table->routes) {
        if (route.kind == TargetKind::Endpoint && find(facts.endpoints, route.target) == nullptr) {
            add(FaultId::EndpointMissing,
                fmt::format("table '{}' routes {} to endpoint '{}', which does not exist", table->id,
                            route.destination.text(), route.target),
                route.destination.prefix_bits == 0 ? severity : Severity::Degraded);
        }
    }
    const Route* route = default_route(*table);
    if (route == nullptr) {
        if (endpoint) return;
        for (const Endpoint& candidate : facts.endpoints) {
            if (!contains(candidate.subnets, subnet->id) && !contains(candidate.route_tables, table->id)) continue;
            add(FaultId::EndpointUnavailable, fmt::format("endpoint '{}' is {}", candidate.id, candidate.state));
            return;
        }
        add(FaultId::NoWayOut,
            fmt::format("table '{}' of subnet '{}' has no default route and no endpoint", table->id, subnet->id));
        return;
    }
    if (route->blackhole) {
        add(FaultId::WayOutBlackholed,
            fmt::format("table '{}' routes 0.0.0.0/0 to {}, a blackhole", table->id,
                        route->target.empty() ? "nothing" : "'" + route->target + "'"),
            severity);
    } else if (route->kind == TargetKind::Nat) {
        by_nat(*route, severity);
    } else if (route->kind == TargetKind::Internet) {
        report.way_out = "internet";
    } else if (route->kind == TargetKind::Peering) {
        add(FaultId::WayOutThroughPeering,
            fmt::format("table '{}' routes 0.0.0.0/0 to peering '{}'", table->id, route->target), severity);
    } else if (route->kind == TargetKind::Endpoint) {
        const Endpoint* target = find(facts.endpoints, route->target);
        if (target != nullptr && target->state != "available")
            add(FaultId::EndpointUnavailable, fmt::format("endpoint '{}' is {}", target->id, target->state), severity);
    } else {
        add(FaultId::WayOutUnknownTarget, fmt::format("table '{}' routes 0.0.0.0/0 to '{}'", table->id, route->target));
        if (report.way_out.empty()) report.way_out = route->target;
    }
}

void Checker::addresses() {
    report.free_addresses = subnet->free_addresses;
    report.available = subnet->free_addresses - std::min(subnet->free_addresses, demand.promised);
    const std::uint64_t least = addresses_to_start(demand.nodes);
    const std::string promised =
        demand.promised == 0 ? "" : fmt::format(", {} of them promised to starting runs", demand.promised);
    if (report.available < least) {
        add(FaultId::NoFreeAddresses, fmt::format("subnet '{}' has {} free addresses{}; a run needs {} to start",
                                                  subnet->id, report.free_addresses, promised, least));
    } else if (report.available < demand.nodes) {
        add(FaultId::UnderCapacity, fmt::format("subnet '{}' has {} free addresses{}; full size needs {}", subnet->id,
                                                report.free_addresses, promised, demand.nodes));
    } else if (demand.promised > 0) {
        add(FaultId::AddressesPromised,
            fmt::format("subnet '{}' has {} free addresses{}", subnet->id, report.free_addresses, promised));
    }
}

bool covers_port(const Rule& rule, int port) {
    return rule.protocol == "all" || (rule.protocol == "tcp" && rule.port_from <= port && port <= rule.port_to);
}

bool covers_all_ports(const Rule& rule) {
    return rule.protocol == "all" || (rule.protocol == "tcp" && rule.port_from <= 1 && rule.port_to >= 65535);
}

void Checker::nodes_talk(const std::vector<const SecurityGroup*>& groups) {
    if (demand.nodes < 2) return;
    // Every node has every group: a rule of any of them that names any of them, or the subnet's range, joins the nodes.
    const auto joins = [&](const Rule& rule) {
        if (rule.protocol != "all" && rule.protocol != "tcp") return false;
        // With the subnet unknown, a range can't be judged; only what is known to be wrong is said.
        if (rule.range) return subnet == nullptr || rule.range->contains(subnet->range);
        return std::any_of(groups.begin(), groups.end(), [&](const auto* group) { return group->id == rule.group; });
    };
    bool in_whole = false, in_part = false, out_whole = false, out_part = false;
    for (const SecurityGroup* group : groups) {
        for (const Rule& rule : group->ingress) {
            in_part = in_part || joins(rule);
            in_whole = in_whole || (joins(rule) && covers_all_ports(rule));
        }
        for (const Rule& rule : group->egress) {
            out_part = out_part || joins(rule);
            out_whole = out_whole || (joins(rule) && covers_all_ports(rule));
        }
    }
    const std::string names = base::join(demand.security_groups, ", ");
    if (!in_part) {
        add(FaultId::NodesCannotTalk, fmt::format("no inbound rule of {} has the group itself as its source", names));
    } else if (!in_whole || (out_part && !out_whole)) {
        add(FaultId::NodesTalkPartly, fmt::format("the {} rules of {} between nodes cover some TCP ports only",
                                                  in_whole ? "outbound" : "inbound", names));
    }
    if (!out_part) {
        add(FaultId::NodesEgressBlocked, fmt::format("no outbound rule of {} leads to the group itself", names));
    }
}

void Checker::source_route(std::uint32_t address, const std::string& name) {
    if (subnet == nullptr || table == nullptr) return;
    const Network* network = find(facts.networks, subnet->network);
    if (network != nullptr && network->range.contains(address)) return;
    const Route* route = route_to(*table, address);
    if (route == nullptr) {
        add(FaultId::SourceNoRoute, fmt::format("table '{}' has no route to {}", table->id, name));
        return;
    }
    // What is wrong with the default route was said by the check of the way out.
    if (route->destination.prefix_bits == 0) return;
    if (route->blackhole) {
        add(FaultId::SourceRouteBlackholed,
            fmt::format("table '{}' routes {} to a blackhole", table->id, route->destination.text()));
    } else if (route->kind == TargetKind::Peering) {
        const Peering* peering = find(facts.peerings, route->target);
        const bool ours = peering != nullptr && contains(peering->networks, subnet->network);
        if (!ours || peering->state != "active") {
            add(FaultId::SourcePeeringBroken, fmt::format("peering '{}' on the route to {} {}", route->target, name,
                                                          peering == nullptr ? "does not exist"
                                                          : ours             ? "is " + peering->state
                                                                 : "does not join network '" + subnet->network + "'"));
        }
    } else if (route->kind == TargetKind::Nat) {
        by_nat(*route, Severity::Unusable);
    }
}

void Checker::data_source(const std::vector<const SecurityGroup*>& groups) {
    if (!demand.data_source) return;
    const std::string name = demand.data_source->text();
    const auto address = parse_address(demand.data_source->host);
    if (!address) {
        add(FaultId::SourceUnresolved, fmt::format("data source {} is given by name", name));
        return;
    }
    source_route(*address, name);
    if (groups.empty()) return;
    for (const SecurityGroup* group : groups) {
        for (const Rule& rule : group->egress) {
            if (!covers_port(rule, demand.data_source->port)) continue;
            // Which groups the source itself has is not among the facts; a rule towards a group may well mean it.
            if (!rule.range || rule.range->contains(*address)) return;
        }
    }
    add(FaultId::SourceEgressBlocked,
        fmt::format("no outbound rule of {} leads to {}", base::join(demand.security_groups, ", "), name));
}

void Checker::groups() {
    std::vector<const SecurityGroup*> known;
    if (demand.security_groups.empty()) add(FaultId::NoSecurityGroup, "the connection names no security group");
    for (const std::string& id : demand.security_groups) {
        const SecurityGroup* group = find(facts.security_groups, id);
        if (group == nullptr) {
            add(FaultId::SecurityGroupMissing, fmt::format("there is no security group '{}'", id));
        } else if (subnet != nullptr && group->network != subnet->network) {
            add(FaultId::SecurityGroupOtherNetwork,
                fmt::format("security group '{}' belongs to network '{}', subnet '{}' to '{}'", id, group->network,
                            subnet->id, subnet->network));
        } else {
            known.push_back(group);
        }
    }
    if (!known.empty()) nodes_talk(known);
    data_source(known);
}

}  // namespace

std::uint64_t addresses_to_start(std::uint64_t nodes) { return std::min<std::uint64_t>(nodes, 2); }

Report check(const Facts& facts, const Demand& demand, base::WallTime now) {
    Checker checker{facts, demand, {}, find(facts.subnets, demand.subnet)};
    if (checker.subnet == nullptr) {
        std::vector<std::string> known;
        for (const Subnet& subnet : facts.subnets) known.push_back(subnet.id);
        checker.add(FaultId::SubnetMissing, fmt::format("there is no subnet '{}'; there {}", demand.subnet,
                                                        known.empty() ? "is none" : "are " + base::join(known, ", ")));
    } else {
        checker.place();
        checker.way_out();
        checker.addresses();
    }
    checker.groups();
    if (now - facts.read_at > facts_age_max) {
        checker.add(FaultId::FactsStale,
                    fmt::format("the provider's facts are {} old",
                                base::format_duration(std::chrono::floor<std::chrono::seconds>(now - facts.read_at))));
    }
    return std::move(checker.report);
}

}  // namespace signalbox::network
