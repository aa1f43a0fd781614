#include "domain/network/reach.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "base/text.hpp"
#include "domain/network/trace_internal.hpp"

namespace signalbox::network {
namespace internal {

bool has(const std::vector<std::string>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

std::string names_of(const Groups& groups) {
    std::vector<std::string> names;
    for (const SecurityGroup* group : groups) names.push_back(group->id);
    return base::join(names, ", ");
}

std::string target_text(const Route& route) {
    switch (route.kind) {
        case TargetKind::Nat:
            return "nat:" + route.target;
        case TargetKind::Endpoint:
            return "endpoint:" + route.target;
        case TargetKind::Peering:
            return "peering:" + route.target;
        case TargetKind::Internet:
            return route.target == "internet" || route.target.empty() ? "internet" : "internet:" + route.target;
        case TargetKind::Local:
            return "local";
        case TargetKind::Other:
            break;
    }
    return route.target;
}

Groups known_groups(const Index& index, const std::vector<std::string>& ids, const Place* place, Faults& faults) {
    Groups known;
    known.reserve(ids.size());
    for (const std::string& id : ids) {
        const SecurityGroup* group = index.security_group(id);
        if (group == nullptr) {
            faults.push_back(
                make_fault(FaultId::SecurityGroupMissing, fmt::format("there is no security group '{}'", id)));
        } else if (place != nullptr && group->network != place->subnet->network) {
            faults.push_back(make_fault(FaultId::SecurityGroupOtherNetwork,
                                        fmt::format("security group '{}' belongs to network '{}', subnet '{}' to '{}'",
                                                    id, group->network, place->subnet->id, place->subnet->network)));
        } else {
            known.push_back(group);
        }
    }
    return known;
}

void place_faults(const Place& place, Faults& faults) {
    const Subnet& subnet = *place.subnet;
    const auto add = [&](FaultId id, std::string message) { faults.push_back(make_fault(id, std::move(message))); };
    if (subnet.state != "available")
        add(FaultId::SubnetUnavailable, fmt::format("subnet '{}' is {}", subnet.id, subnet.state));
    if (place.network == nullptr) {
        add(FaultId::NetworkMissing, fmt::format("there is no network '{}'", subnet.network));
    } else if (place.network->state != "available") {
        add(FaultId::NetworkUnavailable, fmt::format("network '{}' is {}", place.network->id, place.network->state));
    }
    if (place.zone == nullptr) {
        add(FaultId::ZoneUnknown, fmt::format("nothing is known of zone '{}'", subnet.zone));
    } else if (place.zone->state != "available") {
        add(FaultId::ZoneImpaired, fmt::format("zone '{}' is {}", place.zone->id, place.zone->state));
    }
}

const NatGateway* nat_of(const Index& index, const Place& place, const Route& route, base::Severity severity,
                         Faults& faults) {
    const auto add = [&](FaultId id, std::string message, base::Severity how) {
        faults.push_back(make_fault(id, std::move(message), how));
    };
    const NatGateway* nat = index.nat_gateway(route.target);
    if (nat == nullptr) {
        add(FaultId::NatMissing,
            fmt::format("table '{}' routes {} to NAT gateway '{}', which does not exist", place.table->table->id,
                        route.destination.text(), route.target),
            severity);
        return nullptr;
    }
    if (nat->state != "available") {
        add(FaultId::NatUnavailable, fmt::format("NAT gateway '{}' is {}", nat->id, nat->state), severity);
        return nullptr;
    }
    const Place* stands = index.place(nat->subnet);
    if (stands != nullptr && stands->subnet->network != place.subnet->network) {
        add(FaultId::NatOtherNetwork,
            fmt::format("NAT gateway '{}' stands in network '{}', subnet '{}' in '{}'", nat->id,
                        stands->subnet->network, place.subnet->id, place.subnet->network),
            severity);
        return nullptr;
    }
    if (nat->zone == place.subnet->zone) return nat;
    add(FaultId::NatOtherZone,
        fmt::format("NAT gateway '{}' is in zone '{}', subnet '{}' in zone '{}'", nat->id, nat->zone, place.subnet->id,
                    place.subnet->zone),
        base::Severity::Degraded);
    const Zone* zone = index.zone(nat->zone);
    if (zone != nullptr && zone->state != "available") {
        add(FaultId::NatZoneImpaired,
            fmt::format("NAT gateway '{}' is in zone '{}', which is {}", nat->id, nat->zone, zone->state), severity);
    }
    return nat;
}

const Endpoint* endpoint_of(const Index& index, const Place& place, const Route& route, base::Severity severity,
                            Faults& faults) {
    const auto add = [&](FaultId id, std::string message) {
        faults.push_back(make_fault(id, std::move(message), severity));
    };
    const Endpoint* endpoint = index.endpoint(route.target);
    if (endpoint == nullptr) {
        add(FaultId::EndpointMissing, fmt::format("table '{}' routes {} to endpoint '{}', which does not exist",
                                                  place.table->table->id, route.destination.text(), route.target));
        return nullptr;
    }
    if (endpoint->state != "available") {
        add(FaultId::EndpointUnavailable, fmt::format("endpoint '{}' is {}", endpoint->id, endpoint->state));
        return nullptr;
    }
    if (endpoint->network != place.subnet->network) {
        add(FaultId::EndpointOtherNetwork,
            fmt::format("endpoint '{}' belongs to network '{}', table '{}' to '{}'", endpoint->id, endpoint->network,
                        place.table->table->id, place.subnet->network));
        return nullptr;
    }
    return endpoint;
}

bool internet_works(const Index& index, const Place& place, const Route& route, base::Severity severity,
                    Faults& faults) {
    // A provider that gives internet gateways no names has them always.
    if (route.target.empty() || route.target == "internet") return true;
    const InternetGateway* gateway = index.internet_gateway(route.target);
    if (gateway == nullptr) {
        faults.push_back(make_fault(FaultId::InternetGatewayMissing,
                                    fmt::format("table '{}' routes {} to internet gateway '{}', which does not exist",
                                                place.table->table->id, route.destination.text(), route.target),
                                    severity));
        return false;
    }
    if (gateway->state == "available" && gateway->network == place.subnet->network) return true;
    faults.push_back(
        make_fault(FaultId::InternetGatewayUnavailable,
                   gateway->state != "available"
                       ? fmt::format("internet gateway '{}' is {}", gateway->id, gateway->state)
                       : fmt::format("internet gateway '{}' belongs to network '{}', subnet '{}' to '{}'", gateway->id,
                                     gateway->network, place.subnet->id, place.subnet->network),
                   severity));
    return false;
}

}  // namespace internal

bool has_unusable(const std::vector<base::Fault>& faults) {
    return std::any_of(faults.begin(), faults.end(), [](const base::Fault& fault) {
        return fault.severity == base::Severity::Unusable && !fault.signal;
    });
}

std::optional<base::Fault> staleness(const Facts& facts, base::WallTime now) {
    if (now - facts.read_at <= facts_age_max) return std::nullopt;
    const auto age = std::chrono::floor<std::chrono::seconds>(now - facts.read_at);
    return make_fault(FaultId::FactsStale, fmt::format("the provider's facts are {} old, of {}",
                                                       base::format_duration(age), base::format_time(facts.read_at)));
}

Reach reach(const Index& index, const From& from, std::uint32_t address, int port) {
    Reach result;
    const Place* place = index.place(from.subnet);
    if (place == nullptr) {
        std::vector<std::string> known;
        for (const Subnet& subnet : index.facts().subnets) known.push_back(subnet.id);
        result.faults.push_back(subnet_missing(from.subnet, known));
    } else {
        internal::place_faults(*place, result.faults);
    }
    const internal::Groups groups = internal::known_groups(index, from.groups, place, result.faults);
    if (place != nullptr) {
        internal::Trace(index, *place, groups, !from.groups.empty(), address, port, result.faults, &result.path).run();
    }
    result.reachable = !has_unusable(result.faults);
    return result;
}

}  // namespace signalbox::network
