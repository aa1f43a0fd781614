// The lab's small parts: addresses, GTIDs, names, events, and processes as process 1 starts them.

#include <gmock/gmock.h>
#include <ldns/ldns.h>
#include <thread>

#include "lab/events.hpp"
#include "lab/gtid.hpp"
#include "lab/ipv4.hpp"
#include "lab/resolver.hpp"
#include "lab/sys.hpp"

namespace signalbox::lab {
namespace {

using namespace std::chrono_literals;

TEST(LabAddresses, a_range_has_no_bits_behind_its_prefix) {
    EXPECT_TRUE(parse_cidr("10.0.1.0/24"));
    EXPECT_FALSE(parse_cidr("10.0.1.1/24"));
    EXPECT_FALSE(parse_cidr("10.0.1.0"));
    EXPECT_FALSE(parse_cidr("10.0.1.0/33"));
    EXPECT_FALSE(parse_cidr("10.0.256.0/24"));
    EXPECT_EQ(parse_cidr("0.0.0.0/0")->last(), 0xffffffffu);
}

TEST(LabAddresses, a_subnet_keeps_five_addresses_as_a_cloud_does) {
    EXPECT_EQ(usable_count(*parse_cidr("10.0.1.0/24")), 251u);
    EXPECT_EQ(usable_count(*parse_cidr("10.0.1.0/28")), 11u);
    EXPECT_EQ(ipv4_text(first_usable(*parse_cidr("10.0.1.0/28"))), "10.0.1.4");
    EXPECT_EQ(ipv4_text(last_usable(*parse_cidr("10.0.1.0/28"))), "10.0.1.14");
}

TEST(LabGtid, a_position_covers_what_is_not_later_in_any_domain) {
    const auto at = [](const char* text) { return *parse_gtid_position(text); };
    EXPECT_TRUE(at("0-1-57").covers(at("0-2-57")));
    EXPECT_TRUE(at("0-1-57").covers(at("")));
    EXPECT_FALSE(at("").covers(at("0-1-1")));
    EXPECT_FALSE(at("0-1-57,1-1-3").covers(at("0-1-50,1-1-4")));
    EXPECT_FALSE(parse_gtid_position("0-1"));
    EXPECT_FALSE(parse_gtid_position("0-1-x"));
}

// Equal sequence numbers of different servers are different transactions: a position alone would not see it.
TEST(LabGtid, a_state_with_another_servers_transaction_is_not_contained) {
    const auto of = [](const char* text) { return *GtidState::parse(text); };
    EXPECT_TRUE(of("0-1-57,0-2-60").contains(of("0-1-57")));
    EXPECT_FALSE(of("0-1-57,0-2-60").contains(of("0-1-58")));
    EXPECT_FALSE(of("0-2-60").contains(of("0-1-5")));
}

TEST(LabNames, an_alias_answers_with_the_address_of_its_target) {
    Names names;
    names.set_address("orders-1.lab", *parse_ipv4("10.0.1.5"));
    names.set_alias("orders.cluster.lab", "orders-1.lab");
    const auto found = names.look_up("orders.cluster.lab");
    EXPECT_EQ(found.alias, "orders-1.lab");
    EXPECT_EQ(found.address, parse_ipv4("10.0.1.5"));
    EXPECT_FALSE(names.look_up("orders.lab").exists);
}

std::vector<std::uint8_t> query_for(const char* name, ldns_rr_type type) {
    ldns_pkt* packet = ldns_pkt_query_new(ldns_dname_new_frm_str(name), type, LDNS_RR_CLASS_IN, LDNS_RD);
    std::uint8_t* wire = nullptr;
    std::size_t size = 0;
    ldns_pkt2wire(&wire, packet, &size);
    std::vector<std::uint8_t> bytes(wire, wire + size);
    free(wire);
    ldns_pkt_free(packet);
    return bytes;
}

struct DnsReply {
    int rcode = -1;
    std::size_t answers = 0;
    std::uint32_t ttl = 0;
};

DnsReply ask(const Names& names, const char* name, ldns_rr_type type) {
    const auto query = query_for(name, type);
    const auto bytes = answer_dns(names, query.data(), query.size());
    ldns_pkt* packet = nullptr;
    if (ldns_wire2pkt(&packet, bytes.data(), bytes.size()) != LDNS_STATUS_OK) return {};
    DnsReply reply{ldns_pkt_get_rcode(packet), ldns_pkt_ancount(packet), 0};
    if (reply.answers > 0) reply.ttl = ldns_rr_ttl(ldns_rr_list_rr(ldns_pkt_answer(packet), 0));
    ldns_pkt_free(packet);
    return reply;
}

TEST(LabResolver, answers_its_zone_with_five_seconds_and_refuses_the_rest) {
    Names names;
    names.set_address("orders-1.lab", *parse_ipv4("10.0.1.5"));
    names.set_alias("orders.cluster.lab", "orders-1.lab");
    EXPECT_EQ(ask(names, "orders.cluster.lab.", LDNS_RR_TYPE_A).answers, 2u);
    EXPECT_EQ(ask(names, "ORDERS.Cluster.LAB.", LDNS_RR_TYPE_CNAME).answers, 1u);
    EXPECT_EQ(ask(names, "orders.cluster.lab.", LDNS_RR_TYPE_A).ttl, 5u);
    EXPECT_EQ(ask(names, "nobody.lab.", LDNS_RR_TYPE_A).rcode, LDNS_RCODE_NXDOMAIN);
    const auto empty = ask(names, "orders-1.lab.", LDNS_RR_TYPE_AAAA);
    EXPECT_EQ(empty.rcode, LDNS_RCODE_NOERROR);
    EXPECT_EQ(empty.answers, 0u);
    EXPECT_EQ(ask(names, "example.org.", LDNS_RR_TYPE_A).rcode, LDNS_RCODE_REFUSED);
}

TEST(LabResolver, bytes_that_are_no_query_get_no_answer) {
    const Names names;
    const auto query = query_for("orders.cluster.lab.", LDNS_RR_TYPE_A);
    for (std::size_t size = 0; size < 12; ++size) EXPECT_TRUE(answer_dns(names, query.data(), size).empty());
    auto response = query;
    response[2] |= 0x80;
    EXPECT_TRUE(answer_dns(names, response.data(), response.size()).empty());
}

TEST(LabEvents, a_listener_gets_what_is_new_and_waits_no_longer_than_it_said) {
    Events events;
    EXPECT_TRUE(events.after(0, 10ms).empty());
    std::thread later([&] {
        std::this_thread::sleep_for(50ms);
        events.add("orders", "failover-started", "x");
    });
    const auto first = events.after(0, 5s);
    later.join();
    ASSERT_EQ(first.size(), 1u);
    EXPECT_EQ(first[0].at("sequence"), 1);
    EXPECT_TRUE(events.after(1, 0ms).empty());
}

TEST(LabProcesses, a_program_that_does_not_exist_is_an_error_and_not_a_silent_child) {
    Reaper reaper;
    const auto pid = reaper.spawn({.argv = {"/no/such/program"}, .environment = {}}, [](Exit) {});
    ASSERT_FALSE(pid);
    EXPECT_EQ(pid.error().kind, base::ErrorKind::NotFound);
}

TEST(LabProcesses, output_and_failure_of_a_helper_come_back) {
    Reaper reaper;
    const SpawnOptions cat{.argv = {"cat"}, .environment = default_environment()};
    const std::string large(300'000, 'x');
    EXPECT_EQ(reaper.run(cat, large, 10s).value(), large);
    const SpawnOptions bad{.argv = {"sh", "-c", "echo why >&2; exit 3"}, .environment = default_environment()};
    const auto failed = reaper.run(bad, "", 10s);
    ASSERT_FALSE(failed);
    EXPECT_THAT(failed.error().text(), testing::HasSubstr("exit status 3: why"));
    const SpawnOptions slow{.argv = {"sleep", "100"}, .environment = default_environment()};
    EXPECT_EQ(reaper.run(slow, "", 100ms).error().kind, base::ErrorKind::Timeout);
}

}  // namespace
}  // namespace signalbox::lab
