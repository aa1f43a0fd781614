#include "domain/network/check.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <gmock/gmock.h>
#include <set>

#include "base/text.hpp"
#include "domain/network/faults.hpp"

namespace signalbox::network {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

Range range(const char* text) { return *parse_range(text); }

// One network over two zones, each with a subnet that is right in every way.
Facts healthy() {
    Facts facts;
    facts.zones = {{"a", "available"}, {"b", "available"}};
    facts.networks = {{"main", range("10.0.0.0/16"), "available"}};
    facts.subnets = {{"data-a", "main", "a", range("10.0.1.0/24"), "available", 250},
                     {"data-b", "main", "b", range("10.0.2.0/24"), "available", 250}};
    const Route local{range("10.0.0.0/16"), TargetKind::Local, "local", false};
    facts.route_tables = {
        {"rt-a", "main", false, {"data-a"}, {local, {range("0.0.0.0/0"), TargetKind::Nat, "nat-a", false}}},
        {"rt-main", "main", true, {}, {local, {range("0.0.0.0/0"), TargetKind::Nat, "nat-b", false}}}};
    facts.nat_gateways = {{"nat-a", "public-a", "a", "available"}, {"nat-b", "public-b", "b", "available"}};
    Rule in{"tcp", 0, 65535, "jobs", {}};
    Rule out{"all", 0, 65535, "", range("0.0.0.0/0")};
    facts.security_groups = {{"jobs", "main", {in}, {out}}};
    return facts;
}

Demand demand(const char* subnet = "data-a") { return {subnet, {"jobs"}, base::HostPort{"10.0.2.9", 3306}, 3, 0}; }

std::vector<std::string> names(const Report& report) {
    std::vector<std::string> names;
    for (const base::Fault& fault : report.faults) names.push_back(fault.name);
    return names;
}

std::vector<std::string> faults_of(const Facts& facts, const Demand& wanted = demand()) {
    return names(check(facts, wanted, facts.read_at));
}

TEST(NetworkCheck, a_healthy_connection_has_no_fault_and_names_its_way_out) {
    const Facts facts = healthy();
    const Report report = check(facts, demand(), facts.read_at);
    EXPECT_THAT(names(report), IsEmpty());
    EXPECT_EQ(report.way_out, "nat nat-a");
    EXPECT_EQ(report.zone, "a");
    EXPECT_EQ(report.available, 250u);
}

TEST(NetworkCheck, a_subnet_without_a_table_uses_the_main_one) {
    const Facts facts = healthy();
    EXPECT_EQ(check(facts, demand("data-b"), facts.read_at).way_out, "nat nat-b");
}

TEST(NetworkCheck, a_main_table_does_not_help_a_subnet_with_a_table_of_its_own) {
    Facts facts = healthy();
    facts.route_tables[0].routes.pop_back();
    EXPECT_THAT(faults_of(facts), ElementsAre("no-way-out"));
}

TEST(NetworkCheck, every_fault_is_reported_not_only_the_first) {
    Facts facts = healthy();
    facts.subnets[0].free_addresses = 0;
    facts.subnets[0].state = "pending";
    facts.zones[0].state = "impaired";
    facts.route_tables[0].routes[1].blackhole = true;
    facts.security_groups.clear();
    EXPECT_THAT(faults_of(facts), ElementsAre("subnet-unavailable", "zone-impaired", "way-out-blackholed",
                                              "no-free-addresses", "security-group-missing"));
}

TEST(NetworkCheck, a_missing_subnet_does_not_hide_faults_of_the_groups) {
    EXPECT_THAT(faults_of(healthy(), {"data-x", {"jobs", "nosuch"}, {}, 3, 0}),
                ElementsAre("subnet-missing", "security-group-missing"));
}

TEST(NetworkCheck, a_nat_gateway_must_exist_be_available_and_is_better_in_the_same_zone) {
    Facts facts = healthy();
    facts.nat_gateways[0].state = "failed";
    EXPECT_THAT(faults_of(facts), ElementsAre("nat-unavailable"));
    facts.nat_gateways.erase(facts.nat_gateways.begin());
    EXPECT_THAT(faults_of(facts), ElementsAre("nat-missing"));
    facts.route_tables[0].routes[1].target = "nat-b";
    EXPECT_THAT(faults_of(facts), ElementsAre("nat-other-zone"));
    facts.zones[1].state = "impaired";
    EXPECT_THAT(faults_of(facts), ElementsAre("nat-other-zone", "nat-zone-impaired", "destination-zone-impaired"));
}

TEST(NetworkCheck, an_endpoint_is_a_way_out_and_softens_a_blackholed_default_route) {
    Facts facts = healthy();
    facts.route_tables[0].routes.pop_back();
    facts.endpoints = {{"s3", "main", "gateway", "s3", "available", {"rt-a"}, {}}};
    EXPECT_THAT(faults_of(facts), IsEmpty());
    facts.route_tables[0].routes.push_back({range("0.0.0.0/0"), TargetKind::Nat, "nat-a", true});
    const Report report = check(facts, demand(), facts.read_at);
    ASSERT_THAT(names(report), ElementsAre("way-out-blackholed"));
    EXPECT_EQ(report.faults[0].severity, base::Severity::Degraded);
    facts.route_tables[0].routes.pop_back();
    facts.endpoints[0].state = "deleting";
    EXPECT_THAT(faults_of(facts), ElementsAre("endpoint-unavailable"));
}

TEST(NetworkCheck, a_default_route_through_a_peering_is_no_way_out) {
    Facts facts = healthy();
    facts.route_tables[0].routes[1].kind = TargetKind::Peering;
    EXPECT_THAT(faults_of(facts), ElementsAre("way-out-through-peering"));
}

TEST(NetworkCheck, two_addresses_start_a_run_and_one_per_node_makes_it_full) {
    Facts facts = healthy();
    facts.subnets[0].free_addresses = 3;
    EXPECT_THAT(faults_of(facts), IsEmpty());
    facts.subnets[0].free_addresses = 2;
    EXPECT_THAT(faults_of(facts), ElementsAre("under-capacity"));
    facts.subnets[0].free_addresses = 1;
    EXPECT_THAT(faults_of(facts), ElementsAre("no-free-addresses"));
    Demand single = demand();
    single.nodes = 1;
    EXPECT_THAT(faults_of(facts, single), IsEmpty());
}

TEST(NetworkCheck, addresses_promised_to_starting_runs_do_not_count_as_free) {
    Facts facts = healthy();
    facts.subnets[0].free_addresses = 5;
    Demand wanted = demand();
    wanted.promised = 2;
    EXPECT_THAT(faults_of(facts, wanted), ElementsAre("addresses-promised"));
    wanted.promised = 4;
    EXPECT_THAT(faults_of(facts, wanted), ElementsAre("no-free-addresses"));
    wanted.promised = 9;
    EXPECT_EQ(check(facts, wanted, facts.read_at).available, 0u);
}

TEST(NetworkCheck, nodes_must_be_let_to_talk_to_each_other) {
    Facts facts = healthy();
    SecurityGroup& group = facts.security_groups[0];
    group.ingress[0].port_to = 1024;
    EXPECT_THAT(faults_of(facts), ElementsAre("nodes-talk-partly"));
    group.ingress[0] = {"tcp", 0, 65535, "", range("10.9.0.0/16")};
    EXPECT_THAT(faults_of(facts), ElementsAre("nodes-cannot-talk"));
    group.ingress[0].range = range("10.0.0.0/16");
    EXPECT_THAT(faults_of(facts), IsEmpty());
    group.egress[0] = {"tcp", 3306, 3306, "other", {}};
    EXPECT_THAT(faults_of(facts), ElementsAre("nodes-egress-blocked"));
}

TEST(NetworkCheck, a_group_of_another_network_is_no_group_of_this_connection) {
    Facts facts = healthy();
    facts.security_groups[0].network = "other";
    EXPECT_THAT(faults_of(facts), ElementsAre("security-group-other-network"));
}

TEST(NetworkCheck, the_data_source_needs_a_route_and_an_outbound_rule) {
    Facts facts = healthy();
    facts.route_tables[0].routes.push_back({range("10.7.0.0/16"), TargetKind::Peering, "peer", false});
    Demand wanted = demand();
    wanted.data_source = base::HostPort{"10.7.0.5", 3306};
    EXPECT_THAT(faults_of(facts, wanted), ElementsAre("source-peering-broken"));
    facts.peerings = {{"peer", {"main", "other"}, "active"}};
    EXPECT_THAT(faults_of(facts, wanted), IsEmpty());
    facts.route_tables[0].routes.back().blackhole = true;
    EXPECT_THAT(faults_of(facts, wanted), ElementsAre("source-route-blackholed"));
    wanted.data_source->host = "orders.cluster.lab";
    EXPECT_THAT(faults_of(facts, wanted), ElementsAre("source-unresolved"));
    facts.security_groups[0].egress[0] = {"tcp", 443, 443, "", range("0.0.0.0/0")};
    EXPECT_THAT(faults_of(facts), ElementsAre("nodes-talk-partly", "source-egress-blocked"));
}

TEST(NetworkCheck, old_facts_are_said_to_be_stale) {
    const Facts facts = healthy();
    EXPECT_THAT(names(check(facts, demand(), facts.read_at + facts_age_max + 1s)), ElementsAre("facts-stale"));
}

TEST(Routes, the_longest_prefix_wins) {
    RouteTable table;
    table.routes = {{range("0.0.0.0/0"), TargetKind::Internet, "internet", false},
                    {range("10.0.0.0/8"), TargetKind::Peering, "far", false},
                    {range("10.1.0.0/16"), TargetKind::Local, "local", false}};
    Facts facts;
    facts.route_tables = {table};
    facts.route_tables[0].network = "main";
    facts.route_tables[0].main = true;
    facts.subnets = {{"data-a", "main", "a", range("10.1.0.0/24"), "available", 1}};
    const Index index(facts);
    const Table& sorted = *index.place("data-a")->table;
    EXPECT_EQ(sorted.to(*parse_address("10.1.2.3"))->target, "local");
    EXPECT_EQ(sorted.to(*parse_address("10.2.2.3"))->target, "far");
    EXPECT_EQ(sorted.to(*parse_address("8.8.8.8"))->target, "internet");
    EXPECT_EQ(sorted.default_route()->target, "internet");
}

TEST(Ranges, only_whole_ranges_are_read) {
    for (const char* text : {"10.0.0.0", "10.0.0/8", "10.0.0.256/8", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "",
                             "010.0.0.0/8", "10.0.0.0/8 "})
        EXPECT_FALSE(parse_range(text)) << text;
    EXPECT_EQ(parse_range("10.0.0.0/8")->text(), "10.0.0.0/8");
    EXPECT_TRUE(range("0.0.0.0/0").contains(range("10.0.0.0/8")));
}

TEST(FaultCatalogue, codes_and_names_are_unique_and_complete) {
    std::set<std::string> codes, kinds;
    for (const FaultKind& kind : fault_catalogue()) {
        EXPECT_TRUE(codes.insert(kind.code).second) << kind.code;
        EXPECT_TRUE(kinds.insert(kind.name).second) << kind.name;
        EXPECT_EQ(&kind_of(kind.id), &kind);
        EXPECT_GT(std::string(kind.remedy).size(), 10u) << kind.code;
    }
    EXPECT_TRUE(std::is_sorted(fault_catalogue().begin(), fault_catalogue().end(), [](const auto& a, const auto& b) {
        return std::string_view(a.code) < std::string_view(b.code);
    }));
}

// SIGNALBOX_WRITE_DOCS=1 writes the page instead.
TEST(FaultCatalogue, the_reference_page_is_the_catalogue) {
    const char* path = "docs/reference/faults.md";
    if (std::getenv("SIGNALBOX_WRITE_DOCS") != nullptr) std::ofstream(path) << faults_page();
    const auto page = base::read_file(path, 1 << 20);
    ASSERT_TRUE(page) << page.error().text();
    EXPECT_EQ(*page, faults_page()) << "write it anew: SIGNALBOX_WRITE_DOCS=1 unit_network";
}

}  // namespace
}  // namespace signalbox::network
