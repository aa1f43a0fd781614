#include "domain/network/index.hpp"

#include <algorithm>

namespace signalbox::network {
namespace {

template <typename Map>
auto find_in(const Map& map, std::string_view key) -> decltype(&map.begin()->second) {
    const auto found = map.find(key);
    return found == map.end() ? nullptr : &found->second;
}

template <typename Map>
auto pointer_in(const Map& map, std::string_view key) {
    const auto found = map.find(key);
    return found == map.end() ? nullptr : found->second;
}

// The first of an id stands, as in a list that is read from its beginning.
template <typename T, typename Map>
void index_by_id(const std::vector<T>& things, Map& map) {
    map.reserve(things.size());
    for (const T& thing : things) map.emplace(thing.id, &thing);
}

std::vector<const AclEntry*> by_number(const std::vector<AclEntry>& entries) {
    std::vector<const AclEntry*> sorted;
    for (const AclEntry& entry : entries) sorted.push_back(&entry);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const AclEntry* a, const AclEntry* b) { return a->number < b->number; });
    return sorted;
}

}  // namespace

const Route* Table::to(std::uint32_t address) const {
    for (const Route* route : routes)
        if (route->destination.contains(address)) return route;
    return nullptr;
}

const Route* Table::default_route() const {
    // The shortest prefix is the last one; the first of several stands before its equals.
    const Route* found = nullptr;
    for (auto route = routes.rbegin(); route != routes.rend() && (*route)->destination.prefix_bits == 0; ++route)
        found = *route;
    return found;
}

Index::Index(const Facts& facts) : facts_(facts) {
    index_by_id(facts.networks, networks_);
    index_by_id(facts.zones, zones_);
    index_by_id(facts.nat_gateways, nat_gateways_);
    index_by_id(facts.endpoints, endpoints_);
    index_by_id(facts.security_groups, security_groups_);
    index_by_id(facts.peerings, peerings_);
    index_by_id(facts.internet_gateways, internet_gateways_);
    index_tables();
    index_acls();
    index_places();
    index_interfaces();
}

void Index::index_tables() {
    for (const RouteTable& facts : facts_.route_tables) {
        Table table{&facts, {}, {}};
        for (const Route& route : facts.routes) table.routes.push_back(&route);
        std::stable_sort(table.routes.begin(), table.routes.end(), [](const Route* a, const Route* b) {
            return a->destination.prefix_bits > b->destination.prefix_bits;
        });
        for (const Endpoint& endpoint : facts_.endpoints) {
            const bool named = std::find(endpoint.route_tables.begin(), endpoint.route_tables.end(), facts.id) !=
                               endpoint.route_tables.end();
            const bool routed = std::any_of(facts.routes.begin(), facts.routes.end(), [&](const Route& route) {
                return route.kind == TargetKind::Endpoint && route.target == endpoint.id;
            });
            if (named || routed) table.endpoints.push_back(&endpoint);
        }
        const auto [stored, is_new] = tables_.emplace(facts.id, std::move(table));
        if (!is_new) continue;
        for (const std::string& subnet : facts.subnets) table_of_subnet_.emplace(subnet, &stored->second);
        if (facts.main) main_table_.emplace(facts.network, &stored->second);
    }
}

void Index::index_acls() {
    for (const NetworkAcl& facts : facts_.network_acls) {
        const auto [stored, is_new] =
            acls_.emplace(facts.id, Acl{&facts, by_number(facts.ingress), by_number(facts.egress)});
        if (!is_new) continue;
        for (const std::string& subnet : facts.subnets) acl_of_subnet_.emplace(subnet, &stored->second);
        if (facts.is_default) default_acl_.emplace(facts.network, &stored->second);
    }
}

