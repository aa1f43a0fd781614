// reach and check against the slow walk of single packets, on random networks by seed.
// SIGNALBOX_SEED=N replays one.

#include <algorithm>
#include <cstdlib>
#include <gmock/gmock.h>

#include "walk.hpp"
#include "world.hpp"

namespace signalbox::network::testing_world {
namespace {

using base::Prng;

constexpr std::uint64_t seeds = 4000;
constexpr int questions_each = 6;

template <typename T>
const T& pick(Prng& prng, const std::vector<T>& from) {
    return from[prng.below(from.size())];
}

// Small worlds, so that things meet: networks 10.0.0.0/24, 10.0.1.0/24, … with subnets of sixteen addresses, at times
// two networks over the same range.
class Random {
  public:
    explicit Random(std::uint64_t seed) : prng_(seed) {}
    Facts facts();
    Walk question(const Facts& facts);

  private:
    std::string state(double good, const char* word = "available") { return prng_.chance(good) ? word : "failed"; }
    Range some_range(const Facts& facts);
    std::pair<int, int> some_ports();
    std::vector<Rule> rules(const Facts& facts);
    std::vector<AclEntry> entries(const Facts& facts);
    Route some_route(const Facts& facts, const Network& network);
    void add_networks(Facts& facts);
    void add_gateways(Facts& facts);
    void add_tables(Facts& facts);
    void add_filters(Facts& facts);
    void add_interfaces(Facts& facts);

    Prng prng_;
};

void Random::add_networks(Facts& facts) {
    facts.zones = {{"a", state(0.9)}, {"b", state(0.9)}};
    const auto count = 1 + prng_.below(3);
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t place = prng_.chance(0.1) ? 0 : i;
        const Network network{fmt::format("n{}", i), {(10u << 24) | place << 8, 24}, state(0.97)};
        const auto subnets = 1 + prng_.below(3);
        for (std::uint32_t j = 0; j < subnets; ++j)
            facts.subnets.push_back({fmt::format("s{}{}", i, j),
                                     network.id,
                                     prng_.chance(0.5) ? "a" : "b",
                                     {network.range.base + 16 * j, 28},
                                     state(0.97),
                                     5});
        if (prng_.chance(0.98)) facts.networks.push_back(network);
    }
}

void Random::add_gateways(Facts& facts) {
    const auto& subnets = facts.subnets;
    facts.nat_gateways = {{"nat0", pick(prng_, subnets).id, "a", state(0.9)},
                          {"nat1", pick(prng_, subnets).id, "b", state(0.9)}};
    facts.endpoints = {{"e0", pick(prng_, subnets).network, "gateway", "store", state(0.9), {}, {}}};
    facts.internet_gateways = {{"igw", pick(prng_, subnets).network, state(0.9)}};
    for (std::size_t i = 0; i < 3; ++i) {
        const std::string& a = pick(prng_, subnets).network;
        const std::string& b = pick(prng_, subnets).network;
        const std::string other = prng_.chance(0.1) ? "elsewhere" : b;
        if (a != other) facts.peerings.push_back({fmt::format("p{}", i), {a, other}, state(0.85, "active")});
    }
}

Range Random::some_range(const Facts& facts) {
    switch (prng_.below(6)) {
        case 0:
            return everywhere();
        case 1:
            return {10u << 24, 8};
        case 2:
            return facts.networks.empty() ? everywhere() : pick(prng_, facts.networks).range;
        case 3: {
            const Range whole = pick(prng_, facts.subnets).range;
            return {whole.base + (prng_.chance(0.5) ? 8u : 0u), 29};
        }
        default:
            return pick(prng_, facts.subnets).range;
    }
}

Route Random::some_route(const Facts& facts, const Network& network) {
    Route route{some_range(facts), TargetKind::Local, "local", prng_.chance(0.08)};
    switch (prng_.below(8)) {
        case 0:
            return {route.destination, TargetKind::Nat, prng_.chance(0.9) ? "nat0" : "gone", route.blackhole};
        case 1:
            return {everywhere(), TargetKind::Nat, "nat1", route.blackhole};
        case 2:
            return {everywhere(), TargetKind::Internet, prng_.chance(0.5) ? "internet" : "igw", route.blackhole};
        case 3:
            return {prng_.chance(0.8) ? range("198.51.100.0/24") : route.destination, TargetKind::Endpoint,
                    prng_.chance(0.9) ? "e0" : "gone", route.blackhole};
        case 4:
            return {route.destination, TargetKind::Other, "tgw:1", route.blackhole};
        default:
            break;
    }
    if (facts.peerings.empty()) return route;
    // Mostly as somebody would write it: the other network's range to the peering with it.
    const Peering& peering = pick(prng_, facts.peerings);
    const std::string& other = peering.networks[peering.networks[0] == network.id ? 1 : 0];
    for (const Network& one : facts.networks)
        if (one.id == other && prng_.chance(0.8)) route.destination = one.range;
    return {route.destination, TargetKind::Peering, prng_.chance(0.95) ? peering.id : "gone", route.blackhole};
}

void Random::add_tables(Facts& facts) {
    for (const Network& network : facts.networks) {
        for (int i = 0; i < 2; ++i) {
            RouteTable table{fmt::format("rt-{}-{}", network.id, i), network.id, i == 0 && prng_.chance(0.95), {}, {}};
            table.routes.push_back({network.range, TargetKind::Local, "local", false});
            const auto routes = prng_.below(5);
            for (std::uint64_t j = 0; j < routes; ++j) table.routes.push_back(some_route(facts, network));
            for (const Subnet& subnet : facts.subnets)
                if (i == 1 && subnet.network == network.id && prng_.chance(0.5)) table.subnets.push_back(subnet.id);
            facts.route_tables.push_back(std::move(table));
        }
    }
}

std::pair<int, int> Random::some_ports() {
    switch (prng_.below(5)) {
        case 0:
            return {3306, 3306};
        case 1:
            return {1024, 65535};
        case 2:
            return {0, 40000};
        default:
            return {0, 65535};
    }
}

std::vector<Rule> Random::rules(const Facts& facts) {
    std::vector<Rule> rules;
    const auto count = prng_.below(3);
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto [from, to] = some_ports();
        Rule rule{prng_.chance(0.7) ? "tcp" : prng_.chance(0.7) ? "all" : "udp", from, to, "", {}};
        if (prng_.chance(0.5)) rule.group = fmt::format("g{}", prng_.below(4));
        if (rule.group.empty()) rule.range = some_range(facts);
        rules.push_back(std::move(rule));
    }
    return rules;
}

