#include "domain/jobs/addresses.hpp"

#include <gmock/gmock.h>

#include "base/prng.hpp"
#include "decision_values.hpp"

namespace signalbox::jobs {
namespace {

using namespace std::chrono_literals;
using testing::IsEmpty;
using testing::SizeIs;

const std::vector<std::string> tokens = {"r-0", "r-1"};

AddressLedger reserved() {
    AddressLedger ledger;
    ledger.reserve("r", "s", tokens, t0);
    return ledger;
}

NodeSeen node(const std::string& token, std::optional<base::WallTime> started = std::nullopt,
              std::optional<base::WallTime> ended = std::nullopt) {
    return {token, "10.0.0." + token.substr(2), false, started, ended};
}

InterfaceSeen interface(const std::string& token) { return {token, "10.0.0." + token.substr(2), "s"}; }

TEST(Addresses, a_decision_reserves_one_for_each_node_once) {
    AddressLedger ledger = reserved();
    EXPECT_EQ(ledger.reserved("s"), 2u);
    EXPECT_EQ(ledger.reserved("other"), 0u);
    ledger.reserve("r", "s", tokens, t0 + 1s);
    EXPECT_EQ(ledger.reserved("s"), 2u);
}

TEST(Addresses, a_reservation_ends_when_facts_read_after_the_start_have_its_interface) {
    const std::vector started = {node("r-0", t0 + 10s), node("r-1")};
    AddressLedger ledger = reserved();
    ledger.settle(started, {}, t0 + 60s);
    EXPECT_EQ(ledger.reserved("s"), 2u) << "started, but the provider lists it late";
    const std::vector seen = {interface("r-0")};
    ledger.settle(started, seen, t0 + 9s);
    EXPECT_EQ(ledger.reserved("s"), 2u) << "facts from before the start may not count its address yet";
    ledger.settle(started, seen, t0 + 10s);
    EXPECT_EQ(ledger.reserved("s"), 1u);
    EXPECT_EQ(ledger.rows()[0].kind, AddressKind::Held);
    EXPECT_EQ(ledger.rows()[0].address, "10.0.0.0");
}

TEST(Addresses, what_another_process_saw_taken_in_newer_facts_is_not_free_in_older_ones) {
    AddressLedger ledger = reserved();
    const std::vector started = {node("r-0", t0 + 1s), node("r-1", t0 + 1s)};
    const std::vector seen = {interface("r-0"), interface("r-1")};
    ledger.settle(started, seen, t0 + 2s);
    EXPECT_EQ(ledger.reserved("s"), 0u);
    AddressLedger others(ledger.rows(), ledger.memory());
    others.settle(started, {}, t0 + 1500ms);
    EXPECT_EQ(others.reserved("s"), 2u) << "the older count of free addresses still has them";
    others.settle(started, seen, t0 + 2s);
    EXPECT_EQ(others.reserved("s"), 0u);
    const std::vector ended = {node("r-0", t0 + 1s, t0 + 3s), node("r-1", t0 + 1s)};
    others.settle(ended, seen, t0 + 4s);
    AddressLedger late(others.rows(), others.memory());
    late.settle(ended, {}, t0 + 500ms);
    EXPECT_EQ(late.reserved("s"), 2u) << "one lingers now, and facts from before its start count it as free";
}

TEST(Addresses, an_interface_without_a_token_is_known_by_its_address) {
    AddressLedger ledger = reserved();
    const std::vector started = {node("r-0", t0), node("r-1", t0)};
    const std::vector<InterfaceSeen> seen = {{"", "10.0.0.0", "s"}, {"", "10.0.0.1", "elsewhere"}};
    ledger.settle(started, seen, t0 + 1s);
    EXPECT_EQ(ledger.reserved("s"), 1u) << "the same address of another subnet is another one";
}

TEST(Addresses, a_node_that_is_dropped_gives_its_reservation_back) {
    AddressLedger ledger = reserved();
    NodeSeen dropped = node("r-0");
    dropped.dropped = true;
    ledger.settle(std::vector{dropped, node("r-1")}, {}, t0);
    EXPECT_EQ(ledger.reserved("s"), 1u);
    EXPECT_THAT(ledger.rows(), SizeIs(1));
    EXPECT_EQ(ledger.memory().view("s", t0).upper, 0s) << "what never was says nothing of lingering";
    ledger.settle({}, {}, t0);
    EXPECT_THAT(ledger.rows(), IsEmpty()) << "nobody knows its node any more";
}

TEST(Addresses, an_ended_nodes_interface_lingers_until_it_is_listed_no_more) {
    AddressLedger ledger = reserved();
    const std::vector seen = {interface("r-0"), interface("r-1")};
    ledger.settle(std::vector{node("r-0", t0), node("r-1", t0)}, seen, t0 + 1s);
    const std::vector ended = {node("r-0", t0, t0 + 60s), node("r-1", t0, t0 + 60s)};
    ledger.settle(ended, seen, t0 + 59s);
    EXPECT_EQ(ledger.coming_back("s", t0).addresses, 0u) << "facts from before its end say nothing of after";
    ledger.settle(ended, seen, t0 + 61s);
    EXPECT_EQ(ledger.coming_back("s", t0 + 61s).addresses, 2u);
    EXPECT_EQ(ledger.reserved("s"), 0u) << "the provider counts them as taken";
    EXPECT_FALSE(ledger.coming_back("s", t0 + 61s).at) << "nothing is known of how long";
    ledger.settle({}, std::vector{interface("r-1")}, t0 + 100s);
    EXPECT_EQ(ledger.coming_back("s", t0 + 100s).addresses, 1u);
    EXPECT_EQ(ledger.memory().view("s", t0 + 100s).mean, 40s);
    ledger.settle({}, {}, t0 + 120s);
    EXPECT_THAT(ledger.rows(), IsEmpty());
    EXPECT_EQ(ledger.memory().view("s", t0 + 120s).upper, 60s);
}

TEST(Addresses, what_started_and_ended_between_two_looks_is_settled_by_the_next) {
    AddressLedger ledger = reserved();
    const std::vector ended = {node("r-0", t0 + 1s, t0 + 2s), node("r-1", t0 + 1s, t0 + 2s)};
    ledger.settle(ended, {}, t0 + 1s);
    EXPECT_EQ(ledger.reserved("s"), 2u) << "those facts may not have counted it yet";
    ledger.settle(ended, std::vector{interface("r-1")}, t0 + 5s);
    EXPECT_EQ(ledger.reserved("s"), 0u);
    EXPECT_EQ(ledger.coming_back("s", t0 + 5s).addresses, 1u);
    EXPECT_EQ(ledger.memory().view("s", t0 + 5s).mean, 0s);
}

TEST(Addresses, an_interface_of_a_node_that_was_dropped_all_the_same_is_not_forgotten) {
    AddressLedger ledger = reserved();
    NodeSeen dropped = node("r-0");
    dropped.dropped = true;
    ledger.settle(std::vector{dropped}, std::vector{interface("r-0")}, t0 + 5s);
    EXPECT_EQ(ledger.coming_back("s", t0 + 5s).addresses, 1u);
}

TEST(Addresses, those_coming_back_are_expected_when_nine_of_ten_were_gone) {
    LingerMemory memory;
    for (int i = 1; i <= 10; ++i) memory.learn("s", i * 10s, t0);
    std::vector<AddressRow> rows = {{"x-0", "x", "s", AddressKind::Lingering, t0 + 5s, ""},
                                    {"x-1", "x", "s", AddressKind::Lingering, t0, ""}};
    const AddressLedger ledger(rows, memory);
    EXPECT_EQ(ledger.memory().view("s", t0).upper, 90s);
    EXPECT_EQ(ledger.memory().view("s", t0).mean, 55s);
    EXPECT_EQ(ledger.coming_back("s", t0 + 10s).at, t0 + 90s);
    EXPECT_EQ(ledger.coming_back("s", t0 + 91s).at, t0 + 95s);
    EXPECT_FALSE(ledger.coming_back("s", t0 + 96s).at) << "later than expected: no time is promised";
    EXPECT_EQ(ledger.coming_back("s", t0 + 96s).addresses, 2u);
}

TEST(LingerMemory, knows_nothing_at_first_and_follows_what_changes) {
    LingerMemory memory;
    EXPECT_EQ(memory.view("s", t0).mean, 0s);
    EXPECT_EQ(memory.view("s", t0).upper, 0s);
    for (int i = 0; i < 5; ++i) memory.learn("s", 1h, t0);
    for (int i = 0; i < 5; ++i) memory.learn("s", 1min, t0 + 36h);
    EXPECT_EQ(memory.view("s", t0 + 36h).upper, 1min) << "the hours before hardly count";
    EXPECT_EQ(memory.view("s", t0 + 1000h).upper, 1min) << "what was learned last stays known";
    EXPECT_EQ(memory.view("other", t0).upper, 0s);
}

TEST(LingerMemory, is_bounded_in_number_and_size) {
    LingerMemory memory;
    memory.learn("s", 1000h, t0);
    EXPECT_EQ(memory.view("s", t0).upper, LingerMemory::linger_max);
    memory.learn("neg", -5s, t0);
    EXPECT_EQ(memory.view("neg", t0).upper, 0s);
    for (std::size_t i = 0; i < LingerMemory::samples_max; ++i) memory.learn("s", 1s, t0);
    EXPECT_EQ(memory.view("s", t0).upper, 1s);
    EXPECT_THAT(memory.to_json().at("subnets").at("s").as_array(), SizeIs(LingerMemory::samples_max));
}

TEST(LingerMemory, survives_the_store_and_refuses_what_is_damaged) {
    LingerMemory memory;
    memory.learn("s", 61s, t0 + 1ns);
    memory.learn("t", 0s, t0);
    const auto value = base::parse_json(base::json::serialize(memory.to_json()));
    const auto back = LingerMemory::parse(*value);
    ASSERT_TRUE(back) << back.error().text();
    EXPECT_EQ(*back, memory);
    for (const char* text : {R"({})", R"([])", R"({"subnets": 3})", R"({"subnets": {"s": 3}})",
                             R"({"subnets": {"s": [3]}})", R"({"subnets": {"s": [{"at": "x", "lasted_ns": 1}]}})",
                             R"({"subnets": {"s": [{"at": "2026-01-01T00:00:00Z", "lasted_ns": -1}]}})"}) {
        const auto damaged = LingerMemory::parse(*base::parse_json(text));
        ASSERT_FALSE(damaged) << text;
        EXPECT_EQ(damaged.error().kind, base::ErrorKind::CorruptData);
    }
}

TEST(Addresses, kinds_have_names) {
    for (const AddressKind kind : {AddressKind::Starting, AddressKind::Held, AddressKind::Lingering})
        EXPECT_EQ(parse_address_kind(to_string(kind)), kind);
    EXPECT_FALSE(parse_address_kind("gone"));
}

// A provider with a fixed pool, looked at now and then; runs that start whenever the ledger says that there is room.
TEST(Addresses, no_run_is_promised_an_address_that_another_was_promised) {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        base::Prng prng(seed);
        const std::uint64_t pool = 10 + prng.below(20);
        AddressLedger ledger;
        std::map<std::string, NodeSeen> nodes;
        std::map<std::string, base::WallTime> interfaces;  // until when; far away while the node lives
        std::vector<InterfaceSeen> facts;
        std::uint64_t free_then = pool;
        base::WallTime facts_at = t0;
        const base::WallTime never = t0 + 1000h;
        int started = 0;
        for (int second = 0; second < 2000; ++second) {
            const base::WallTime now = t0 + second * 1s;
            std::erase_if(interfaces, [&](const auto& one) { return one.second <= now; });
            if (prng.chance(0.3)) {
                facts.clear();
                for (const auto& [token, until] : interfaces) facts.push_back({token, "", "s"});
                free_then = pool - interfaces.size();
                facts_at = now;
            }
            std::vector<NodeSeen> all;
            for (const auto& [token, one] : nodes) all.push_back(one);
            ledger.settle(all, facts, facts_at);
            std::erase_if(nodes, [](const auto& one) { return one.second.ended_at && false; });
            const std::uint64_t count = 1 + prng.below(4);
            if (free_then >= ledger.reserved("s") + count) {
                std::vector<std::string> wanted;
                for (std::uint64_t i = 0; i < count; ++i) wanted.push_back(fmt::format("{}-{}", second, i));
                ledger.reserve(std::to_string(second), "s", wanted, now);
                for (const std::string& token : wanted) nodes[token] = {token, "", false, {}, {}};
            }
            for (auto& [token, one] : nodes) {
                if (!one.started_at && prng.chance(0.2)) {
                    ASSERT_LT(interfaces.size(), pool) << "seed " << seed << ", second " << second;
                    one.started_at = now;
                    interfaces[token] = never;
                    ++started;
                } else if (one.started_at && !one.ended_at && prng.chance(0.05)) {
                    one.ended_at = now;
                    interfaces[token] = now + base::Duration(1s) * static_cast<int>(prng.below(40));
                }
            }
        }
        EXPECT_GT(started, 200) << "seed " << seed;
    }
}

}  // namespace
}  // namespace signalbox::jobs
