#include "walk.hpp"

#include <algorithm>

namespace signalbox::network::testing_world {
namespace {

using Names = std::set<std::string>;

template <typename T>
const T* by_id(const std::vector<T>& things, const std::string& id) {
    for (const T& thing : things)
        if (thing.id == id) return &thing;
    return nullptr;
}

bool lists(const std::vector<std::string>& names, const std::string& name) {
    return std::count(names.begin(), names.end(), name) > 0;
}

const RouteTable* table_of(const Facts& facts, const Subnet& subnet) {
    for (const RouteTable& table : facts.route_tables)
        if (table.network == subnet.network && lists(table.subnets, subnet.id)) return &table;
    for (const RouteTable& table : facts.route_tables)
        if (table.network == subnet.network && table.main) return &table;
    return nullptr;
}

const Route* longest(const RouteTable& table, std::uint32_t address) {
    for (int bits = 32; bits >= 0; --bits)
        for (const Route& route : table.routes)
            if (route.destination.prefix_bits == bits && route.destination.contains(address)) return &route;
    return nullptr;
}

// Network ACLs: the lowest number that matches decides, none denies.
bool acl_passes(const Facts& facts, const Subnet& subnet, bool inbound, std::uint32_t peer, int port) {
    const NetworkAcl* acl = nullptr;
    for (const NetworkAcl& one : facts.network_acls)
        if (one.network == subnet.network && one.is_default && acl == nullptr) acl = &one;
    for (const NetworkAcl& one : facts.network_acls)
        if (one.network == subnet.network && lists(one.subnets, subnet.id)) {
            acl = &one;
            break;
        }
    if (acl == nullptr) return true;
    for (int number = 0; number <= 100; ++number) {
        for (const AclEntry& entry : inbound ? acl->ingress : acl->egress) {
            if (entry.number != number || !entry.range.contains(peer)) continue;
            const bool matches = entry.protocol == "all" ||
                                 (entry.protocol == "tcp" && entry.port_from <= port && port <= entry.port_to);
            if (matches) return entry.allow;
        }
    }
    return false;
}

bool peered(const Facts& facts, const std::string& a, const std::string& b) {
    if (a == b) return true;
    for (const Peering& peering : facts.peerings)
        if (peering.state == "active" && lists(peering.networks, a) && lists(peering.networks, b)) return true;
    return false;
}

std::vector<std::string> networks_with(const Facts& facts, std::uint32_t address) {
    std::vector<std::string> found;
    for (const Network& network : facts.networks) {
        bool in = network.range.contains(address);
        for (const Subnet& subnet : facts.subnets)
            in = in || (subnet.network == network.id && subnet.range.contains(address));
        if (in) found.push_back(network.id);
    }
    return found;
}

bool is_public(std::uint32_t address) {
    // The random worlds use no other private ranges.
    return (address >> 24) != 10 && (address >> 24) != 127 && (address >> 16) != 0xC0A8;
}

struct Walker {
    const Facts& facts;
    const Walk& packet;
    const Subnet& from;

    const Subnet* subnet_at(const std::string& network, std::uint32_t address) const {
        for (const Subnet& subnet : facts.subnets)
            if (subnet.network == network && subnet.range.contains(address)) return &subnet;
        return nullptr;
    }
    bool port_fits(const Rule& rule) const {
        return rule.protocol == "all" ||
               (rule.protocol == "tcp" && rule.port_from <= packet.port && packet.port <= rule.port_to);
    }

