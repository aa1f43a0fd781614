// How fast connections are checked over facts that are at hand. Prints one JSON object with the figures
// network.faults.10000 (seconds for all faults of 10,000 connections, the index included) and network.check.20
// (microseconds for the checks of one decision over 20 connections), each the median of its repetitions.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fmt/format.h>
#include <functional>
#include <vector>

#include "domain/network/check.hpp"

namespace {

using namespace signalbox;
using namespace signalbox::network;
using Clock = std::chrono::steady_clock;

constexpr int connections = 10'000;
constexpr std::uint32_t subnets = 500;

Range range(const char* text) { return *parse_range(text); }

// Ten networks of fifty subnets each, fully peered in pairs, a network ACL and a table per subnet; every seventh subnet
// is out of addresses and every eleventh table has a black hole.
Facts world() {
    Facts facts;
    facts.interfaces_known = true;
    for (const char* zone : {"a", "b", "c"}) facts.zones.push_back({zone, "available"});
    const AclEntry telnet{10, false, "tcp", 23, 23, range("0.0.0.0/0")};
    const AclEntry all{100, true, "all", 0, 65535, range("0.0.0.0/0")};
    for (std::uint32_t n = 0; n < 10; ++n) {
        const std::string id = fmt::format("net-{}", n);
        const Range whole{(10u << 24) | n << 16, 16};
        facts.networks.push_back({id, whole, "available"});
        const std::string partner = fmt::format("net-{}", n ^ 1u);
        if (n % 2 == 0) facts.peerings.push_back({fmt::format("peer-{}", n / 2), {id, partner}, "active"});
        facts.security_groups.push_back(
            {"jobs-" + id, id, {{"tcp", 0, 65535, "jobs-" + id, {}}}, {{"all", 0, 65535, "", range("0.0.0.0/0")}}});
        facts.security_groups.push_back({"db-" + id, id, {{"tcp", 3306, 3306, "", range("10.0.0.0/8")}}, {}});
        for (std::uint32_t s = 0; s < subnets / 10; ++s) {
            const std::string subnet = fmt::format("subnet-{}-{}", n, s);
            const Range own{whole.base | s << 8, 24};
            facts.subnets.push_back(
                {subnet, id, std::string(1, static_cast<char>('a' + s % 3)), own, "available", s % 7 == 0 ? 1u : 200u});
            facts.nat_gateways.push_back({"nat-" + subnet, subnet, facts.subnets.back().zone, "available"});
            facts.route_tables.push_back(
                {"rt-" + subnet,
                 id,
                 s == 0,
                 {subnet},
                 {{whole, TargetKind::Local, "local", false},
                  {{(10u << 24) | (n ^ 1u) << 16, 16}, TargetKind::Peering, fmt::format("peer-{}", n / 2), false},
                  {range("0.0.0.0/0"), TargetKind::Nat, "nat-" + subnet, s % 11 == 0}}});
            facts.network_acls.push_back({"acl-" + subnet, id, s == 0, {subnet}, {telnet, all}, {telnet, all}});
            facts.interfaces.push_back({"db-" + subnet, own.base + 9, subnet, {"db-" + id}, "", "in-use"});
        }
    }
    return facts;
}

std::vector<Demand> demands(const Facts& facts) {
    std::vector<Demand> all;
    for (int i = 0; i < connections; ++i) {
        const Subnet& subnet = facts.subnets[static_cast<std::size_t>(i) % facts.subnets.size()];
        // Its own network's database, and the partner's.
        const std::uint32_t near = (subnet.range.base & 0xFFFF0000) | 1u << 8 | 9u;
        const std::uint32_t far = near ^ 0x00010000;
        all.push_back({subnet.id,
                       {"jobs-" + subnet.network},
                       base::HostPort{address_text(near), 3306},
                       10,
                       0,
                       {{"ledger", {{address_text(far), 3306}}}}});
    }
    return all;
}

double median_seconds(int repetitions, const std::function<void()>& work) {
    std::vector<double> times;
    for (int i = 0; i < repetitions; ++i) {
        const auto begin = Clock::now();
        work();
        times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

}  // namespace

int main() {
    const Facts facts = world();
    const auto all = demands(facts);
    std::size_t faults = 0;
    const double everything = median_seconds(9, [&] {
        faults = 0;
        const Index index(facts);
        for (const Demand& demand : all) faults += check(index, demand, facts.read_at).faults.size();
    });
    const Index index(facts);
    constexpr std::size_t decision = 20;
    std::size_t usable = 0;
    const double one = median_seconds(2001, [&] {
        for (std::size_t i = 0; i < decision; ++i)
            usable += !has_unusable(check(index, all[i * 3 + 1], facts.read_at).faults);
    });
    std::printf(
        "{\"network.faults.10000\": {\"value\": %.4f, \"unit\": \"s\", \"faults\": %zu, \"goal\": \"<= 2\"},\n"
        " \"network.check.20\": {\"value\": %.2f, \"unit\": \"us\", \"goal\": \"< 20\"}}\n",
        everything, faults, one * 1e6);
    return usable == 0 ? 1 : 0;
}
