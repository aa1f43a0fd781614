// Members that nobody configured: how they come and go.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "domain/clusters/address.hpp"
#include "unit/clusters/bench.hpp"

namespace signalbox::clusters {
namespace {

ClusterConfig discovering() {
    ClusterConfig config = three_members();
    config.members.resize(1);
    config.discover = true;
    return config;
}

Evidence with_replicas(std::vector<AttachedReplica> replicas) {
    Evidence evidence = writer(0);
    evidence.replicas = std::move(replicas);
    return evidence;
}

std::vector<std::string> names_of(const Machine& machine) {
    std::vector<std::string> names;
    for (const MemberView& member : machine.members()) names.push_back(member.config.name);
    return names;
}

Bench with_b_found() {
    Bench bench({}, discovering());
    bench.load();
    bench.tell(0, with_replicas({{"b", {"10.0.0.2", 0}}}));
    bench.now += 10ms;
    bench.tell(0, with_replicas({{"b", {"10.0.0.2", 0}}}));
    return bench;
}

TEST(Discovery, a_replica_of_the_proven_writer_becomes_a_member_and_is_probed) {
    Bench bench = with_b_found();
    EXPECT_EQ(names_of(bench.machine), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(bench.machine.members()[1].config.address.text(), "10.0.0.2:3306");
    EXPECT_EQ(bench.all<action::Configure>().size(), 1U);
    EXPECT_EQ(bench.machine.config().members.size(), 2U);
    EXPECT_TRUE(bench.machine.discovered("b"));
    EXPECT_EQ(bench.machine.state(), State::Following);
    bench.now += 10ms;
    bench.tell(1, reader(1, 0));
    bench.fail(0, ProbeFailureKind::Refused);
    bench.tell(1, writer(1));
    EXPECT_EQ(bench.routed(), "b");
}

TEST(Discovery, a_replica_that_is_listed_no_more_leaves_after_a_minute) {
    Bench bench = with_b_found();
    for (int second = 0; second < 59; ++second) {
        bench.now += 1s;
        bench.tell(0, writer(0));
    }
    EXPECT_EQ(bench.machine.members().size(), 2U);
    bench.now += 2s;
    bench.tell(0, writer(0));
    bench.now += 1s;
    bench.tell(0, writer(0));
    EXPECT_EQ(names_of(bench.machine), std::vector<std::string>{"a"});
    EXPECT_TRUE(bench.recorded("member-removed"));
    EXPECT_EQ(bench.machine.state(), State::Following);
}

TEST(Discovery, a_discovered_member_stays_while_it_is_the_writer_and_configured_ones_for_ever) {
    Bench bench = with_b_found();
    bench.now += 10ms;
    bench.tell(1, reader(1, 0));
    bench.fail(0, ProbeFailureKind::Refused);
    bench.tell(1, writer(1));
    ASSERT_EQ(bench.routed(), "b");
    for (int second = 0; second < 200; ++second) {
        bench.now += 1s;
        bench.tell(1, writer(1));
    }
    EXPECT_EQ(names_of(bench.machine), (std::vector<std::string>{"a", "b"}));
}

TEST(Discovery, while_there_is_no_writer_nobody_leaves) {
    Bench bench = with_b_found();
    for (int second = 0; second < 200; ++second) {
        bench.now += 1s;
        bench.fail(0, ProbeFailureKind::Refused);
        bench.fail(1, ProbeFailureKind::Refused);
    }
    EXPECT_EQ(bench.machine.members().size(), 2U);
}

TEST(Discovery, after_a_restart_those_who_receive_from_the_recorded_writer_say_where_it_is) {
    Bench bench({}, discovering());
    bench.load(EpochFacts{3, "c", true, "0-1-100", ""});
    bench.tell(0, reader(0, 2));
    EXPECT_EQ(names_of(bench.machine), (std::vector<std::string>{"a", "c"}));
    bench.now += 10ms;
    bench.tell(2, writer(2));
    bench.tell(0, reader(0, 2));
    EXPECT_EQ(bench.routed(), "c");
    EXPECT_EQ(bench.machine.epoch(), 3U);
    // While a writer is proven a source is nobody's business.
    Evidence upstream = reader(0, 7);
    upstream.sources[0].address = {"10.0.0.8", 3306};
    bench.now += 10ms;
    bench.tell(0, upstream);
    EXPECT_EQ(bench.machine.members().size(), 2U);
}

TEST(Discovery, rows_of_the_newest_topology_name_members) {
    ClusterConfig config = discovering();
    config.topology.query = "SELECT …";
    Bench bench({}, config);
    bench.load();
    Evidence evidence = writer(0);
    evidence.topology = {{"a", true, 100, {}, {"10.0.0.1", 3306}},
                         {"b", false, 100, {}, {"10.0.0.2", 3307}},
                         {"not a name!", false, 100, {}, {"fd00::7", 3306}},
                         {"host", false, 100, {}, {"db.example.org", 3306}},
                         {"none", false, 100, {}, {}}};
    bench.tell(0, evidence);
    EXPECT_EQ(names_of(bench.machine), (std::vector<std::string>{"a", "b", "fd00--7"}));
    EXPECT_EQ(bench.machine.members()[1].config.address.port, 3307);
}

TEST(Discovery, a_reload_keeps_what_was_found_unless_it_is_configured_now_or_discovery_is_off) {
    Bench bench = with_b_found();
    bench.machine.reconfigure(discovering(), bench.now);
    EXPECT_TRUE(bench.machine.discovered("b"));
    ClusterConfig named = discovering();
    named.members.push_back({"bee", {"10.0.0.2", 3306}});
    bench.machine.reconfigure(named, bench.now);
    EXPECT_EQ(names_of(bench.machine), (std::vector<std::string>{"a", "bee"}));
    EXPECT_FALSE(bench.machine.discovered("bee"));
    ClusterConfig off = discovering();
    off.discover = false;
    Bench other = with_b_found();
    other.machine.reconfigure(off, other.now);
    EXPECT_EQ(names_of(other.machine), std::vector<std::string>{"a"});
}

TEST(Guards, only_well_formed_addresses_and_not_more_than_the_bound_become_members) {
    const auto count = [](Rules rules) {
        Bench bench(rules, discovering());
        bench.load();
        bench.tell(0, writer(0));
        std::vector<AttachedReplica> replicas{{"evil", {"attacker.example.org", 3306}}, {"zero", {"0.0.0.0", 3306}}};
        for (int i = 0; i < 100; ++i) replicas.push_back({"", {fmt::format("10.0.1.{}", i), 3306}});
        bench.tell(0, with_replicas(replicas));
        return bench.machine.members().size();
    };
    EXPECT_EQ(count({}), members_max);
    EXPECT_GT(count(Rules::without(Guard::DiscoveredByAddress)), members_max);
}

TEST(MemberAddress, is_an_ip_address_of_a_host) {
    for (const char* good : {"10.0.0.1", "127.0.0.1", "223.255.255.255", "::1", "fd00::7", "1:2:3:4:5:6:7:8",
                             "::ffff:10.0.0.1", "1::", "fe80::1"}) {
        EXPECT_TRUE(is_member_address(good)) << good;
    }
    for (const char* bad : {"",
                            "10.0.0",
                            "10.0.0.256",
                            "010.0.0.1",
                            "0.0.0.0",
                            "224.0.0.1",
                            "255.255.255.255",
                            "::",
                            "ff02::1",
                            "1:2:3:4:5:6:7",
                            "1:2:3:4:5:6:7:8:9",
                            "1::2::3",
                            "fe80::1%eth0",
                            "::12345",
                            "localhost",
                            "10.0.0.1 ",
                            "1:2:3:4:5:6:7:10.0.0.1",
                            ":1:2:3:4:5:6:7",
                            "1:::2",
                            "10.0.0.+1"}) {
        EXPECT_FALSE(is_member_address(bad)) << bad;
    }
}

}  // namespace
}  // namespace signalbox::clusters