std::vector<AclEntry> Random::entries(const Facts& facts) {
    std::vector<AclEntry> entries;
    const auto count = prng_.below(4);
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto [from, to] = some_ports();
        entries.push_back({static_cast<int>(10 + (i * 37 + 5) % 80), prng_.chance(0.6),
                           prng_.chance(0.6)   ? "tcp"
                           : prng_.chance(0.8) ? "all"
                                               : "udp",
                           from, to, some_range(facts)});
    }
    if (prng_.chance(0.8)) entries.push_back({100, true, "all", 0, 65535, everywhere()});
    return entries;
}

void Random::add_filters(Facts& facts) {
    for (int i = 0; i < 4; ++i)
        facts.security_groups.push_back(
            {fmt::format("g{}", i), pick(prng_, facts.subnets).network, rules(facts), rules(facts)});
    for (SecurityGroup& group : facts.security_groups)
        if (prng_.chance(0.7)) group.egress.push_back({"all", 0, 65535, "", everywhere()});
    for (const Network& network : facts.networks) {
        if (prng_.chance(0.6))
            facts.network_acls.push_back({"acl-" + network.id, network.id, true, {}, entries(facts), entries(facts)});
        for (const Subnet& subnet : facts.subnets)
            if (subnet.network == network.id && prng_.chance(0.25))
                facts.network_acls.push_back(
                    {"acl-" + subnet.id, network.id, false, {subnet.id}, entries(facts), entries(facts)});
    }
}

void Random::add_interfaces(Facts& facts) {
    facts.interfaces_known = prng_.chance(0.9);
    if (!facts.interfaces_known) return;
    for (const Subnet& subnet : facts.subnets) {
        for (std::uint32_t host = 5; host < 12; host += 3) {
            if (prng_.chance(0.2)) continue;
            Interface interface {
                fmt::format("i-{}-{}", subnet.id, host), subnet.range.base + host, subnet.id, {},
                    "", prng_.chance(0.95) ? "in-use" : "lingering"
            };
            for (const SecurityGroup& group : facts.security_groups)
                if (group.network == subnet.network && prng_.chance(0.6)) interface.security_groups.push_back(group.id);
            facts.interfaces.push_back(std::move(interface));
        }
    }
}

Facts Random::facts() {
    Facts facts;
    add_networks(facts);
    add_gateways(facts);
    add_tables(facts);
    add_filters(facts);
    add_interfaces(facts);
    return facts;
}

Walk Random::question(const Facts& facts) {
    Walk walk;
    const Subnet& from = pick(prng_, facts.subnets);
    walk.subnet = prng_.chance(0.99) ? from.id : "gone";
    for (const SecurityGroup& group : facts.security_groups)
        if (group.network == from.network ? prng_.chance(0.6) : prng_.chance(0.03)) walk.groups.push_back(group.id);
    walk.port = prng_.chance(0.5) ? 3306 : 443;
    if (!facts.interfaces.empty() && prng_.chance(0.75)) {
        walk.destination = pick(prng_, facts.interfaces).address;
    } else {
        const std::vector<const char*> elsewhere = {"198.51.100.7", "203.0.113.1", "192.168.3.4",
                                                    "10.0.0.8",     "10.0.1.200",  "10.0.5.5"};
        walk.destination = address(pick(prng_, elsewhere));
    }
    return walk;
}

