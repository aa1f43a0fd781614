#include "lab/network.hpp"

#include <algorithm>
#include <unistd.h>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "lab/network_acls.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;

namespace {

constexpr auto program_timeout = std::chrono::seconds(10);
// The core's own link to the internet namespace; NAT gateway number i has the /30 after it.
constexpr Ipv4 links_base = (100u << 24) | (64u << 16);
constexpr Ipv4 services_base = (203u << 24) | (0u << 16) | (113u << 8);
constexpr Ipv4 first_service = services_base + 10;
constexpr int first_table_number = 100;

// The same address has always the same hardware address, so that no neighbour remembers a wrong one.
std::string mac_of(Ipv4 address) {
    return fmt::format("02:5b:{:02x}:{:02x}:{:02x}:{:02x}", address >> 24, address >> 16 & 255, address >> 8 & 255,
                       address & 255);
}

// nftables takes no '.' or '-' in a set's name.
std::string set_name(const std::string& group) {
    std::string name = "sg_";
    for (const char c : group) name += c == '.' || c == '-' ? '_' : c;
    return name;
}

std::string rule_match(const RuleSpec& rule, const char* direction) {
    const std::string peer = rule.peer.starts_with("sg:") ? "@" + set_name(rule.peer.substr(3)) : rule.peer;
    std::string match = fmt::format("ip {} {} ", direction, peer);
    if (peer == "0.0.0.0/0") match.clear();
    if (rule.protocol == "tcp") match += fmt::format("tcp dport {}-{} ", rule.port_from, rule.port_to);
    return match + "accept";
}

}  // namespace

Network::Network(const LabSpec& spec, Reaper& reaper, Log& log) : spec_(spec), reaper_(reaper), log_(log) {}

base::Status Network::ip(const std::string& batch, int netns) {
    SpawnOptions options{.argv = {"ip", "-batch", "-"}, .environment = default_environment(), .netns = netns};
    const auto result = reaper_.run(std::move(options), batch, program_timeout);
    if (!result) return fail(result.error().kind, "{}\nwhile doing:\n{}", result.error().text(), batch);
    return {};
}

base::Status Network::nft(const std::string& rules, int netns) {
    SpawnOptions options{.argv = {"nft", "-f", "-"}, .environment = default_environment(), .netns = netns};
    const auto result = reaper_.run(std::move(options), rules, program_timeout);
    if (!result) return fail(result.error().kind, "{}\nwhile doing:\n{}", result.error().text(), rules);
    return {};
}

base::Status Network::sysctl(int netns, const std::string& key, const std::string& value) {
    const auto write = [&] { return write_file("/proc/sys/net/" + key, value); };
    return netns < 0 ? write() : in_netns(netns, write);
}

std::string Network::bridge_of(const std::string& subnet) const {
    for (std::size_t i = 0; i < spec_.subnets.size(); ++i)
        if (spec_.subnets[i].name == subnet) return fmt::format("br{}", i);
    SB_ASSERT(false, "subnets are checked before they are used");
}

int Network::table_number(const std::string& table) const {
    for (std::size_t i = 0; i < spec_.route_tables.size(); ++i)
        if (spec_.route_tables[i].name == table) return first_table_number + static_cast<int>(i);
    SB_ASSERT(false, "route tables are checked before they are used");
}

Ipv4 Network::service_address(const EndpointSpec& endpoint) const {
    return first_service + static_cast<Ipv4>(&endpoint - spec_.endpoints.data());
}

base::Status Network::build() {
    const std::lock_guard lock(mutex_);
    SB_CHECK(ip(fmt::format("link set lo up\naddr add {}/32 dev lo\n", resolver_address)));
    SB_CHECK(sysctl(-1, "ipv4/ip_forward", "1"));
    for (const char* scope : {"all", "default"}) {
        // Nodes of a subnet reach their NAT gateway through the router: that is no reason to tell them a shorter way.
        SB_CHECK(sysctl(-1, fmt::format("ipv4/conf/{}/send_redirects", scope), "0"));
        SB_CHECK(sysctl(-1, fmt::format("ipv4/conf/{}/rp_filter", scope), "0"));
    }
    SB_CHECK(build_bridges());
    SB_CHECK(build_internet());
    for (const auto& nat : spec_.nat_gateways) SB_CHECK(build_nat(nat));
    SB_CHECK(build_endpoints());
    SB_CHECK(build_route_tables());
    SB_CHECK(build_acls());
    return build_tenants();
}