void Index::index_places() {
    places_.reserve(facts_.subnets.size());
    for (const Subnet& subnet : facts_.subnets) {
        Place place;
        place.subnet = &subnet;
        place.network = network(subnet.network);
        place.zone = zone(subnet.zone);
        place.table = pointer_in(table_of_subnet_, subnet.id);
        // A table of another network that names the subnet is not its own.
        if (place.table == nullptr || place.table->table->network != subnet.network)
            place.table = pointer_in(main_table_, subnet.network);
        place.acl = pointer_in(acl_of_subnet_, subnet.id);
        if (place.acl == nullptr || place.acl->acl->network != subnet.network)
            place.acl = pointer_in(default_acl_, subnet.network);
        const auto [stored, is_new] = places_.emplace(subnet.id, std::move(place));
        if (is_new) places_of_network_[subnet.network].push_back(&stored->second);
    }
    for (auto& [id, places] : places_of_network_)
        std::stable_sort(places.begin(), places.end(),
                         [](const Place* a, const Place* b) { return a->subnet->range.base < b->subnet->range.base; });
    for (const Endpoint& endpoint : facts_.endpoints) {
        for (const std::string& subnet : endpoint.subnets) {
            const auto found = places_.find(subnet);
            if (found != places_.end()) found->second.endpoints.push_back(&endpoint);
        }
    }
}

void Index::index_interfaces() {
    for (const Interface& interface : facts_.interfaces) {
        interfaces_[interface.subnet].emplace(interface.address, &interface);
        if (interface.state == "lingering") ++lingering_[interface.subnet];
    }
    for (const auto& [subnet, held] : interfaces_) {
        const auto found = places_.find(subnet);
        if (found != places_.end()) found->second.interfaces = &held;
    }
}

const Place* Index::place(std::string_view subnet) const { return find_in(places_, subnet); }
const Network* Index::network(std::string_view id) const { return pointer_in(networks_, id); }
const Zone* Index::zone(std::string_view id) const { return pointer_in(zones_, id); }
const NatGateway* Index::nat_gateway(std::string_view id) const { return pointer_in(nat_gateways_, id); }
const Endpoint* Index::endpoint(std::string_view id) const { return pointer_in(endpoints_, id); }
const SecurityGroup* Index::security_group(std::string_view id) const { return pointer_in(security_groups_, id); }
const Peering* Index::peering(std::string_view id) const { return pointer_in(peerings_, id); }
const InternetGateway* Index::internet_gateway(std::string_view id) const { return pointer_in(internet_gateways_, id); }

const Place* Index::place_at(std::string_view network, std::uint32_t address) const {
    const auto* places = find_in(places_of_network_, network);
    if (places == nullptr) return nullptr;
    // Subnets of one network do not overlap: the last one that begins at or before the address is the only one.
    const auto after = std::upper_bound(places->begin(), places->end(), address, [](auto value, const Place* place) {
        return value < place->subnet->range.base;
    });
    if (after == places->begin()) return nullptr;
    const Place* place = *std::prev(after);
    return place->subnet->range.contains(address) ? place : nullptr;
}

const Interface* Place::interface_at(std::uint32_t address) const {
    if (interfaces == nullptr) return nullptr;
    const auto found = interfaces->find(address);
    return found == interfaces->end() ? nullptr : found->second;
}

std::vector<const Network*> Index::networks_at(std::uint32_t address) const {
    std::vector<const Network*> found;
    for (const Network& network : facts_.networks)
        if (network.range.contains(address) || place_at(network.id, address) != nullptr) found.push_back(&network);
    return found;
}

const Peering* Index::peering_between(std::string_view a, std::string_view b) const {
    const Peering* any = nullptr;
    for (const Peering& peering : facts_.peerings) {
        const auto has = [&](std::string_view network) {
            return std::find(peering.networks.begin(), peering.networks.end(), network) != peering.networks.end();
        };
        if (!has(a) || !has(b)) continue;
        if (peering.state == "active") return &peering;
        if (any == nullptr) any = &peering;
    }
    return any;
}

std::size_t Index::lingering(std::string_view subnet) const {
    const auto found = lingering_.find(subnet);
    return found == lingering_.end() ? 0 : found->second;
}

}  // namespace signalbox::network
