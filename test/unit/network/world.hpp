#pragma once
// Networks for tests: one pair that is right in every way, and random ones, right or wrong, by seed.

#include <string>
#include <vector>

#include "base/prng.hpp"
#include "domain/network/check.hpp"

namespace signalbox::network::testing_world {

inline Range range(const char* text) { return *parse_range(text); }
inline std::uint32_t address(const char* text) { return *parse_address(text); }
inline Range everywhere() { return {}; }

// Two peered networks over two zones. Nodes of data-a and data-b with group jobs reach the database in either network
// (10.0.2.9 and 10.7.1.9, port 3306) and the internet.
inline Facts healthy_pair() {
    Facts facts;
    facts.zones = {{"a", "available"}, {"b", "available"}};
    facts.networks = {{"main", range("10.0.0.0/16"), "available"}, {"other", range("10.7.0.0/16"), "available"}};
    facts.subnets = {{"data-a", "main", "a", range("10.0.1.0/24"), "available", 250},
                     {"data-b", "main", "b", range("10.0.2.0/24"), "available", 250},
                     {"public-a", "main", "a", range("10.0.9.0/24"), "available", 250},
                     {"far-b", "other", "b", range("10.7.1.0/24"), "available", 250}};
    const Route local{range("10.0.0.0/16"), TargetKind::Local, "local", false};
    const Route out{everywhere(), TargetKind::Nat, "nat-a", false};
    const Route peer{range("10.7.0.0/16"), TargetKind::Peering, "peer", false};
    facts.route_tables = {
        {"rt-a", "main", false, {"data-a"}, {local, peer, out}},
        {"rt-main", "main", true, {}, {local, peer, {everywhere(), TargetKind::Internet, "igw", false}}},
        {"rt-far",
         "other",
         true,
         {},
         {{range("10.7.0.0/16"), TargetKind::Local, "local", false},
          {range("10.0.0.0/16"), TargetKind::Peering, "peer", false},
          {everywhere(), TargetKind::Internet, "igw-other", false}}}};
    facts.nat_gateways = {{"nat-a", "public-a", "a", "available"}};
    facts.internet_gateways = {{"igw", "main", "available"}, {"igw-other", "other", "available"}};
    facts.peerings = {{"peer", {"main", "other"}, "active"}};
    const Rule all_out{"all", 0, 65535, "", everywhere()};
    facts.security_groups = {{"jobs", "main", {{"tcp", 0, 65535, "jobs", {}}}, {all_out}},
                             {"db", "main", {{"tcp", 3306, 3306, "jobs", {}}}, {all_out}},
                             {"far-db", "other", {{"tcp", 3306, 3306, "", range("10.0.0.0/16")}}, {all_out}}};
    const AclEntry all{100, true, "all", 0, 65535, everywhere()};
    facts.network_acls = {{"acl-main", "main", true, {}, {all}, {all}},
                          {"acl-a", "main", false, {"data-a"}, {all}, {all}},
                          {"acl-other", "other", true, {}, {all}, {all}}};
    facts.interfaces = {{"db-1", address("10.0.2.9"), "data-b", {"db"}, "", "in-use"},
                        {"far-db-1", address("10.7.1.9"), "far-b", {"far-db"}, "", "in-use"}};
    facts.interfaces_known = true;
    return facts;
}

inline Demand demand_of(std::vector<Source> sources = {}, const char* subnet = "data-a") {
    return {subnet, {"jobs"}, {}, 3, 0, std::move(sources)};
}

inline std::vector<std::string> names_of(const std::vector<base::Fault>& faults) {
    std::vector<std::string> names;
    for (const base::Fault& fault : faults) names.push_back(fault.name);
    return names;
}

}  // namespace signalbox::network::testing_world