base::Status Network::build_bridges() {
    std::string batch;
    for (const auto& subnet : spec_.subnets) {
        const auto bridge = bridge_of(subnet.name);
        batch += fmt::format(
            "link add {0} address {1} type bridge forward_delay 0 mcast_snooping 0\nlink set {0} up\n"
            "addr add {2}/{3} dev {0}\n"
            "rule add iif {0} lookup {4}\n",
            bridge, mac_of(router_of(subnet.cidr)), ipv4_text(router_of(subnet.cidr)), subnet.cidr.prefix,
            table_number(subnet.route_table));
    }
    return ip(batch);
}

// Other tenants' addresses are really held: they answer a ping.
base::Status Network::build_tenants() {
    for (const auto& subnet : spec_.subnets) {
        if (subnet.taken == 0) continue;
        const std::string name = "tenants-of-" + subnet.name;
        std::string batch;
        Ipv4 first = 0;
        std::uint32_t left = subnet.taken;
        // From the top, so that the first addresses stay for those who ask for them.
        for (Ipv4 address = last_usable(subnet.cidr); left > 0 && address >= first_usable(subnet.cidr); --address) {
            if (used_.contains(address)) continue;
            --left;
            if (first == 0) {
                first = address;
                continue;
            }
            used_[address] = name;
            batch += fmt::format("addr add {}/{} dev eth0\n", ipv4_text(address), subnet.cidr.prefix);
        }
        SB_TRY(const NodeInfo node, add_node_locked(name, "tenant", subnet.name, {}, first));
        SB_CHECK(ip(batch, node.netns));
    }
    return {};
}

base::Status Network::build_internet() {
    SB_TRY(internet_, new_netns());
    // It answers by itself and passes nothing on: no gateway leads to another network's private addresses.
    SB_CHECK(sysctl(internet_.get(), "ipv4/ip_forward", "0"));
    std::string inside =
        fmt::format("link set lo up\naddr add {}/32 dev lo\nlink set core0 up\naddr add {}/30 dev core0\n",
                    internet_address, ipv4_text(links_base + 2));
    for (const auto& network : spec_.networks)
        inside += fmt::format("route add {} via {}\n", network.cidr.text(), ipv4_text(links_base + 1));
    for (const auto& endpoint : spec_.endpoints)
        if (endpoint.kind == "gateway")
            inside += fmt::format("addr add {}/32 dev lo\n", ipv4_text(service_address(endpoint)));
    SB_CHECK(ip(
        fmt::format("link add inet0 type veth peer name core0 netns {}\nlink set inet0 up\naddr add {}/30 dev inet0\n",
                    fd_path(internet_.get()), ipv4_text(links_base + 1))));
    SB_CHECK(ip(inside, internet_.get()));
    return in_netns(internet_.get(), [&]() -> base::Status {
        SB_TRY(auto server, http::Server::start({.listen = "0.0.0.0:80", .threads = 1}, [](const http::Request&) {
                   return http::json_response(200, {{"you_reached", "the lab's internet"}});
               }));
        services_.push_back(std::move(server));
        return {};
    });
}

