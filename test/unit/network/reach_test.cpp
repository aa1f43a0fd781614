// Every fault of the catalogue, each produced alone from a healthy pair of networks; and what reach says of them.

#include <functional>
#include <gmock/gmock.h>
#include <map>

#include "domain/network/faults.hpp"
#include "world.hpp"

namespace signalbox::network::testing_world {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

const Source own_database{"orders", {{"10.0.2.9", 3306}}};
const Source far_database{"ledger", {{"10.7.1.9", 3306}}};
const Source website{"site", {{"203.0.113.1", 443}}};
const From from_a{"data-a", {"jobs"}};

struct Case {
    FaultId id;
    std::function<void(Facts&, Demand&)> break_it;
};

template <typename T>
T& the(std::vector<T>& things, std::string_view id) {
    for (T& thing : things)
        if (thing.id == id) return thing;
    throw std::logic_error("a case names what is not there");
}

Route& route_of(Facts& facts, std::string_view table, std::string_view destination) {
    for (Route& route : the(facts.route_tables, table).routes)
        if (route.destination.text() == destination) return route;
    throw std::logic_error("a case names what is not there");
}

const AclEntry deny_all{1, false, "all", 0, 65535, {}};

std::vector<Case> place_cases() {
    return {
        {FaultId::SubnetMissing, [](Facts&, Demand& d) { d.subnet = "data-x"; }},
        {FaultId::SubnetUnavailable, [](Facts& f, Demand&) { the(f.subnets, "data-a").state = "pending"; }},
        {FaultId::NetworkMissing, [](Facts& f, Demand&) { f.networks.erase(f.networks.begin()); }},
        {FaultId::NetworkUnavailable, [](Facts& f, Demand&) { the(f.networks, "main").state = "pending"; }},
        {FaultId::ZoneImpaired, [](Facts& f, Demand&) { the(f.zones, "a").state = "impaired"; }},
        {FaultId::ZoneUnknown, [](Facts& f, Demand&) { f.zones.clear(); }},
        {FaultId::NoRouteTable,
         [](Facts& f, Demand&) { f.route_tables.erase(f.route_tables.begin(), f.route_tables.begin() + 2); }},
        {FaultId::NoWayOut, [](Facts& f, Demand&) { f.route_tables[0].routes.pop_back(); }},
        {FaultId::WayOutBlackholed, [](Facts& f, Demand&) { route_of(f, "rt-a", "0.0.0.0/0").blackhole = true; }},
        {FaultId::NatMissing, [](Facts& f, Demand&) { f.nat_gateways.clear(); }},
        {FaultId::NatUnavailable, [](Facts& f, Demand&) { f.nat_gateways[0].state = "failed"; }},
        {FaultId::NatOtherZone, [](Facts& f, Demand&) { f.nat_gateways[0].zone = "b"; }},
        {FaultId::NatZoneImpaired,
         [](Facts& f, Demand&) {
             f.nat_gateways[0].zone = "b";
             the(f.zones, "b").state = "impaired";
         }},
        {FaultId::EndpointMissing,
         [](Facts& f, Demand&) {
             route_of(f, "rt-a", "0.0.0.0/0") = {everywhere(), TargetKind::Endpoint, "gone", false};
         }},
        {FaultId::EndpointUnavailable,
         [](Facts& f, Demand&) {
             f.route_tables[0].routes.pop_back();
             f.endpoints = {{"store", "main", "gateway", "store", "deleting", {"rt-a"}, {}}};
         }},
        {FaultId::WayOutThroughPeering,
         [](Facts& f, Demand&) {
             route_of(f, "rt-a", "0.0.0.0/0") = {everywhere(), TargetKind::Peering, "peer", false};
         }},
        {FaultId::WayOutUnknownTarget,
         [](Facts& f, Demand&) {
             route_of(f, "rt-a", "0.0.0.0/0") = {everywhere(), TargetKind::Other, "tgw-1", false};
         }},
        {FaultId::EndpointOtherNetwork,
         [](Facts& f, Demand&) {
             f.route_tables[0].routes.pop_back();
             f.endpoints = {{"store", "other", "gateway", "store", "available", {"rt-a"}, {}}};
         }},
        {FaultId::NatOtherNetwork, [](Facts& f, Demand&) { f.nat_gateways[0].subnet = "far-b"; }},
        {FaultId::InternetGatewayMissing,
         [](Facts& f, Demand& d) {
             d.subnet = "data-b";
             f.internet_gateways.clear();
         }},
        {FaultId::InternetGatewayUnavailable,
         [](Facts& f, Demand& d) {
             d.subnet = "data-b";
             f.internet_gateways[0].network = "other";
         }},
        {FaultId::NoFreeAddresses, [](Facts& f, Demand&) { the(f.subnets, "data-a").free_addresses = 1; }},
        {FaultId::UnderCapacity, [](Facts& f, Demand&) { the(f.subnets, "data-a").free_addresses = 2; }},
        {FaultId::AddressesPromised, [](Facts&, Demand& d) { d.promised = 2; }},
        {FaultId::AddressesLingering,
         [](Facts& f, Demand&) {
             the(f.subnets, "data-a").free_addresses = 0;
             f.interfaces.push_back({"old", address("10.0.1.7"), "data-a", {"jobs"}, "t-0", "lingering"});
         }},
        {FaultId::FactsStale, [](Facts& f, Demand&) { f.read_at -= facts_age_max + 1s; }},
    };
}

std::vector<Case> source_cases() {
    return {
        {FaultId::NoSecurityGroup, [](Facts&, Demand& d) { d.security_groups.clear(); }},
        {FaultId::SecurityGroupMissing, [](Facts&, Demand& d) { d.security_groups = {"nosuch"}; }},
        {FaultId::SecurityGroupOtherNetwork, [](Facts&, Demand& d) { d.security_groups = {"far-db"}; }},
        {FaultId::NodesCannotTalk, [](Facts& f, Demand&) { f.security_groups[0].ingress.clear(); }},
        {FaultId::NodesTalkPartly, [](Facts& f, Demand&) { f.security_groups[0].ingress[0].port_to = 1000; }},
        {FaultId::NodesEgressBlocked, [](Facts& f, Demand&) { f.security_groups[0].egress.clear(); }},
        {FaultId::SourceUnresolved,
         [](Facts&, Demand& d) {
             d.sources = {{"orders", {{"orders.example", 3306}}}};
         }},
        {FaultId::SourceNoRoute,
         [](Facts& f, Demand& d) {
             f.route_tables[0].routes.pop_back();
             d.sources = {website};
         }},
        {FaultId::SourceRouteBlackholed,
         [](Facts& f, Demand& d) {
             route_of(f, "rt-a", "10.7.0.0/16").blackhole = true;
             d.sources = {far_database};
         }},
        {FaultId::SourcePeeringBroken,
         [](Facts& f, Demand& d) {
             f.peerings[0].state = "deleted";
             d.sources = {far_database};
         }},
        {FaultId::SourceEgressBlocked,
         [](Facts& f, Demand& d) {
             f.security_groups[0].egress = {{"tcp", 443, 443, "", everywhere()}, {"tcp", 0, 65535, "jobs", {}}};
             d.sources = {own_database};
         }},
        {FaultId::SourceAclDenied,
         [](Facts& f, Demand& d) {
             the(f.network_acls, "acl-a").egress.push_back(deny_all);
             d.sources = {own_database};
         }},
        {FaultId::SourceReturnAclDenied,
         [](Facts& f, Demand& d) {
             the(f.network_acls, "acl-a").ingress.push_back({50, false, "tcp", 40000, 40000, everywhere()});
             d.sources = {website};
         }},
        {FaultId::SourcePeeringMissing,
         [](Facts& f, Demand& d) {
             f.peerings.clear();
             f.route_tables[0].routes.erase(f.route_tables[0].routes.begin() + 1);
             d.sources = {far_database};
         }},
        {FaultId::SourcePeeringUnused,
         [](Facts& f, Demand& d) {
             f.route_tables[0].routes.erase(f.route_tables[0].routes.begin() + 1);
             d.sources = {far_database};
         }},
        {FaultId::SourceNotTransitive,
         [](Facts& f, Demand& d) {
             f.networks.push_back({"third", range("10.9.0.0/16"), "available"});
             f.peerings.push_back({"onward", {"other", "third"}, "active"});
             f.route_tables[0].routes.push_back({range("10.9.0.0/16"), TargetKind::Peering, "peer", false});
             d.sources = {{"third", {{"10.9.1.1", 3306}}}};
         }},
        {FaultId::SourceOutside,
         [](Facts&, Demand& d) {
             d.sources = {{"lost", {{"192.168.1.1", 3306}}}};
         }},
        {FaultId::SourceRouteUnknown,
         [](Facts& f, Demand& d) {
             f.route_tables[0].routes.push_back({range("192.168.0.0/16"), TargetKind::Other, "tgw-1", false});
             d.sources = {{"office", {{"192.168.1.1", 3306}}}};
         }},
        {FaultId::SourceRouteAstray,
         [](Facts& f, Demand& d) {
             f.route_tables[0].routes.push_back({range("10.0.2.0/24"), TargetKind::Nat, "nat-a", false});
             d.sources = {own_database};
         }},
        {FaultId::NatAclDenied,
         [](Facts& f, Demand& d) {
             const AclEntry only_web{100, true, "tcp", 443, 443, everywhere()};
             f.network_acls.push_back({"acl-public", "main", false, {"public-a"}, {only_web}, {only_web}});
             d.sources = {website};
         }},
    };
}

std::vector<Case> destination_cases() {
    return {
        {FaultId::DestinationNoSubnet,
         [](Facts&, Demand& d) {
             d.sources = {{"nobody", {{"10.0.77.1", 3306}}}};
         }},
        {FaultId::DestinationNoInterface,
         [](Facts&, Demand& d) {
             d.sources = {{"nobody", {{"10.0.2.77", 3306}}}};
         }},
        {FaultId::DestinationInterfaceDown,
         [](Facts& f, Demand& d) {
             f.interfaces[0].state = "lingering";
             d.sources = {own_database};
         }},
        {FaultId::DestinationUnavailable,
         [](Facts& f, Demand& d) {
             the(f.subnets, "data-b").state = "pending";
             d.sources = {own_database};
         }},
        {FaultId::DestinationZoneImpaired,
         [](Facts& f, Demand& d) {
             the(f.zones, "b").state = "impaired";
             d.sources = {own_database};
         }},
        {FaultId::DestinationAclDenied,
         [](Facts& f, Demand& d) {
             the(f.network_acls, "acl-main").ingress.push_back(deny_all);
             d.sources = {own_database};
         }},
        {FaultId::DestinationIngressBlocked,
         [](Facts& f, Demand& d) {
             the(f.security_groups, "db").ingress.clear();
             d.sources = {own_database};
         }},
        {FaultId::DestinationGroupNotReferable,
         [](Facts& f, Demand& d) {
             the(f.security_groups, "far-db").ingress = {{"tcp", 3306, 3306, "jobs", {}}};
             f.peerings[0].state = "deleted";
             d.sources = {far_database};
         }},
        {FaultId::ReturnNoRoute,
         [](Facts& f, Demand& d) {
             auto& routes = the(f.route_tables, "rt-far").routes;
             routes.resize(1);
             d.sources = {far_database};
         }},
        {FaultId::ReturnBlackholed,
         [](Facts& f, Demand& d) {
             route_of(f, "rt-far", "10.0.0.0/16").blackhole = true;
             d.sources = {far_database};
         }},
        {FaultId::ReturnAstray,
         [](Facts& f, Demand& d) {
             auto& routes = the(f.route_tables, "rt-far").routes;
             routes.erase(routes.begin() + 1);
             d.sources = {far_database};
         }},
        {FaultId::ReturnAclDenied,
         [](Facts& f, Demand& d) {
             the(f.network_acls, "acl-other").egress = {{100, true, "tcp", 0, 1023, everywhere()}};
             d.sources = {far_database};
         }},
    };
}

TEST(FaultCatalogue, every_fault_is_produced_and_named) {
    std::map<std::string, int> produced;
    for (const auto& cases : {place_cases(), source_cases(), destination_cases()}) {
        for (const Case& one : cases) {
            const FaultKind& kind = kind_of(one.id);
            Facts facts = healthy_pair();
            const base::WallTime now = facts.read_at;
            Demand demand = demand_of();
            one.break_it(facts, demand);
            const Report report = check(facts, demand, now);
            EXPECT_THAT(names_of(report.faults), Contains(kind.name));
            ++produced[kind.name];
        }
    }
    for (const FaultKind& kind : fault_catalogue()) EXPECT_EQ(produced[kind.name], 1) << kind.name;
    EXPECT_GE(fault_catalogue().size(), 30u);
}

TEST(Reach, a_healthy_pair_has_no_fault_and_its_paths_are_told) {
    const Facts facts = healthy_pair();
    const Index index(facts);
    EXPECT_THAT(check(index, demand_of({own_database, far_database, website}), facts.read_at).faults, IsEmpty());
    const Reach far = reach(index, from_a, address("10.7.1.9"), 3306);
    EXPECT_TRUE(far.reachable);
    std::vector<std::string> hops;
    for (const Hop& hop : far.path) hops.push_back(hop.kind + " " + hop.id);
    EXPECT_THAT(hops,
                ElementsAre("subnet data-a", "route-table rt-a", "peering peer", "subnet far-b", "interface far-db-1"));
    EXPECT_EQ(far.path[1].detail, "10.7.0.0/16 to peering:peer");
    hops.clear();
    for (const Hop& hop : reach(index, from_a, address("203.0.113.1"), 443).path)
        hops.push_back(hop.kind + " " + hop.id);
    EXPECT_THAT(hops,
                ElementsAre("subnet data-a", "route-table rt-a", "nat-gateway nat-a", "internet 203.0.113.1:443"));
}

TEST(Reach, every_reason_is_told_not_only_the_first) {
    Facts facts = healthy_pair();
    facts.peerings.clear();
    facts.route_tables[0].routes.erase(facts.route_tables[0].routes.begin() + 1);
    the(facts.route_tables, "rt-far").routes.resize(1);
    the(facts.security_groups, "far-db").ingress.clear();
    the(facts.network_acls, "acl-other").ingress.push_back(deny_all);
    facts.security_groups[0].egress = {{"tcp", 443, 443, "", everywhere()}};
    const Index index(facts);
    const Reach found = reach(index, from_a, address("10.7.1.9"), 3306);
    EXPECT_FALSE(found.reachable);
    EXPECT_THAT(names_of(found.faults),
                ElementsAre("source-egress-blocked", "source-peering-missing", "destination-acl-denied",
                            "destination-ingress-blocked", "return-no-route"));
}

TEST(Reach, what_is_missing_is_proposed) {
    Facts facts = healthy_pair();
    auto& routes = facts.route_tables[0].routes;
    routes.erase(routes.begin() + 1);
    EXPECT_EQ(reach(Index(facts), from_a, address("10.7.1.9"), 3306).faults[0].remedy,
              "Add the route 10.7.0.0/16 to peering:peer to table 'rt-a'.");
    facts.peerings.clear();
    EXPECT_EQ(reach(Index(facts), from_a, address("10.7.1.9"), 3306).faults[0].remedy,
              "Create a peering between networks 'main' and 'other', route 10.7.0.0/16 to it in table 'rt-a', and "
              "10.0.0.0/16 back.");
    the(facts.security_groups, "db").ingress.clear();
    EXPECT_EQ(reach(Index(facts), from_a, address("10.0.2.9"), 3306).faults[0].remedy,
              "Add an inbound rule to security group 'db': tcp 3306 from sg:jobs.");
    the(facts.network_acls, "acl-a").egress.push_back({50, false, "tcp", 3306, 3306, everywhere()});
    EXPECT_EQ(reach(Index(facts), from_a, address("10.0.2.9"), 3306).faults[0].remedy,
              "Add an outbound entry to network ACL 'acl-a', with a number below 50: allow tcp 3306 to 10.0.2.9/32.");
}

TEST(Reach, nothing_within_a_subnet_passes_its_network_acl_or_its_table) {
    Facts facts = healthy_pair();
    the(facts.network_acls, "acl-main").ingress.clear();
    the(facts.network_acls, "acl-main").egress.clear();
    facts.route_tables.clear();
    EXPECT_TRUE(reach(Index(facts), {"data-b", {"jobs"}}, address("10.0.2.9"), 3306).reachable);
    EXPECT_FALSE(reach(Index(facts), from_a, address("10.0.2.9"), 3306).reachable);
}

TEST(Reach, a_rule_for_half_a_subnet_is_no_promise_for_all_of_it) {
    Facts facts = healthy_pair();
    auto& ingress = the(facts.security_groups, "db").ingress;
    ingress = {{"tcp", 3306, 3306, "", range("10.0.1.0/25")}};
    const Reach half = reach(Index(facts), from_a, address("10.0.2.9"), 3306);
    EXPECT_FALSE(half.reachable);
    EXPECT_THAT(half.faults[0].message, HasSubstr("such as 10.0.1.128"));
    ingress.push_back({"tcp", 3306, 3306, "", range("10.0.1.128/25")});
    EXPECT_TRUE(reach(Index(facts), from_a, address("10.0.2.9"), 3306).reachable);
}

TEST(Reach, an_impaired_zone_is_told_but_promises_nothing_and_denies_nothing) {
    Facts facts = healthy_pair();
    for (Zone& zone : facts.zones) zone.state = "impaired";
    const Reach found = reach(Index(facts), from_a, address("10.0.2.9"), 3306);
    EXPECT_TRUE(found.reachable);
    EXPECT_THAT(names_of(found.faults), ElementsAre("zone-impaired", "destination-zone-impaired"));
}

TEST(Reach, the_lowest_number_decides_wherever_it_stands_and_what_no_entry_matches_is_denied) {
    Facts facts = healthy_pair();
    auto& egress = the(facts.network_acls, "acl-a").egress;
    egress = {{200, false, "all", 0, 65535, everywhere()}, {100, true, "tcp", 3306, 3306, range("10.0.0.0/8")}};
    EXPECT_TRUE(reach(Index(facts), from_a, address("10.0.2.9"), 3306).reachable);
    EXPECT_THAT(names_of(reach(Index(facts), from_a, address("203.0.113.1"), 443).faults),
                ElementsAre("source-acl-denied"));
    egress = {{100, true, "udp", 0, 65535, everywhere()}};
    EXPECT_THAT(names_of(reach(Index(facts), from_a, address("10.0.2.9"), 3306).faults),
                ElementsAre("source-acl-denied"));
}

TEST(Reach, a_denied_port_that_nodes_never_choose_for_answers_is_a_degradation) {
    Facts facts = healthy_pair();
    auto& ingress = the(facts.network_acls, "acl-a").ingress;
    ingress.push_back({50, false, "tcp", 3306, 3306, everywhere()});
    const Reach found = reach(Index(facts), from_a, address("10.0.2.9"), 3306);
    EXPECT_TRUE(found.reachable);
    ASSERT_THAT(names_of(found.faults), ElementsAre("source-return-acl-denied"));
    EXPECT_EQ(found.faults[0].severity, base::Severity::Degraded);
    EXPECT_THAT(found.faults[0].message, HasSubstr("port 3306 from 10.0.2.9: by inbound entry 50"));
    ingress.back().port_to = 60999;
    EXPECT_FALSE(reach(Index(facts), from_a, address("10.0.2.9"), 3306).reachable);
}

TEST(Check, the_fault_names_the_source_and_is_not_softened_by_an_endpoint) {
    Facts facts = healthy_pair();
    facts.endpoints = {{"store", "main", "gateway", "store", "available", {"rt-a"}, {}}};
    facts.nat_gateways[0].state = "failed";
    const Report report = check(facts, demand_of({own_database, website}), facts.read_at);
    EXPECT_THAT(names_of(report.faults), ElementsAre("nat-unavailable", "nat-unavailable"));
    EXPECT_EQ(report.faults[0].severity, base::Severity::Degraded);
    EXPECT_EQ(report.faults[1].severity, base::Severity::Unusable);
    EXPECT_EQ(report.faults[1].message, "source 'site': NAT gateway 'nat-a' is failed");
}

TEST(Check, stale_facts_are_told_with_their_age) {
    const Facts facts = healthy_pair();
    const Report report = check(facts, demand_of(), facts.read_at + 2min);
    ASSERT_THAT(names_of(report.faults), ElementsAre("facts-stale"));
    EXPECT_THAT(report.faults[0].message, HasSubstr("2m old"));
}

}  // namespace
}  // namespace signalbox::network::testing_world
