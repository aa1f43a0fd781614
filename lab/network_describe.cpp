// The describe calls of docs/reference/lab-api.md that tell of networks.

#include <algorithm>

#include "lab/network.hpp"

namespace signalbox::lab {

namespace json = base::json;

namespace {

json::array text_array(const std::vector<std::string>& texts) { return json::array(texts.begin(), texts.end()); }

}  // namespace

json::array Network::describe_zones() const {
    const std::lock_guard lock(mutex_);
    json::array items;
    for (const auto& zone : spec_.zones)
        items.push_back({{"id", zone}, {"state", down_zones_.contains(zone) ? "impaired" : "available"}});
    return items;
}

json::array Network::describe_networks() const {
    json::array items;
    for (const auto& network : spec_.networks)
        items.push_back({{"id", network.name}, {"cidr", network.cidr.text()}, {"state", "available"}});
    return items;
}

json::array Network::describe_subnets() const {
    const std::lock_guard lock(mutex_);
    give_back_lingering();
    json::array items;
    for (const auto& subnet : spec_.subnets) {
        std::uint32_t used = 0;
        for (const auto& [address, name] : used_) used += subnet.cidr.contains(address);
        items.push_back({{"id", subnet.name},
                         {"network", subnet.network},
                         {"zone", subnet.zone},
                         {"cidr", subnet.cidr.text()},
                         {"state", "available"},
                         {"free_addresses", usable_count(subnet.cidr) - used},
                         {"route_table", subnet.route_table}});
    }
    return items;
}

json::array Network::describe_route_tables() const {
    const std::lock_guard lock(mutex_);
    json::array items;
    for (const auto& table : spec_.route_tables) {
        json::array subnets;
        for (const auto& subnet : spec_.subnets)
            if (subnet.route_table == table.name) subnets.push_back(json::value(subnet.name));
        json::array routes;
        routes.push_back({{"destination", find_named(spec_.networks, table.network)->cidr.text()},
                          {"target", "local"},
                          {"state", "active"}});
        for (const auto& route : table.routes) {
            const bool works =
                route.kind != "nat" || nat_state(*find_named(spec_.nat_gateways, route.id)) == "available";
            routes.push_back({{"destination", route.destination.text()},
                              {"target", route.target()},
                              {"state", works ? "active" : "blackhole"}});
        }
        for (const auto& endpoint : spec_.endpoints)
            if (std::count(endpoint.route_tables.begin(), endpoint.route_tables.end(), table.name) > 0)
                routes.push_back({{"destination", Cidr{service_address(endpoint), 32}.text()},
                                  {"target", "endpoint:" + endpoint.name},
                                  {"state", "active"}});
        items.push_back({{"id", table.name},
                         {"network", table.network},
                         {"main", table.main},
                         {"subnets", subnets},
                         {"routes", routes}});
    }
    return items;
}

json::array Network::describe_nat_gateways() const {
    const std::lock_guard lock(mutex_);
    json::array items;
    for (const auto& nat : spec_.nat_gateways)
        items.push_back({{"id", nat.name},
                         {"subnet", nat.subnet},
                         {"zone", find_named(spec_.subnets, nat.subnet)->zone},
                         {"state", nat_state(nat)}});
    return items;
}

json::array Network::describe_endpoints() const {
    json::array items;
    for (const auto& endpoint : spec_.endpoints)
        items.push_back({{"id", endpoint.name},
                         {"network", endpoint.network},
                         {"kind", endpoint.kind},
                         {"service", endpoint.service},
                         {"state", "available"},
                         {"route_tables", text_array(endpoint.route_tables)},
                         {"subnets", text_array(endpoint.subnets)}});
    return items;
}

json::array Network::describe_security_groups() const {
    json::array items;
    const auto rules = [](const std::vector<RuleSpec>& list, const char* peer_key) {
        json::array result;
        for (const auto& rule : list)
            result.push_back({{"protocol", rule.protocol},
                              {"port_from", rule.port_from},
                              {"port_to", rule.port_to},
                              {peer_key, rule.peer}});
        return result;
    };
    for (const auto& group : spec_.security_groups)
        items.push_back({{"id", group.name},
                         {"network", group.network},
                         {"ingress", rules(group.ingress, "source")},
                         {"egress", rules(group.egress, "destination")}});
    return items;
}

json::array Network::describe_network_acls() const {
    json::array items;
    const auto entries = [](const std::vector<AclEntrySpec>& list, const char* peer_key) {
        json::array result;
        for (const auto& entry : list)
            result.push_back({{"number", entry.number},
                              {"action", entry.allow ? "allow" : "deny"},
                              {"protocol", entry.protocol},
                              {"port_from", entry.port_from},
                              {"port_to", entry.port_to},
                              {peer_key, entry.range.text()}});
        return result;
    };
    for (const auto& acl : spec_.network_acls) {
        json::array subnets;
        for (const auto& subnet : spec_.subnets)
            if (&acl_of(subnet) == &acl) subnets.push_back(json::value(subnet.name));
        items.push_back({{"id", acl.name},
                         {"network", acl.network},
                         {"default", acl.is_default},
                         {"subnets", subnets},
                         {"ingress", entries(acl.ingress, "source")},
                         {"egress", entries(acl.egress, "destination")}});
    }
    return items;
}

json::array Network::describe_interfaces() const {
    const std::lock_guard lock(mutex_);
    give_back_lingering();
    json::array items;
    const auto add = [&](const NodeInfo& node, Ipv4 address, const char* state) {
        items.push_back(
            {{"id", node.address == address ? node.name : fmt::format("{}-{}", node.name, ipv4_text(address))},
             {"address", ipv4_text(address)},
             {"subnet", node.subnet},
             {"security_groups", text_array(node.security_groups)},
             {"token", node.token},
             {"state", state}});
    };
    for (const auto& [address, name] : used_) {
        const auto lingering = lingering_.find(address);
        const auto node = nodes_.find(name);
        if (lingering != lingering_.end())
            add(lingering->second.info, address, "lingering");
        else if (node != nodes_.end())
            add(node->second.info, address, "in-use");
    }
    return items;
}

json::array Network::describe_peerings() const {
    json::array items;
    for (const auto& peering : spec_.peerings)
        items.push_back({{"id", peering.name}, {"networks", text_array(peering.networks)}, {"state", "active"}});
    return items;
}

}  // namespace signalbox::lab