base::Status Network::build_nat(const NatSpec& nat) {
    const auto index = static_cast<Ipv4>(&nat - spec_.nat_gateways.data());
    const Ipv4 link = links_base + 4 * (index + 1);
    SB_TRY(const NodeInfo node, add_node_locked("nat-gateway-" + nat.name, "nat", nat.subnet, {}, std::nullopt));
    const auto* subnet = find_named(spec_.subnets, nat.subnet);
    std::string inside = fmt::format("link set wan0 up\naddr add {}/30 dev wan0\nroute replace default via {}\n",
                                     ipv4_text(link + 2), ipv4_text(link + 1));
    for (const auto& network : spec_.networks)
        inside += fmt::format("route add {} via {}\n", network.cidr.text(), ipv4_text(router_of(subnet->cidr)));
    SB_CHECK(
        ip(fmt::format(
               "link add nat{0} type veth peer name wan0 netns {1}\nlink set nat{0} up\naddr add {2}/30 dev nat{0}\n",
               index, fd_path(node.netns), ipv4_text(link + 1)),
           internet_.get()));
    SB_CHECK(ip(inside, node.netns));
    SB_CHECK(sysctl(node.netns, "ipv4/ip_forward", "1"));
    SB_CHECK(sysctl(node.netns, "ipv4/conf/all/send_redirects", "0"));
    return nft(
        "table ip nat {\n chain postrouting {\n  type nat hook postrouting priority 100;\n  oifname \"wan0\" "
        "masquerade\n }\n}\n" +
            nat_acl_rules(acl_of(*subnet)),
        node.netns);
}

base::Status Network::build_endpoints() {
    for (const auto& endpoint : spec_.endpoints) {
        if (endpoint.kind != "interface") continue;
        for (const auto& subnet : endpoint.subnets) {
            SB_TRY(const NodeInfo node,
                   add_node_locked("endpoint-" + endpoint.name + "-" + subnet, "endpoint", subnet, {}, std::nullopt));
            SB_CHECK(in_netns(node.netns, [&]() -> base::Status {
                const std::string service = endpoint.service;
                SB_TRY(auto server,
                       http::Server::start({.listen = "0.0.0.0:80", .threads = 1}, [service](const http::Request&) {
                           return http::json_response(200, {{"you_reached", service}});
                       }));
                services_.push_back(std::move(server));
                return {};
            }));
        }
    }
    return {};
}

std::string Network::nat_state(const NatSpec& nat) const {
    if (deleted_nats_.contains(nat.name)) return "deleted";
    const auto* subnet = find_named(spec_.subnets, nat.subnet);
    return down_zones_.contains(subnet->zone) ? "failed" : "available";
}

// What a route table's number must hold now, as `ip route` lines; the table is flushed before.
std::string Network::route_lines(const RouteTableSpec& table) const {
    const int number = table_number(table.name);
    std::string lines;
    const auto to_network = [&](const std::string& network, const Cidr& within) {
        for (const auto& subnet : spec_.subnets)
            if (subnet.network == network && within.overlaps(subnet.cidr))
                lines += fmt::format("route replace {} dev {} table {}\n", subnet.cidr.text(), bridge_of(subnet.name),
                                     number);
    };
    to_network(table.network, find_named(spec_.networks, table.network)->cidr);
    bool has_default = false;
    const auto add = [&](const Cidr& destination, const std::string& how) {
        has_default |= destination.prefix == 0;
        lines += how == "blackhole" ? fmt::format("route replace blackhole {} table {}\n", destination.text(), number)
                                    : fmt::format("route replace {} {} table {}\n", destination.text(), how, number);
    };
    const std::string to_internet = fmt::format("via {} dev inet0", ipv4_text(links_base + 2));
    for (const auto& route : table.routes) {
        if (route.kind == "internet" || route.kind == "endpoint") add(route.destination, to_internet);
        if (route.kind == "nat") {
            const auto* nat = find_named(spec_.nat_gateways, route.id);
            const auto node = nodes_.find("nat-gateway-" + route.id);
            if (nat_state(*nat) != "available" || node == nodes_.end())
                add(route.destination, "blackhole");
            else
                add(route.destination,
                    fmt::format("via {} dev {}", ipv4_text(node->second.info.address), bridge_of(nat->subnet)));
        }
        if (route.kind == "peering") {
            const auto* peering = find_named(spec_.peerings, route.id);
            for (const auto& network : peering->networks)
                if (network != table.network) to_network(network, route.destination);
        }
    }
    for (const auto& endpoint : spec_.endpoints)
        if (std::count(endpoint.route_tables.begin(), endpoint.route_tables.end(), table.name) > 0)
            add({service_address(endpoint), 32}, to_internet);
    // Without it, what the table does not know would fall through to the core's own routes, which know every subnet.
    if (!has_default) lines += fmt::format("route replace blackhole default table {}\n", number);
    return lines;
}