    Names place() const;
    Names go() const;
    Names by_route(const Route& route) const;
    Names beyond(const Route& route) const;
    Names through_nat(const Route& route) const;
    Names home_from_outside() const;
    Names leaves(const Interface* holder, const Subnet* far) const;
    Names arrives(const Subnet& far) const;
    Names enters(const Interface& holder, const Subnet& far) const;
    Names returns(const Subnet& far) const;
};

Names Walker::place() const {
    if (from.state != "available") return {"subnet-unavailable"};
    const Network* network = by_id(facts.networks, from.network);
    if (network == nullptr) return {"network-missing"};
    if (network->state != "available") return {"network-unavailable"};
    for (const std::string& id : packet.groups) {
        const SecurityGroup* group = by_id(facts.security_groups, id);
        if (group == nullptr) return {"security-group-missing"};
        if (group->network != from.network) return {"security-group-other-network"};
    }
    return {};
}

Names Walker::go() const {
    if (from.range.contains(packet.destination)) return arrives(from);
    if (!acl_passes(facts, from, false, packet.destination, packet.port)) return {"source-acl-denied"};
    const RouteTable* table = table_of(facts, from);
    if (table == nullptr) return {"no-route-table"};
    const Route* route = longest(*table, packet.destination);
    if (route == nullptr)
        return {"source-no-route", "source-peering-missing", "source-peering-unused", "source-route-astray"};
    if (route->blackhole) return {"source-route-blackholed"};
    return by_route(*route);
}

Names Walker::by_route(const Route& route) const {
    if (route.kind == TargetKind::Local) {
        const Subnet* far = subnet_at(from.network, packet.destination);
        return far == nullptr ? Names{"destination-no-subnet"} : arrives(*far);
    }
    if (route.kind == TargetKind::Peering) {
        const Peering* peering = by_id(facts.peerings, route.target);
        if (peering == nullptr || peering->state != "active" || !lists(peering->networks, from.network))
            return {"source-peering-broken"};
        const std::string other = peering->networks[0] == from.network ? peering->networks[1] : peering->networks[0];
        const Subnet* far = subnet_at(other, packet.destination);
        if (far == nullptr && by_id(facts.networks, other) == nullptr) return beyond(route);  // nothing is known of it
        return far == nullptr ? Names{"source-not-transitive", "destination-no-subnet"} : arrives(*far);
    }
    const auto known = networks_with(facts, packet.destination);
    if (route.kind == TargetKind::Other) {
        std::string network = known.size() == 1 ? known[0] : "";
        if (lists(known, from.network)) network = from.network;
        if (network.empty()) return beyond(route);
        const Subnet* far = subnet_at(network, packet.destination);
        return far == nullptr ? Names{"destination-no-subnet"} : arrives(*far);
    }
    if (!known.empty()) return {"source-peering-missing", "source-peering-unused", "source-route-astray"};
    if (route.kind != TargetKind::Endpoint && !is_public(packet.destination)) return {"source-outside"};
    return beyond(route);
}

// Out of all known networks, and back to the subnet.
Names Walker::beyond(const Route& route) const {
    if (Names stopped = leaves(nullptr, nullptr); !stopped.empty()) return stopped;
    if (route.kind == TargetKind::Nat)
        if (Names stopped = through_nat(route); !stopped.empty()) return stopped;
    if (route.kind == TargetKind::Internet && route.target != "internet") {
        const InternetGateway* gateway = by_id(facts.internet_gateways, route.target);
        if (gateway == nullptr) return {"internet-gateway-missing"};
        if (gateway->state != "available" || gateway->network != from.network) return {"internet-gateway-unavailable"};
    }
    if (route.kind == TargetKind::Endpoint) {
        const Endpoint* endpoint = by_id(facts.endpoints, route.target);
        if (endpoint == nullptr) return {"endpoint-missing"};
        if (endpoint->state != "available") return {"endpoint-unavailable"};
        if (endpoint->network != from.network) return {"endpoint-other-network"};
    }
    return home_from_outside();
}

Names Walker::through_nat(const Route& route) const {
    const NatGateway* nat = by_id(facts.nat_gateways, route.target);
    if (nat == nullptr) return {"nat-missing"};
    if (nat->state != "available") return {"nat-unavailable"};
    const Subnet* stands = by_id(facts.subnets, nat->subnet);
    if (stands == nullptr) return {};
    if (stands->network != from.network) return {"nat-other-network"};
    if (stands == &from) return {};
    const bool passes = acl_passes(facts, *stands, true, packet.source, packet.port) &&
                        acl_passes(facts, *stands, false, packet.destination, packet.port) &&
                        acl_passes(facts, *stands, true, packet.destination, packet.source_port) &&
                        acl_passes(facts, *stands, false, packet.source, packet.source_port);
    return passes ? Names{} : Names{"nat-acl-denied"};
}

Names Walker::home_from_outside() const {
    if (!acl_passes(facts, from, true, packet.destination, packet.source_port)) return {"source-return-acl-denied"};
    return {};
}

// The source's own groups, once it is known who has the address.
Names Walker::leaves(const Interface* holder, const Subnet* far) const {
    if (packet.groups.empty()) return {};
    for (const std::string& id : packet.groups) {
        for (const Rule& rule : by_id(facts.security_groups, id)->egress) {
            if (!port_fits(rule)) continue;
            if (rule.range && rule.range->contains(packet.destination)) return {};
            if (rule.range) continue;
            if (holder != nullptr && lists(holder->security_groups, rule.group) &&
                peered(facts, from.network, far->network))
                return {};
            if (holder == nullptr && far != nullptr) return {};  // it can't be known
            const Route* route = far != nullptr ? nullptr : longest(*table_of(facts, from), packet.destination);
            if (route != nullptr && route->kind == TargetKind::Peering) return {};  // a network without facts
        }
    }
    return {"source-egress-blocked"};
}

Names Walker::arrives(const Subnet& far) const {
    const bool apart = &far != &from;
    if (apart) {
        if (far.state != "available") return {"destination-unavailable"};
        const Network* network = by_id(facts.networks, far.network);
        if (far.network != from.network && network != nullptr && network->state != "available")
            return {"destination-unavailable"};
        if (!acl_passes(facts, far, true, packet.source, packet.port)) return {"destination-acl-denied"};
    }
    const Interface* holder = nullptr;
    for (const Interface& interface : facts.interfaces)
        if (interface.subnet == far.id && interface.address == packet.destination && holder == nullptr)
            holder = &interface;
    if (Names stopped = leaves(holder, &far); !stopped.empty()) return stopped;
    if (holder == nullptr && facts.interfaces_known) return {"destination-no-interface"};
    if (holder != nullptr) {
        if (holder->state != "in-use") return {"destination-interface-down"};
        if (Names stopped = enters(*holder, far); !stopped.empty()) return stopped;
    }
    return apart ? returns(far) : Names{};
}

Names Walker::enters(const Interface& holder, const Subnet& far) const {
    if (holder.security_groups.empty()) return {};
    for (const std::string& id : holder.security_groups) {
        const SecurityGroup* group = by_id(facts.security_groups, id);
        if (group == nullptr) continue;
        for (const Rule& rule : group->ingress) {
            if (!port_fits(rule)) continue;
            if (rule.range && rule.range->contains(packet.source)) return {};
            if (!rule.range && lists(packet.groups, rule.group) && peered(facts, from.network, far.network)) return {};
        }
    }
    return {"destination-ingress-blocked", "destination-group-not-referable"};
}

Names Walker::returns(const Subnet& far) const {
    if (!acl_passes(facts, far, false, packet.source, packet.source_port)) return {"return-acl-denied"};
    const RouteTable* table = table_of(facts, far);
    if (table == nullptr) return {"return-no-route"};
    const Route* route = longest(*table, packet.source);
    if (route == nullptr) return {"return-no-route"};
    if (route->blackhole) return {"return-blackholed"};
    bool good = route->kind == TargetKind::Other;
    if (route->kind == TargetKind::Local) good = far.network == from.network;
    if (route->kind == TargetKind::Peering && far.network != from.network) {
        const Peering* peering = by_id(facts.peerings, route->target);
        good = peering != nullptr && peering->state == "active" && lists(peering->networks, from.network) &&
               lists(peering->networks, far.network);
    }
    if (!good) return {"return-astray"};
    return home_from_outside();
}

}  // namespace

std::set<std::string> walk(const Facts& facts, const Walk& packet) {
    const Subnet* from = by_id(facts.subnets, packet.subnet);
    if (from == nullptr) return {"subnet-missing"};
    const Walker walker{facts, packet, *from};
    if (auto stopped = walker.place(); !stopped.empty()) return stopped;
    return walker.go();
}

}  // namespace signalbox::network::testing_world
