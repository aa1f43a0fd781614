// What goes wrong in a lab's networks, and the cable that no fault touches.

#include <algorithm>

#include "base/text.hpp"
#include "lab/network.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;

namespace {

constexpr auto program_timeout = std::chrono::seconds(10);
constexpr auto link_timeout = std::chrono::seconds(3);

}  // namespace

base::Status Network::set_blackhole(const std::string& name, bool on) {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(name);
    if (found == nodes_.end()) return fail(ErrorKind::NotFound, "there is no node '{}'", name);
    // "add" before "delete" makes the deletion good whether the table was there or not.
    const std::string clear = "add table inet blackhole\ndelete table inet blackhole\n";
    const std::string drop =
        "table inet blackhole {\n chain input {\n  type filter hook input priority -300; policy drop;\n"
        "  iifname { \"lo\", \"oob0\" } accept\n }\n chain output {\n  type filter hook output priority -300; policy "
        "drop;\n"
        "  oifname { \"lo\", \"oob0\" } accept\n }\n}\n";
    SB_CHECK(nft(on ? clear + drop : clear, found->second.netns.get()));
    found->second.info.blackholed = on;
    return {};
}

base::Status Network::set_unreachable(const std::string& name, Ipv4 address, bool on) {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(name);
    if (found == nodes_.end()) return fail(ErrorKind::NotFound, "there is no node '{}'", name);
    return ip(fmt::format("route {} unreachable {}/32\n", on ? "replace" : "del", ipv4_text(address)),
              found->second.netns.get());
}

base::Status Network::set_port_closed(const std::string& name, std::uint16_t port, bool closed) {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(name);
    if (found == nodes_.end()) return fail(ErrorKind::NotFound, "there is no node '{}'", name);
    const std::string clear = "add table inet closed\ndelete table inet closed\n";
    const std::string reject = fmt::format(
        "table inet closed {{\n chain input {{\n  type filter hook input priority -200; policy accept;\n"
        "  iifname != {{ \"lo\", \"oob0\" }} tcp dport {} reject with tcp reset\n }}\n}}\n",
        port);
    return nft(closed ? clear + reject : clear, found->second.netns.get());
}

base::Status Network::set_zone(const std::string& zone, bool up) {
    const std::lock_guard lock(mutex_);
    if (std::count(spec_.zones.begin(), spec_.zones.end(), zone) == 0)
        return fail(ErrorKind::NotFound, "there is no zone '{}'; there are {}", zone, base::join(spec_.zones, ", "));
    std::string batch;
    for (const auto& [name, node] : nodes_)
        if (node.info.zone == zone) batch += fmt::format("link set {} {}\n", node.port, up ? "up" : "down");
    if (!batch.empty()) SB_CHECK(ip(batch));
    if (up)
        down_zones_.erase(zone);
    else
        down_zones_.insert(zone);
    SB_CHECK(refresh_routes());
    if (up) {
        wait_for_links(zone);
        forget_neighbours(zone);
    }
    return {};
}

void Network::forget_neighbours(const std::string& zone) {
    std::string batch;
    for (const auto& subnet : spec_.subnets)
        if (subnet.zone == zone) batch += fmt::format("neigh flush dev {} nud all\n", bridge_of(subnet.name));
    if (const auto status = ip(batch); !status) log_.line("{}", status.error().text());
    for (const auto& [name, node] : nodes_)
        if (node.info.zone == zone)
            if (const auto status = ip("neigh flush dev eth0 nud all\n", node.netns.get()); !status)
                log_.line("{}: {}", name, status.error().text());
}

void Network::wait_for_links(const std::string& zone) {
    for (const auto deadline = Clock::now() + link_timeout; Clock::now() < deadline;) {
        const SpawnOptions options{.argv = {"ip", "-o", "link"}, .environment = default_environment()};
        const auto links = reaper_.run(options, "", program_timeout);
        if (!links) return;
        bool all_up = true;
        for (const auto line : base::split(*links, '\n'))
            for (const auto& [name, node] : nodes_)
                if (node.info.zone == zone && line.find(" " + node.port + "@") != std::string_view::npos)
                    all_up = all_up && line.find("state UP") != std::string_view::npos;
        if (all_up) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}

bool Network::zone_is_up(const std::string& zone) const {
    const std::lock_guard lock(mutex_);
    return !down_zones_.contains(zone);
}

base::Status Network::delete_nat(const std::string& name) {
    if (!find_named(spec_.nat_gateways, name))
        return fail(ErrorKind::NotFound, "there is no NAT gateway '{}'; there are {}", name,
                    known_names(spec_.nat_gateways));
    remove_node("nat-gateway-" + name);
    const std::lock_guard lock(mutex_);
    deleted_nats_.insert(name);
    return refresh_routes();
}

base::Result<std::pair<std::string, std::string>> Network::connect_out_of_band(const std::string& a,
                                                                               const std::string& b) {
    const std::lock_guard lock(mutex_);
    const auto first = nodes_.find(a);
    const auto second = nodes_.find(b);
    if (first == nodes_.end() || second == nodes_.end())
        return fail(ErrorKind::NotFound, "there is no node '{}' or '{}'", a, b);
    const std::pair<std::string, std::string> addresses{"169.254.170.1", "169.254.170.2"};
    SB_CHECK(ip(fmt::format("link add oob0 netns {} type veth peer name oob0 netns {}\n",
                            fd_path(first->second.netns.get()), fd_path(second->second.netns.get()))));
    SB_CHECK(
        ip(fmt::format("link set oob0 up\naddr add {}/30 dev oob0\n", addresses.first), first->second.netns.get()));
    SB_CHECK(
        ip(fmt::format("link set oob0 up\naddr add {}/30 dev oob0\n", addresses.second), second->second.netns.get()));
    return addresses;
}

void Network::disconnect_out_of_band(const std::string& a) {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(a);
    if (found == nodes_.end()) return;
    if (const auto status = ip("link del oob0\n", found->second.netns.get()); !status)
        log_.line("{}: {}", a, status.error().text());
}

}  // namespace signalbox::lab
