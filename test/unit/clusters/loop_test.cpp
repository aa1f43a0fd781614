#include <algorithm>
#include <gtest/gtest.h>

#include "engine/cluster_loop.hpp"
#include "unit/clusters/bench.hpp"

namespace signalbox::engine {
namespace {

using base::MonoTime;
using namespace std::chrono_literals;
using clusters::reader;
using clusters::writer;

// Ports that write down what they were asked.
struct World final : ports::EpochStore, ports::Journal, ports::MemberProbes, ports::WriterRoutes, ports::SessionKiller {
    base::Result<std::optional<ports::EpochRecord>> load(const std::string&) override { return record; }
    base::Status store(const std::string&, const ports::EpochRecord& one, const ports::JournalEntry& entry) override {
        record = one;
        kinds.push_back(entry.kind);
        calls.push_back(fmt::format("store {} {} {}", one.epoch, one.member, one.active));
        return {};
    }
    base::Status store_position(const std::string&, std::uint64_t, const std::string& position) override {
        record->position = position;
        return {};
    }
    base::Result<std::int64_t> append(const ports::JournalEntry& entry, ports::Durability) override {
        kinds.push_back(entry.kind);
        entries.push_back(entry);
        return 1;
    }
    base::Result<std::vector<ports::JournalEntry>> read(const ports::JournalQuery&) override {
        return std::vector<ports::JournalEntry>{};
    }
    void set_cadence(const std::string&, const std::string& member, base::Duration interval, base::Duration) override {
        cadence[member] = interval;
    }
    void wake(const std::string&) override { ++wakes; }
    void configure(const clusters::ClusterConfig&) override {}
    void set_readers(const std::string&, const std::string&,
                     const std::vector<routing::ReaderTarget>& targets) override {
        readers.clear();
        for (const auto& target : targets) readers += (readers.empty() ? "" : " ") + target.member;
    }
    std::uint64_t writer_sessions(const std::string&) const override { return 0; }
    void hold(const std::string&, std::uint64_t) override { calls.emplace_back("hold"); }
    void fence(const std::string&, std::uint64_t epoch) override { calls.push_back(fmt::format("fence {}", epoch)); }
    void route(const std::string&, std::uint64_t epoch, const std::string&, const base::HostPort& address) override {
        calls.push_back(fmt::format("route {} {}", epoch, address.text()));
    }
    void kill(const std::string&, std::uint64_t, const std::string& member,
              const std::vector<clusters::ServerSession>& ids, base::Duration) override {
        calls.push_back(fmt::format("kill {} {}", member, ids.size()));
    }
    std::optional<ports::EpochRecord> record;
    std::vector<std::string> calls, kinds;
    std::vector<ports::JournalEntry> entries;
    std::string readers;
    std::map<std::string, base::Duration> cadence;
    int wakes = 0;
};

class Loop : public ::testing::Test {
  protected:
    void tell(int member, std::variant<clusters::Evidence, clusters::ProbeFailure> result) {
        clusters::Observation observation;
        observation.cluster = "orders";
        observation.member = std::string(1, static_cast<char>('a' + member));
        observation.sequence = ++sequence;
        observation.sent_at = now - 1ms;
        observation.completed_at = now;
        observation.result = std::move(result);
        give(observation);
    }
    void give(const ClusterEvent& event) { loop.handle(event, now, base::WallTime(now.time_since_epoch())); }
    void follow_a() {
        loop.start(now, base::WallTime(now.time_since_epoch()));
        tell(1, reader(1, 0));
        tell(2, reader(2, 0));
        tell(0, writer(0));
        give(ports::BarrierDone{"orders", 1, {}});
        world.calls.clear();
    }
    World world;
    ClusterLoop loop{clusters::three_members(), {world, world, world, world, world}};
    MonoTime now{MonoTime(10s)};
    std::uint64_t sequence = 0;
};

TEST_F(Loop, a_failover_is_executed_in_order_and_leaves_its_timeline) {
    follow_a();
    ASSERT_EQ(loop.writer(), "a");
    EXPECT_EQ(world.cadence["b"], base::Duration(50ms));
    now += 10ms;
    tell(0, clusters::ProbeFailure{clusters::ProbeFailureKind::Refused, 2003, ""});
    EXPECT_EQ(world.cadence["b"], base::Duration(10ms));
    tell(2, reader(2, 0, "0-1-100", false));
    now += 20ms;
    tell(1, writer(1));
    now += 3ms;
    give(ports::BarrierDone{"orders", 2, {5, {{"a", {{1, {}}, {2, {}}}}}, {}}});
    EXPECT_EQ(world.calls, (std::vector<std::string>{"hold", "store 2 b false", "fence 2", "store 2 b true",
                                                     "route 2 10.0.0.2:3306"}));
    ASSERT_EQ(loop.failovers().size(), 2U);
    const base::json::object failover = loop.failovers().back().to_json();
    EXPECT_EQ(failover.at("from").as_string(), "a");
    EXPECT_EQ(failover.at("intent_ms").as_double(), 20.0);
    EXPECT_EQ(failover.at("routed_ms").as_double(), 23.0);
    EXPECT_EQ(failover.at("sessions_closed").to_number<int>(), 5);
    EXPECT_EQ(failover.at("fence").as_string(), "traffic-fenced only");
}

TEST_F(Loop, events_of_another_cluster_and_of_older_epochs_change_nothing) {
    follow_a();
    now += 10ms;
    clusters::Observation other;
    other.cluster = "others";
    other.member = "a";
    other.sequence = 1000;
    other.result = clusters::ProbeFailure{};
    give(other);
    give(ports::BarrierDone{"orders", 1, {}});
    give(ports::SessionsKilled{"orders", 1, "a", 1, 0, {}});
    EXPECT_EQ(loop.writer(), "a");
    EXPECT_TRUE(world.calls.empty());
}

TEST_F(Loop, the_status_tells_every_reason_of_every_member) {
    follow_a();
    const base::json::object status = loop.status(now);
    EXPECT_EQ(status.at("state").as_string(), "following");
    EXPECT_EQ(status.at("epoch").to_number<int>(), 1);
    EXPECT_EQ(status.at("hold_since"), base::json::value());
    const auto& members = status.at("members").as_array();
    ASSERT_EQ(members.size(), 3U);
    EXPECT_EQ(members[0].as_object().at("role").as_string(), "writer");
    EXPECT_EQ(members[1].as_object().at("role").as_string(), "reader");
    const std::string reasons = base::json::serialize(members[1].as_object().at("reasons"));
    EXPECT_NE(reasons.find("says read_only"), std::string::npos);
    EXPECT_NE(reasons.find("replicates from 10.0.0.1:3306"), std::string::npos);
}

TEST_F(Loop, a_restart_goes_on_in_the_recorded_epoch) {
    world.record = ports::EpochRecord{4, "a", true, "0-1-90"};
    follow_a();
    EXPECT_EQ(loop.epoch(), 4U);
    EXPECT_EQ(world.record->epoch, 4U);
}

TEST_F(Loop, an_event_wakes_the_probes_and_is_journaled_with_what_it_led_to) {
    follow_a();
    world.kinds.clear();
    give(ports::ExternalEvent{"orders", "webhook", "7", "failover", "b is the writer"});
    EXPECT_EQ(world.wakes, 1);
    EXPECT_EQ(world.kinds, std::vector<std::string>{"event"});
    now += 10ms;
    tell(0, writer(0));
    tell(1, reader(1, 0));
    EXPECT_EQ(world.kinds.size(), 1U);
    tell(2, reader(2, 0));
    ASSERT_EQ(world.kinds.back(), "event-outcome");
    EXPECT_EQ(world.entries.back().data.at("outcome").as_string(), "nothing changed");
    EXPECT_EQ(loop.writer(), "a");
}

TEST_F(Loop, a_flood_of_events_is_counted_not_recorded) {
    follow_a();
    world.kinds.clear();
    for (int i = 0; i < 1000; ++i) give(ports::ExternalEvent{"orders", "webhook", std::to_string(i), "x", ""});
    EXPECT_EQ(world.wakes, 20);
    EXPECT_EQ(world.kinds.size(), 20U);
    now += 2s;
    give(Tick{});
    EXPECT_EQ(std::count(world.kinds.begin(), world.kinds.end(), "events-not-recorded"), 1);
    EXPECT_EQ(std::count(world.kinds.begin(), world.kinds.end(), "event-outcome"), 20);
}

TEST_F(Loop, reader_endpoints_get_the_readers_and_lose_one_that_becomes_the_writer) {
    follow_a();
    routing::EndpointConfig reads;
    reads.name = "reads";
    reads.cluster = "orders";
    reads.role = routing::Role::Reader;
    reads.reader.max_lag.reset();
    loop.set_endpoints({reads}, now);
    EXPECT_EQ(world.readers, "b c");
    now += 10ms;
    tell(0, clusters::ProbeFailure{clusters::ProbeFailureKind::Refused, 2003, ""});
    tell(2, reader(2, 0, "0-1-100", false));
    tell(1, writer(1));
    EXPECT_EQ(world.readers, "c");
    tell(2, clusters::ProbeFailure{clusters::ProbeFailureKind::Refused, 2003, ""});
    EXPECT_EQ(world.readers, "");
}

TEST_F(Loop, a_switchover_without_a_hook_is_refused) {
    follow_a();
    const auto status = loop.switchover({"orders", "b"}, now, base::WallTime(now.time_since_epoch()));
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().kind, base::ErrorKind::NotSupported);
}

TEST_F(Loop, a_hint_wakes_the_probes) {
    follow_a();
    give(ports::TrafficHint{"orders", "a", 1290});
    EXPECT_EQ(world.wakes, 1);
    EXPECT_TRUE(world.calls.empty());
}

}  // namespace
}  // namespace signalbox::engine