base::Status Network::refresh_routes() {
    std::string batch;
    // Replaced one by one, not flushed first: what stays the same never goes away, even for a moment.
    for (const auto& table : spec_.route_tables) batch += route_lines(table);
    return ip(batch);
}

base::Status Network::build_route_tables() { return refresh_routes(); }

base::Result<Ipv4> Network::free_address(const SubnetSpec& subnet) const {
    const auto last = last_given_.find(subnet.name);
    const Ipv4 first = first_usable(subnet.cidr);
    const std::uint32_t count = usable_count(subnet.cidr);
    // Round the range, so that an address given back rests for as long as it can.
    const Ipv4 start = last == last_given_.end() ? first : last->second + 1;
    for (std::uint32_t i = 0; i < count; ++i) {
        const Ipv4 address = first + (start - first + i) % count;
        if (!used_.contains(address)) return address;
    }
    std::map<std::string, int> holders;
    for (const auto& [address, name] : used_)
        if (subnet.cidr.contains(address)) ++holders[name];
    std::vector<std::string> parts;
    for (const auto& [name, number] : holders)
        parts.push_back(number > 1 ? fmt::format("{} ({})", name, number) : name);
    return fail(ErrorKind::Unavailable, "subnet '{}' is full: it has {} addresses to give, and they are held by {}",
                subnet.name, count, base::join(parts, ", "));
}

base::Result<NodeInfo> Network::add_node(const std::string& name, const std::string& kind, const std::string& subnet,
                                         const std::vector<std::string>& groups, std::optional<Ipv4> address,
                                         const std::string& token) {
    const std::lock_guard lock(mutex_);
    return add_node_locked(name, kind, subnet, groups, address, token);
}

base::Result<NodeInfo> Network::add_node_locked(const std::string& name, const std::string& kind,
                                                const std::string& subnet_name, const std::vector<std::string>& groups,
                                                std::optional<Ipv4> wanted, const std::string& token) {
    const auto* subnet = find_named(spec_.subnets, subnet_name);
    if (!subnet)
        return fail(ErrorKind::NotFound, "there is no subnet '{}'; there are {}", subnet_name,
                    known_names(spec_.subnets));
    for (const auto& group : groups)
        if (!find_named(spec_.security_groups, group))
            return fail(ErrorKind::NotFound, "there is no security group '{}'; there are {}", group,
                        known_names(spec_.security_groups));
    give_back_lingering();
    if (nodes_.contains(name)) return fail(ErrorKind::AlreadyExists, "there is already a node '{}'", name);
    if (wanted && used_.contains(*wanted))
        return fail(ErrorKind::Unavailable, "{} is already the address of '{}'", ipv4_text(*wanted), used_.at(*wanted));
    Ipv4 address = wanted.value_or(0);
    if (!wanted) {
        SB_TRY(address, free_address(*subnet));
        last_given_[subnet_name] = address;
    }
    Node node;
    SB_TRY(node.netns, new_netns());
    node.info = {name, kind, subnet_name, subnet->zone, address, node.netns.get(), false, groups, token};
    node.port = fmt::format("v{}", next_port_++);
    const char* state = down_zones_.contains(subnet->zone) ? "down" : "up";
    SB_CHECK(ip(fmt::format(
        "link add {0} type veth peer name eth0 address {1} netns {2}\nlink set {0} master {3}\nlink set {0} {4}\n",
        node.port, mac_of(address), fd_path(node.netns.get()), bridge_of(subnet_name), state)));
    SB_CHECK(ip(fmt::format("link set eth0 up\naddr add {}/{} dev eth0\nroute add default via {}\n", ipv4_text(address),
                            subnet->cidr.prefix, ipv4_text(router_of(subnet->cidr))),
                node.netns.get()));
    const auto rules = firewall_of(node);
    if (!rules.empty()) SB_CHECK(nft(rules, node.netns.get()));
    // Only a node that stands holds its address.
    update_group_members(groups, "add", address);
    used_[address] = name;
    const NodeInfo info = node.info;
    nodes_.emplace(name, std::move(node));
    return info;
}

