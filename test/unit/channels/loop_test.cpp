#include <cstdlib>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/mysql/channel.hpp"
#include "adapters/postgres/slots.hpp"
#include "adapters/sqlite/channel_store.hpp"
#include "engine/channel_loop.hpp"
#include "unit/channels/bench.hpp"

namespace signalbox::channels {
namespace {

using clusters::Engine;
using engine::judge;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Is = Verdict::Is;

TEST(Judge, mariadb_asks_for_the_newest_of_each_domain_under_its_own_server) {
    EXPECT_EQ(judge(Engine::MariaDb, "0-1-100", false, "0-1-120").is, Is::Contained);
    EXPECT_EQ(judge(Engine::MariaDb, "0-1-105,0-1-100", false, "0-1-103,0-2-110").missing, "0-1-105");
    EXPECT_EQ(judge(Engine::MariaDb, "0-2-105", false, "0-1-200").is, Is::Missing) << "another server's number";
    EXPECT_EQ(judge(Engine::MariaDb, "0-2-105,0-1-90", false, "0-2-105").is, Is::Contained)
        << "a cloned writer no longer knows the numbers of others";
}

TEST(Judge, other_channels_domains_do_not_count) {
    EXPECT_EQ(judge(Engine::MariaDb, "0-1-100,7-9-3", false, "0-1-120").missing, "7-9-3");
    EXPECT_EQ(judge(Engine::MariaDb, "0-1-100,7-9-3", true, "0-1-120").is, Is::Contained);
}

TEST(Judge, mysql_asks_for_the_whole_set) {
    const std::string a = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    EXPECT_EQ(judge(Engine::MySql, a + ":1-5,\n" + a + ":6", false, a + ":1-9").is, Is::Contained);
    EXPECT_EQ(judge(Engine::MySql, a + ":1-11", false, a + ":1-9").missing, a + ":10-11");
}

TEST(Judge, postgres_asks_where_the_timeline_ended) {
    EXPECT_EQ(judge(Engine::PostgreSql, "1@0/5000", false, "1@0/6000,2@0/7000").is, Is::Contained);
    EXPECT_EQ(judge(Engine::PostgreSql, "1@0/6100", false, "1@0/6000,2@0/7000").is, Is::Missing);
}

TEST(Judge, tells_whether_the_writer_has_more) {
    EXPECT_TRUE(judge(Engine::MariaDb, "0-1-100", false, "0-1-120").writer_has_more);
    EXPECT_FALSE(judge(Engine::MariaDb, "0-1-120", false, "0-1-120").writer_has_more);
}

TEST(Judge, knows_nothing_from_nothing) {
    EXPECT_EQ(judge(Engine::PostgreSql, "", false, "1@0/5000").is, Is::Unknown);
    EXPECT_EQ(judge(Engine::MariaDb, "0-1-1", false, "").is, Is::Unknown);
    EXPECT_EQ(judge(Engine::MariaDb, "what", false, "0-1-1").is, Is::Unknown);
}

TEST(Judge, a_replica_that_has_nothing_yet_has_nothing_that_the_writer_lacks) {
    EXPECT_EQ(judge(Engine::MariaDb, "", false, "0-1-1").is, Is::Contained);
    EXPECT_TRUE(judge(Engine::MariaDb, "", false, "0-1-1").writer_has_more);
}

class FakeProbes final : public ports::ChannelProbes {
  public:
    void configure(const ChannelConfig& channel) override { calls.push_back("configure " + channel.name); }
    void remove(const std::string& channel) override { calls.push_back("remove " + channel); }
    void set_cadence(const std::string&, base::Duration interval, base::Duration) override {
        calls.push_back("cadence " + base::format_duration(interval));
    }
    void wake(const std::string&) override { calls.push_back("wake"); }
    void aim(const std::string&, const std::string& member, const base::HostPort& address) override {
        calls.push_back("aim " + member + " " + address.text());
    }
    void restart(const std::string&, std::uint64_t number, bool, base::Duration) override {
        serial = number;
        calls.emplace_back("restart");
    }
    std::vector<std::string> calls;
    std::uint64_t serial = 0;
};

class FakeJournal final : public ports::Journal {
  public:
    base::Result<std::int64_t> append(const ports::JournalEntry& entry, ports::Durability) override {
        kinds.push_back(entry.kind);
        return static_cast<std::int64_t>(kinds.size());
    }
    base::Result<std::vector<ports::JournalEntry>> read(const ports::JournalQuery&) override {
        return std::vector<ports::JournalEntry>();
    }
    std::vector<std::string> kinds;
};

class FakeStore final : public ports::ChannelStore {
  public:
    base::Result<std::optional<Memory>> load(const std::string&) override { return kept; }
    base::Status store(const std::string&, const Memory& memory, ports::Durability) override {
        kept = memory;
        return {};
    }
    base::Status forget(const std::string&) override { return {}; }
    std::optional<Memory> kept;
};

struct World {
    FakeProbes probes;
    FakeJournal journal;
    FakeStore store;
    base::MonoTime now = base::MonoTime{} + 1000s;
    engine::ChannelPorts ports() { return {store, journal, probes}; }
    ClusterFacts facts(std::uint64_t epoch, const std::string& writer, const std::string& history) const {
        return {epoch, true, writer, {writer, 3306}, now, now, history, now};
    }
    Observation look(std::variant<ReplicaStatus, SlotStatus, Failure> result, const std::string& channel) {
        Observation seen{channel, "b", now, now + 1ms, std::move(result)};
        now += 1ms;
        return seen;
    }
};

TEST(Loop, restarts_what_is_contained_and_says_how_it_went) {
    World world;
    engine::ChannelLoop loop(a_replica(), Engine::MariaDb, world.ports());
    loop.start(world.now, {});
    loop.on_cluster(world.facts(1, "a", "0-1-100"), world.now, {});
    loop.on_cluster(world.facts(2, "b", "0-1-100,0-2-101"), world.now, {});
    loop.handle(world.look(connecting(), "warehouse"), world.now, {});
    EXPECT_THAT(world.probes.calls, Contains("restart"));
    EXPECT_TRUE(world.store.kept->restarting);
    loop.handle(ports::ChannelRestarted{"warehouse", world.probes.serial, RestartOutcome::Done, ""}, world.now, {});
    EXPECT_FALSE(world.store.kept->restarting);
    loop.handle(world.look(reading(), "warehouse"), world.now, {});
    const auto status = loop.status(world.now);
    EXPECT_EQ(status.at("state").as_string(), "following");
    EXPECT_EQ(status.at("writer").as_string(), "b");
    EXPECT_THAT(world.journal.kinds, ElementsAre("channel-restart", "channel-resumed"));
}

TEST(Loop, does_not_restart_what_is_not_contained) {
    World world;
    engine::ChannelLoop loop(a_replica(), Engine::MariaDb, world.ports());
    loop.start(world.now, {});
    loop.on_cluster(world.facts(2, "b", "0-1-99,0-2-101"), world.now, {});
    loop.handle(world.look(connecting(), "warehouse"), world.now, {});
    loop.on_cluster(world.facts(2, "b", "0-1-99,0-2-102"), world.now, {});
    EXPECT_THAT(world.probes.calls, testing::Not(Contains("restart")));
    const auto status = loop.status(world.now);
    EXPECT_EQ(status.at("state").as_string(), "diverged");
    EXPECT_THAT(std::string(status.at("alarms").as_array()[0].at("text").as_string()), HasSubstr("0-1-100"));
}

TEST(Loop, aims_a_slot_at_the_writer_and_away_from_none) {
    World world;
    engine::ChannelLoop loop(a_slot(), Engine::PostgreSql, world.ports());
    loop.start(world.now, {});
    loop.on_cluster(world.facts(1, "a", "1@0/9000"), world.now, {});
    loop.on_cluster(world.facts(1, "a", "1@0/9100"), world.now, {});
    auto held = world.facts(1, "", "");
    held.routed = false;
    loop.on_cluster(held, world.now, {});
    loop.on_cluster(world.facts(2, "b", "1@0/9100,2@0/9200"), world.now, {});
    std::vector<std::string> aims;
    for (const auto& call : world.probes.calls) {
        if (call.starts_with("aim")) aims.push_back(call);
    }
    EXPECT_THAT(aims, ElementsAre("aim a a:3306", testing::StartsWith("aim  "), "aim b b:3306"));
}

probing::ResultSet rows(const std::vector<std::pair<std::string, std::optional<std::string>>>& cells) {
    probing::ResultSet set;
    set.rows.emplace_back();
    for (const auto& [column, value] : cells) {
        set.columns.push_back(column);
        set.rows[0].push_back(value);
    }
    return set;
}

probing::ResultSet mariadb_status() {
    return rows({{"Connection_name", "w"},
                 {"Slave_IO_Running", "Connecting"},
                 {"Slave_SQL_Running", "Yes"},
                 {"Master_Host", "10.0.1.10"},
                 {"Master_Port", "3306"},
                 {"Connect_Retry", "60"},
                 {"Last_IO_Errno", "2003"},
                 {"Last_IO_Error", "refused"},
                 {"Last_SQL_Errno", "0"},
                 {"Last_SQL_Error", ""},
                 {"Using_Gtid", "Slave_Pos"},
                 {"Gtid_IO_Pos", "0-1-120"},
                 {"Slave_received_heartbeats", "17"},
                 {"Slave_heartbeat_period", "1.500"},
                 {"Master_Log_File", "bin.7"},
                 {"Read_Master_Log_Pos", "99"},
                 {"Seconds_Behind_Master", std::nullopt}});
}

TEST(ReplicaStatus, of_mariadb_is_read) {
    const auto variables = rows({{"gtid_slave_pos", "0-1-118"}, {"gtid_current_pos", "0-1-119"}});
    const auto read = mysql::read_replica(true, "w", {variables, mariadb_status()});
    const auto* status = std::get_if<ReplicaStatus>(&read);
    ASSERT_NE(status, nullptr) << std::get<Failure>(read).text;
    EXPECT_EQ(status->io, Thread::Connecting);
    EXPECT_TRUE(status->sql_running);
    EXPECT_TRUE(status->uses_gtid);
    EXPECT_EQ(status->position, "0-1-120,0-1-118");
    EXPECT_EQ(status->source.text(), "10.0.1.10:3306");
    EXPECT_EQ(status->io_error, 2003);
    EXPECT_EQ(status->heartbeats, 17);
    EXPECT_EQ(status->heartbeat_period, 1500ms);
    EXPECT_EQ(status->retry, 60s);
    EXPECT_FALSE(status->behind);
}

TEST(ReplicaStatus, with_both_threads_stopped_has_what_was_applied_only) {
    auto set = mariadb_status();
    set.rows[0][1] = set.rows[0][2] = "No";
    const auto read = mysql::read_replica(true, "w", {rows({{"gtid_slave_pos", "0-1-118"}}), set});
    EXPECT_EQ(std::get<ReplicaStatus>(read).position, "0-1-118");
}

TEST(ReplicaStatus, without_any_of_its_needed_fields_is_no_status) {
    for (const char* column : {"Slave_IO_Running", "Slave_SQL_Running", "Master_Host", "Master_Port", "Last_IO_Errno",
                               "Last_SQL_Errno", "Connection_name"}) {
        auto set = mariadb_status();
        for (std::size_t i = 0; i < set.columns.size(); ++i) {
            if (set.columns[i] == column) set.columns[i] = "gone";
        }
        const auto read = mysql::read_replica(true, "w", {rows({{"gtid_slave_pos", ""}}), set});
        EXPECT_TRUE(std::holds_alternative<Failure>(read)) << column;
    }
    const auto other = mysql::read_replica(true, "x", {rows({{"gtid_slave_pos", ""}}), mariadb_status()});
    EXPECT_THAT(std::get<Failure>(other).text, HasSubstr("no replication connection 'x'"));
}

TEST(ReplicaStatus, of_mysql_is_read) {
    const auto details = rows({{"channel_name", ""},
                               {"received", "3e11fa47-71ca-11e1-9e33-c80aa9429562:4-5"},
                               {"received_and_applied", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"},
                               {"heartbeats", "3"},
                               {"heartbeat_interval", "30.000"}});
    const auto set = rows({{"Channel_Name", ""},
                           {"Replica_IO_Running", "No"},
                           {"Replica_SQL_Running", "Yes"},
                           {"Source_Host", "orders.example"},
                           {"Source_Port", "3306"},
                           {"Connect_Retry", "10"},
                           {"Last_IO_Errno", "1236"},
                           {"Last_SQL_Errno", "0"},
                           {"Auto_Position", "1"},
                           {"Source_Log_File", "bin.7"},
                           {"Read_Source_Log_Pos", "99"},
                           {"Seconds_Behind_Source", "4"}});
    const auto read = mysql::read_replica(false, "", {details, set});
    const auto& status = std::get<ReplicaStatus>(read);
    EXPECT_EQ(status.io, Thread::Stopped);
    EXPECT_TRUE(status.uses_gtid);
    EXPECT_EQ(status.position, "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5");
    EXPECT_EQ(status.heartbeat_period, 30s);
    EXPECT_EQ(status.behind, 4s);
}

probing::ResultSet slot_row() {
    return rows({{"in_recovery", "f"},
                 {"current_lsn", "0/9000"},
                 {"timeline", "2"},
                 {"slot_type", "logical"},
                 {"plugin", "pgoutput"},
                 {"database", "orders"},
                 {"active", "t"},
                 {"restart_lsn", "0/4000"},
                 {"confirmed_lsn", "1/5000"},
                 {"wal_status", "reserved"},
                 {"active_pid", "77"},
                 {"sender", "77"},
                 {"state", "streaming"},
                 {"reply_time", "2026-01-01"}});
}

TEST(SlotStatus, is_read) {
    const auto read = postgres::read_slot("s", slot_row());
    const auto& status = std::get<SlotStatus>(read);
    EXPECT_TRUE(status.exists && status.active);
    EXPECT_EQ(status.restart_lsn, 0x4000);
    EXPECT_EQ(status.confirmed_lsn, 0x1'0000'5000);
    EXPECT_EQ(status.timeline, 2);
}

TEST(SlotStatus, missing_is_an_answer_and_recovery_is_none) {
    auto set = slot_row();
    for (std::size_t i = 3; i < set.rows[0].size(); ++i) set.rows[0][i].reset();
    EXPECT_FALSE(std::get<SlotStatus>(postgres::read_slot("s", set)).exists);
    set = slot_row();
    set.rows[0][0] = "t";
    EXPECT_TRUE(std::holds_alternative<Failure>(postgres::read_slot("s", set)));
    set = slot_row();
    set.rows[0][3] = "physical";
    EXPECT_THAT(std::get<Failure>(postgres::read_slot("s", set)).text, HasSubstr("not logical"));
    set = slot_row();
    set.rows[0][12].reset();
    EXPECT_THAT(std::get<Failure>(postgres::read_slot("s", set)).text, HasSubstr("pg_monitor"));
}

TEST(ChannelStore, keeps_what_it_was_given_and_forgets) {
    std::string folder = (std::filesystem::temp_directory_path() / "channels-XXXXXX").string();
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    Memory memory;
    memory.epoch = 4;
    memory.findings = {{"slot-recreated", 4, 1, 2, "text"}};
    {
        auto store = *sqlite::ChannelStore::open(*sqlite::Database::open(folder + "/store.db"));
        EXPECT_FALSE(*store->load("cdc"));
        ASSERT_TRUE(store->store("cdc", Memory{}, ports::Durability::Relaxed));
        ASSERT_TRUE(store->store("cdc", memory, ports::Durability::Full));
    }
    auto store = *sqlite::ChannelStore::open(*sqlite::Database::open(folder + "/store.db"));
    EXPECT_EQ(**store->load("cdc"), memory);
    ASSERT_TRUE(store->forget("cdc"));
    EXPECT_FALSE(*store->load("cdc"));
    std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace signalbox::channels
