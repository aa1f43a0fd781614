#include "domain/network/check.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "domain/network/trace_internal.hpp"

namespace signalbox::network {
namespace {

using base::Severity;
using internal::Groups;

struct Checker {
    const Index& index;
    const Demand& demand;
    Report report;
    const Place* place = nullptr;

    void add(FaultId id, std::string message) { report.faults.push_back(make_fault(id, std::move(message))); }
    void add(FaultId id, std::string message, Severity severity) {
        report.faults.push_back(make_fault(id, std::move(message), severity));
    }

    void way_out();
    bool by_endpoint();
    void broken_endpoint_routes(Severity severity);
    void no_default_route();
    void by_default_route(const Route& route, Severity severity);
    void addresses();
    void groups();
    void nodes_talk(const Groups& groups);
    void sources(const Groups& groups);
    void source(const std::string& name, const base::HostPort& address, const Groups& groups);
    void take(const std::string& name, base::Fault fault);
};

// An endpoint serves the subnet by its route table (gateway), by itself (interface), or by a route that names it.
bool Checker::by_endpoint() {
    const auto works = [&](const Endpoint* endpoint) {
        if (endpoint->state != "available" || endpoint->network != place->subnet->network) return false;
        if (report.way_out.empty()) report.way_out = "endpoint " + endpoint->id;
        return true;
    };
    // In the order of the facts, whichever way each serves.
    bool any = false;
    if (place->table != nullptr)
        for (const Endpoint* endpoint : place->table->endpoints) any = works(endpoint) || any;
    for (const Endpoint* endpoint : place->endpoints) any = works(endpoint) || any;
    return any;
}

void Checker::broken_endpoint_routes(Severity severity) {
    for (const Route& route : place->table->table->routes) {
        const bool is_default = route.destination.prefix_bits == 0;
        if (route.kind == TargetKind::Endpoint && !route.blackhole && !is_default)
            internal::endpoint_of(index, *place, route, Severity::Degraded, report.faults);
        if (route.kind == TargetKind::Endpoint && !route.blackhole && is_default)
            internal::endpoint_of(index, *place, route, severity, report.faults);
    }
}

void Checker::no_default_route() {
    for (const auto* endpoints : {&place->table->endpoints, &place->endpoints}) {
        if (endpoints->empty()) continue;
        const Endpoint& endpoint = *endpoints->front();
        if (endpoint.network != place->subnet->network) {
            add(FaultId::EndpointOtherNetwork,
                fmt::format("endpoint '{}' belongs to network '{}', subnet '{}' to '{}'", endpoint.id, endpoint.network,
                            place->subnet->id, place->subnet->network));
        } else {
            add(FaultId::EndpointUnavailable, fmt::format("endpoint '{}' is {}", endpoint.id, endpoint.state));
        }
        return;
    }
    add(FaultId::NoWayOut, fmt::format("table '{}' of subnet '{}' has no default route and no endpoint",
                                       place->table->table->id, place->subnet->id));
}

void Checker::way_out() {
    const bool endpoint = by_endpoint();
    // With an endpoint at hand, a broken default route no longer makes the subnet useless.
    const Severity severity = endpoint ? Severity::Degraded : Severity::Unusable;
    if (place->table == nullptr) {
        add(FaultId::NoRouteTable,
            fmt::format("no route table for subnet '{}', and network '{}' has no main one", place->subnet->id,
                        place->subnet->network),
            severity);
        return;
    }
    broken_endpoint_routes(severity);
    const Route* route = place->table->default_route();
    if (route != nullptr) {
        by_default_route(*route, severity);
    } else if (!endpoint) {
        no_default_route();
    }
}

void Checker::by_default_route(const Route& route, Severity severity) {
    const std::string& table = place->table->table->id;
    if (route.blackhole) {
        add(FaultId::WayOutBlackholed,
            fmt::format("table '{}' routes 0.0.0.0/0 to {}, a blackhole", table,
                        route.target.empty() ? "nothing" : "'" + route.target + "'"),
            severity);
    } else if (route.kind == TargetKind::Nat) {
        const NatGateway* nat = internal::nat_of(index, *place, route, severity, report.faults);
        if (nat != nullptr) report.way_out = "nat " + nat->id;
    } else if (route.kind == TargetKind::Internet) {
        if (internal::internet_works(index, *place, route, severity, report.faults)) report.way_out = "internet";
    } else if (route.kind == TargetKind::Peering) {
        add(FaultId::WayOutThroughPeering,
            fmt::format("table '{}' routes 0.0.0.0/0 to peering '{}'", table, route.target), severity);
    } else if (route.kind != TargetKind::Endpoint) {
        add(FaultId::WayOutUnknownTarget, fmt::format("table '{}' routes 0.0.0.0/0 to '{}'", table, route.target));
        if (report.way_out.empty()) report.way_out = route.target;
    }
}

void Checker::addresses() {
    const Subnet& subnet = *place->subnet;
    report.free_addresses = subnet.free_addresses;
    report.available = subnet.free_addresses - std::min(subnet.free_addresses, demand.promised);
    const std::uint64_t least = addresses_to_start(demand.nodes);
    if (report.available >= demand.nodes && demand.promised == 0) return;
    const std::string promised =
        demand.promised == 0 ? "" : fmt::format(", {} of them promised to starting runs", demand.promised);
    if (report.available < least) {
        add(FaultId::NoFreeAddresses, fmt::format("subnet '{}' has {} free addresses{}; a run needs {} to start",
                                                  subnet.id, report.free_addresses, promised, least));
    } else if (report.available < demand.nodes) {
        add(FaultId::UnderCapacity, fmt::format("subnet '{}' has {} free addresses{}; full size needs {}", subnet.id,
                                                report.free_addresses, promised, demand.nodes));
    } else {
        add(FaultId::AddressesPromised,
            fmt::format("subnet '{}' has {} free addresses{}", subnet.id, report.free_addresses, promised));
        return;
    }
    if (const std::size_t lingering = index.lingering(subnet.id); lingering > 0)
        add(FaultId::AddressesLingering, fmt::format("{} addresses of subnet '{}' are held by interfaces of nodes that "
                                                     "have ended",
                                                     lingering, subnet.id));
}

void Checker::nodes_talk(const Groups& groups) {
    if (demand.nodes < 2) return;
    // Every node has every group: a rule of any of them that names any of them, or the subnet's range, joins the nodes.
    const auto joins = [&](const Rule& rule) {
        if (rule.protocol != "all" && rule.protocol != "tcp") return false;
        // With the subnet unknown, a range can't be judged; only what is known to be wrong is said.
        if (rule.range) return place == nullptr || rule.range->contains(place->subnet->range);
        return std::any_of(groups.begin(), groups.end(), [&](const auto* group) { return group->id == rule.group; });
    };
    bool in_whole = false, in_part = false, out_whole = false, out_part = false;
    for (const SecurityGroup* group : groups) {
        for (const Rule& rule : group->ingress) {
            if (!joins(rule)) continue;
            in_part = true;
            in_whole = in_whole || internal::covers_all_ports(rule);
        }
        for (const Rule& rule : group->egress) {
            if (!joins(rule)) continue;
            out_part = true;
            out_whole = out_whole || internal::covers_all_ports(rule);
        }
    }
    if (in_whole && out_whole) return;
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

// What the checks of the place and of other sources have said already is not said again, unless it is worse here.
void Checker::take(const std::string& name, base::Fault fault) {
    const bool rules_out = fault.severity == Severity::Unusable && !fault.signal;
    for (base::Fault& known : report.faults) {
        if (known.code != fault.code || !known.message.ends_with(fault.message)) continue;
        if (!rules_out || (name.empty() && known.message == fault.message)) {
            known.severity = std::max(known.severity, fault.severity);
            return;
        }
    }
    if (!name.empty()) fault.message = fmt::format("source '{}': {}", name, fault.message);
    report.faults.push_back(std::move(fault));
}

void Checker::source(const std::string& name, const base::HostPort& source, const Groups& groups) {
    const auto address = parse_address(source.host);
    if (!address || *address == 0) {
        add(FaultId::SourceUnresolved,
            fmt::format("{} {} is {}", name.empty() ? "data source" : "source '" + name + "':", source.text(),
                        address ? "no address that can be reached from elsewhere" : "given by name"));
        return;
    }
    if (place == nullptr) return;
    internal::Faults faults;
    internal::Trace(index, *place, groups, !demand.security_groups.empty(), *address, source.port, faults, nullptr)
        .run();
    for (base::Fault& fault : faults) take(name, std::move(fault));
}

void Checker::sources(const Groups& groups) {
    if (demand.data_source) source("", *demand.data_source, groups);
    for (const Source& one : demand.sources)
        for (const base::HostPort& address : one.addresses) source(one.name, address, groups);
}

void Checker::groups() {
    if (demand.security_groups.empty()) add(FaultId::NoSecurityGroup, "the connection names no security group");
    const Groups known = internal::known_groups(index, demand.security_groups, place, report.faults);
    if (!known.empty()) nodes_talk(known);
    sources(known);
}

}  // namespace

std::uint64_t addresses_to_start(std::uint64_t nodes) { return std::min<std::uint64_t>(nodes, 2); }

Report check(const Index& index, const Demand& demand, base::WallTime now) {
    Checker checker{index, demand, {}, index.place(demand.subnet)};
    if (checker.place == nullptr) {
        std::vector<std::string> known;
        for (const Subnet& subnet : index.facts().subnets) known.push_back(subnet.id);
        checker.report.faults.push_back(subnet_missing(demand.subnet, known));
    } else {
        checker.report.network = checker.place->subnet->network;
        checker.report.zone = checker.place->subnet->zone;
        internal::place_faults(*checker.place, checker.report.faults);
        checker.way_out();
        checker.addresses();
    }
    checker.groups();
    if (auto stale = staleness(index.facts(), now)) checker.report.faults.push_back(std::move(*stale));
    return std::move(checker.report);
}

Report check(const Facts& facts, const Demand& demand, base::WallTime now) { return check(Index(facts), demand, now); }

}  // namespace signalbox::network