// The security groups of a node as a stateful filter in its own namespace. A node without groups filters nothing.
std::string Network::firewall_of(const Node& node) const {
    if (node.info.security_groups.empty()) return {};
    std::string sets;
    std::string in;
    std::string out;
    for (const auto& group : spec_.security_groups) {
        std::vector<std::string> addresses;
        for (const auto& [name, other] : nodes_)
            if (std::count(other.info.security_groups.begin(), other.info.security_groups.end(), group.name) > 0)
                addresses.push_back(ipv4_text(other.info.address));
        if (std::count(node.info.security_groups.begin(), node.info.security_groups.end(), group.name) > 0) {
            addresses.push_back(ipv4_text(node.info.address));
            for (const auto& rule : group.ingress) in += "  " + rule_match(rule, "saddr") + "\n";
            for (const auto& rule : group.egress) out += "  " + rule_match(rule, "daddr") + "\n";
        }
        sets += fmt::format(" set {} {{\n  type ipv4_addr\n", set_name(group.name));
        if (!addresses.empty()) sets += "  elements = { " + base::join(addresses, ", ") + " }\n";
        sets += " }\n";
    }
    const std::string common = "  ct state established,related accept\n";
    // The host's agent, which speaks from the router's address, checks a member's health whatever its groups say.
    const auto* subnet = find_named(spec_.subnets, node.info.subnet);
    const std::string agent =
        node.info.kind == "member" ? fmt::format("  ip saddr {} accept\n", ipv4_text(router_of(subnet->cidr))) : "";
    return "table inet groups {\n" + sets +
           " chain input {\n  type filter hook input priority 0; policy drop;\n  iifname { \"lo\", \"oob0\" } "
           "accept\n" +
           common + agent + in + " }\n" +
           " chain output {\n  type filter hook output priority 0; policy drop;\n  oifname { \"lo\", \"oob0\" } "
           "accept\n" +
           common + fmt::format("  ip daddr {} accept\n", resolver_address) + out + " }\n}\n";
}

void Network::update_group_members(const std::vector<std::string>& groups, const std::string& verb, Ipv4 address) {
    std::string rules;
    for (const auto& group : groups)
        rules += fmt::format("{} element inet groups {} {{ {} }}\n", verb, set_name(group), ipv4_text(address));
    if (rules.empty()) return;
    for (const auto& [name, node] : nodes_) {
        if (node.info.security_groups.empty() || node.info.address == address) continue;
        if (const auto status = nft(rules, node.netns.get()); !status) log_.line("{}: {}", name, status.error().text());
    }
}

void Network::remove_node(const std::string& name) {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(name);
    if (found == nodes_.end()) return;
    update_group_members(found->second.info.security_groups, "delete", found->second.info.address);
    if (const auto status = ip(fmt::format("link del {}\n", found->second.port)); !status)
        log_.line("{}: {}", name, status.error().text());
    const NodeInfo& info = found->second.info;
    const auto linger = find_named(spec_.subnets, info.subnet)->linger;
    if (info.kind == "process" && linger > base::Duration::zero())
        lingering_.insert_or_assign(info.address, Lingering{info, Clock::now() + linger});
    else
        used_.erase(info.address);
    nodes_.erase(found);
}

void Network::give_back_lingering() const {
    for (auto one = lingering_.begin(); one != lingering_.end();) {
        const bool over = one->second.until <= Clock::now();
        if (over) used_.erase(one->first);
        one = over ? lingering_.erase(one) : std::next(one);
    }
}

std::optional<NodeInfo> Network::node(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(name);
    return found == nodes_.end() ? std::nullopt : std::optional(found->second.info);
}

std::vector<NodeInfo> Network::nodes() const {
    const std::lock_guard lock(mutex_);
    std::vector<NodeInfo> result;
    for (const auto& [name, node] : nodes_) result.push_back(node.info);
    return result;
}

}  // namespace signalbox::lab