// What single packets find: from every address of the subnet, to every port that an answer may need.
struct Truth {
    bool all_come = true;
    std::set<std::string> stopped;  // the names that may be told for one that was stopped
    std::string example;
};

Truth truth_of(const Facts& facts, Walk question) {
    Truth truth;
    std::vector<std::uint32_t> sources = {0};
    for (const Subnet& subnet : facts.subnets) {
        if (subnet.id != question.subnet) continue;
        sources.clear();
        for (std::uint32_t i = 0; i < 16; ++i) sources.push_back(subnet.range.base + i);
    }
    for (const std::uint32_t source : sources) {
        // What Linux chooses from, and where the entries of these worlds begin and end within it.
        for (const int port : {32768, 40000, 40001, 60999}) {
            question.source = source;
            question.source_port = port;
            const auto stopped = walk(facts, question);
            if (stopped.empty()) continue;
            if (truth.all_come) {
                truth.stopped = stopped;
                truth.example = fmt::format("{} port {}: {}", address_text(source), port, *stopped.begin());
            }
            truth.all_come = false;
        }
    }
    return truth;
}

std::string describe(const Walk& question, const Reach& found) {
    std::string text = fmt::format("{} [{}] to {}:{}\n", question.subnet, base::join(question.groups, ","),
                                   address_text(question.destination), question.port);
    for (const base::Fault& fault : found.faults) text += fault.code + " " + fault.message + "\n";
    return text;
}

TEST(ReachProperty, it_promises_what_every_single_packet_finds_and_names_what_stops_one) {
    const char* only = std::getenv("SIGNALBOX_SEED");
    const std::uint64_t first = only == nullptr ? 0 : std::strtoull(only, nullptr, 10);
    std::size_t reachable = 0, asked = 0;
    for (std::uint64_t seed = first; seed < (only == nullptr ? seeds : first + 1); ++seed) {
        Random random(seed);
        const Facts facts = random.facts();
        const Index index(facts);
        for (int i = 0; i < questions_each; ++i) {
            const Walk question = random.question(facts);
            const Reach found = reach(index, {question.subnet, question.groups}, question.destination, question.port);
            const Truth truth = truth_of(facts, question);
            ++asked;
            reachable += found.reachable;
            ASSERT_EQ(found.reachable, truth.all_come)
                << "SIGNALBOX_SEED=" << seed << ": " << describe(question, found) << truth.example;
            if (truth.all_come) continue;
            const auto names = names_of(found.faults);
            const bool told = std::any_of(names.begin(), names.end(),
                                          [&](const std::string& name) { return truth.stopped.contains(name); });
            ASSERT_TRUE(told) << "SIGNALBOX_SEED=" << seed << ": " << describe(question, found) << truth.example;
        }
    }
    if (only != nullptr) return;
    // Worlds in which everything or nothing works would show nothing.
    EXPECT_GT(reachable, asked / 20);
    EXPECT_LT(reachable, asked * 3 / 4);
}

TEST(ReachProperty, a_check_finds_a_connection_usable_only_if_every_source_is_reached) {
    for (std::uint64_t seed = 0; seed < 1000; ++seed) {
        Random random(seed + 1'000'000);
        const Facts facts = random.facts();
        const Index index(facts);
        const Walk question = random.question(facts);
        const Walk second = random.question(facts);
        const auto host_port = [](const Walk& walk) {
            return base::HostPort{address_text(walk.destination), static_cast<std::uint16_t>(walk.port)};
        };
        Demand demand{question.subnet, question.groups, {}, 1, 0, {}};
        const Report alone = check(index, demand, facts.read_at);
        demand.sources = {{"one", {host_port(question), host_port(second)}}};
        const Report report = check(index, demand, facts.read_at);
        bool reached = true;
        for (const Walk* walk : {&question, &second})
            reached =
                reached && reach(index, {question.subnet, question.groups}, walk->destination, walk->port).reachable;
        EXPECT_EQ(has_unusable(report.faults), has_unusable(alone.faults) || !reached) << "seed " << seed;
        if (reached || facts.subnets.empty() || question.subnet == "gone") continue;
        const bool named = std::any_of(report.faults.begin(), report.faults.end(), [](const base::Fault& fault) {
            return fault.message.starts_with("source 'one': ");
        });
        EXPECT_TRUE(named || has_unusable(alone.faults)) << "seed " << seed;
    }
}

// Right in every way, with as many parts as there may be.
Facts healthy_random(std::uint64_t seed) {
    Prng prng(seed);
    Facts facts;
    facts.interfaces_known = true;
    const auto networks = static_cast<std::uint32_t>(1 + prng.below(4));
    const auto zones = static_cast<std::uint32_t>(1 + prng.below(3));
    for (std::uint32_t z = 0; z < zones; ++z) facts.zones.push_back({fmt::format("z{}", z), "available"});
    for (std::uint32_t a = 0; a < networks; ++a)
        for (std::uint32_t b = a + 1; b < networks; ++b)
            facts.peerings.push_back(
                {fmt::format("p{}{}", a, b), {fmt::format("n{}", a), fmt::format("n{}", b)}, "active"});
    for (std::uint32_t n = 0; n < networks; ++n) {
        const std::string id = fmt::format("n{}", n);
        const Range whole{(10u << 24) | n << 16, 16};
        facts.networks.push_back({id, whole, "available"});
        facts.internet_gateways.push_back({"igw-" + id, id, "available"});
        std::vector<Route> inner = {{whole, TargetKind::Local, "local", false}};
        for (const Peering& peering : facts.peerings)
            if (std::count(peering.networks.begin(), peering.networks.end(), id) > 0) {
                const std::string& other = peering.networks[peering.networks[0] == id ? 1 : 0];
                const auto number = static_cast<std::uint32_t>(other[1] - '0');
                inner.push_back({{(10u << 24) | number << 16, 16}, TargetKind::Peering, peering.id, false});
            }
        RouteTable main{"main-" + id, id, true, {}, inner};
        main.routes.push_back({everywhere(), TargetKind::Internet, "igw-" + id, false});
        facts.route_tables.push_back(main);
        const Rule own{"tcp", 0, 65535, "jobs-" + id, {}};
        const Rule out{"all", 0, 65535, "", everywhere()};
        facts.security_groups.push_back({"jobs-" + id, id, {own}, {out}});
        facts.security_groups.push_back({"db-" + id, id, {{"tcp", 3306, 3306, "", Range{10u << 24, 8}}}, {}});
        // Denies what nobody needs, allows what somebody does, by number and not by place in the list.
        const AclEntry telnet{20, false, "tcp", 23, 23, everywhere()};
        const AclEntry all{prng.chance(0.5) ? 100 : 30, true, prng.chance(0.5) ? "all" : "tcp", 0, 65535, everywhere()};
        facts.network_acls.push_back({"acl-" + id, id, true, {}, {all, telnet}, {telnet, all}});
        for (std::uint32_t z = 0; z < zones; ++z) {
            const std::string zone = facts.zones[z].id;
            const std::string data = fmt::format("data-{}-{}", n, z), pub = fmt::format("public-{}-{}", n, z);
            const Range data_range{whole.base | z << 8, 24};
            facts.subnets.push_back({data, id, zone, data_range, "available", 100 + prng.below(100)});
            facts.subnets.push_back({pub, id, zone, {whole.base | (100 + z) << 8, 24}, "available", 20});
            const bool by_endpoint = prng.chance(0.2);
            RouteTable table{"rt-" + data, id, false, {data}, inner};
            if (by_endpoint)
                facts.endpoints.push_back({"store-" + data, id, "gateway", "store", "available", {table.id}, {}});
            else
                table.routes.push_back({everywhere(), TargetKind::Nat, "nat-" + data, false});
            facts.nat_gateways.push_back({"nat-" + data, pub, zone, "available"});
            facts.route_tables.push_back(table);
            facts.interfaces.push_back({"db-" + data, data_range.base + 9, data, {"db-" + id}, "", "in-use"});
        }
    }
    return facts;
}

TEST(ReachProperty, no_fault_is_told_of_a_hundred_healthy_networks) {
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        const Facts facts = healthy_random(seed);
        const Index index(facts);
        Source databases{"databases", {}};
        for (const Interface& interface : facts.interfaces)
            databases.addresses.push_back({address_text(interface.address), 3306});
        for (const Subnet& subnet : facts.subnets) {
            if (!subnet.id.starts_with("data-")) continue;
            Demand demand{subnet.id, {"jobs-" + subnet.network}, {}, 10, 0, {databases}};
            const Place& place = *index.place(subnet.id);
            if (place.table->default_route() != nullptr) demand.data_source = base::HostPort{"198.51.100.7", 443};
            const Report report = check(index, demand, facts.read_at);
            ASSERT_THAT(report.faults, testing::IsEmpty())
                << "seed " << seed << ", " << subnet.id << ": " << report.faults.front().message;
            EXPECT_FALSE(report.way_out.empty());
        }
    }
}

}  // namespace
}  // namespace signalbox::network::testing_world
