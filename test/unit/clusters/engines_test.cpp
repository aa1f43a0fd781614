// What is believed of PostgreSQL and MySQL members, and of a topology that the database keeps.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/clusters/bench.hpp"

namespace signalbox::clusters {
namespace {

using ::testing::HasSubstr;

ClusterConfig postgres_members() {
    ClusterConfig config = three_members();
    config.engine = Engine::PostgreSql;
    return config;
}

Evidence primary(std::uint64_t timeline, const std::string& history) {
    Evidence evidence;
    evidence.engine = Engine::PostgreSql;
    evidence.server_id = timeline;
    evidence.cluster_uid = "7001";
    evidence.read_only = evidence.innodb_read_only = false;
    evidence.binlog_state = evidence.applied = history;
    return evidence;
}

Evidence standby(std::uint64_t timeline, int source, const std::string& history, bool running = true) {
    Evidence evidence = primary(timeline, history);
    evidence.read_only = true;
    evidence.sources = {{"", {"10.0.0." + std::to_string(source + 1), 3306}, running, true, history}};
    return evidence;
}

Bench following_postgres() {
    Bench bench({}, postgres_members());
    bench.load();
    bench.now += 10ms;
    bench.tell(0, primary(1, "1@0/3000000"));
    bench.tell(1, standby(1, 0, "1@0/3000000"));
    bench.tell(2, standby(1, 0, "1@0/3000000"));
    bench.actions.clear();
    return bench;
}

TEST(Postgres, a_promoted_standby_with_all_that_was_confirmed_gets_the_next_epoch) {
    Bench bench = following_postgres();
    ASSERT_EQ(bench.machine.writer(), "a");
    bench.tell(2, standby(1, 0, "1@0/3000148"));
    bench.now += 10ms;
    bench.fail(0, ProbeFailureKind::Refused);
    bench.tell(2, standby(1, 0, "1@0/3000148", false));
    bench.tell(1, primary(2, "1@0/3000100,2@0/3000300"));
    EXPECT_EQ(bench.routed(), "");
    EXPECT_THAT(bench.machine.reasons(1), ::testing::Contains(HasSubstr("lacks 1@0/3000148")));
    bench.tell(1, primary(2, "1@0/3000148,2@0/3000300"));
    EXPECT_EQ(bench.routed(), "b");
}

TEST(Postgres, of_two_that_claim_the_one_that_was_promoted_since_wins) {
    Bench bench = following_postgres();
    bench.now += 10ms;
    bench.tell(0, primary(1, "1@0/9000000"));
    bench.tell(1, primary(2, "1@0/3000148,2@0/3000300"));
    EXPECT_EQ(bench.routed(), "b");
    EXPECT_TRUE(bench.machine.alarms().empty());
}

TEST(Postgres, a_standby_of_a_later_timeline_speaks_against_a_former_writer) {
    Bench bench({}, postgres_members());
    bench.load(EpochFacts{3, "c", true, "1@0/3000000", "7001"});
    bench.fail(2, ProbeFailureKind::TimedOut);
    bench.tell(1, standby(2, 2, "1@0/3000148,2@0/3000300", false));
    bench.tell(0, primary(1, "1@0/9000000"));
    EXPECT_EQ(bench.routed(), "");
    EXPECT_THAT(bench.machine.reasons(0), ::testing::Contains(HasSubstr("'b' is on a timeline that branched off")));
}

TEST(Postgres, two_on_one_timeline_are_held_however_far_one_of_them_is) {
    Bench bench = following_postgres();
    for (int i = 0; i < 40; ++i) {
        bench.now += 10ms;
        bench.tell(0, primary(1, "1@0/9000000"));
        bench.tell(1, primary(1, "1@0/3000300"));
    }
    EXPECT_TRUE(bench.machine.held());
    EXPECT_TRUE(bench.machine.alarms().contains("contested"));
}

TEST(Postgres, a_standby_that_went_past_the_branch_does_not_take_the_writer_away) {
    Bench bench = following_postgres();
    bench.now += 10ms;
    bench.fail(0, ProbeFailureKind::Refused);
    bench.tell(2, standby(1, 0, "1@0/3000000", false));
    bench.tell(1, primary(2, "1@0/3000148,2@0/3000300"));
    ASSERT_EQ(bench.machine.writer(), "b");
    // It has a tail of the former writer's that nobody acknowledged, and asks the new one for more.
    for (int i = 0; i < 5; ++i) {
        bench.now += 10ms;
        bench.tell(2, standby(1, 1, "1@0/3000900"));
        bench.tell(1, primary(2, "1@0/3000148,2@0/3000400"));
    }
    EXPECT_EQ(bench.machine.state(), State::Following);
    EXPECT_EQ(bench.machine.continuity().position.text(), "1@0/3000000");
}

TEST(Postgres, a_former_writer_that_is_written_on_raises_an_alarm_and_a_standby_does_not) {
    Bench bench = following_postgres();
    bench.now += 10ms;
    bench.fail(0, ProbeFailureKind::TimedOut);
    bench.tell(2, standby(1, 0, "1@0/3000000", false));
    bench.tell(1, primary(2, "1@0/3000148,2@0/3000300"));
    for (const char* lsn : {"3000200", "3000300"}) {
        bench.now += 10ms;
        bench.tell(0, primary(1, std::string("1@0/") + lsn));
        bench.tell(2, standby(2, 1, std::string("1@0/3000148,2@0/9") + lsn));
    }
    EXPECT_THAT(bench.machine.alarms().at("stray-writes:a"), HasSubstr("1@0/3000300"));
    EXPECT_FALSE(bench.machine.alarms().contains("stray-writes:c"));
}

TEST(Postgres, the_reasons_speak_of_recovery) {
    Bench bench = following_postgres();
    EXPECT_THAT(bench.machine.reasons(1), ::testing::Contains("is in recovery and replicates from 10.0.0.1:3306"));
    EXPECT_THAT(bench.machine.reasons(1), ::testing::Contains("transactions are read only"));
    EXPECT_THAT(bench.machine.reasons(0), ::testing::Contains("is not in recovery"));
}

TEST(Postgres, members_on_one_timeline_are_not_one_server) {
    EXPECT_TRUE(following_postgres().machine.alarms().empty());
}

TEST(Engines, a_member_of_another_cluster_is_named_beside_the_right_one) {
    Bench bench = following_postgres();
    bench.now += 10ms;
    bench.fail(0, ProbeFailureKind::Refused);
    bench.fail(2, ProbeFailureKind::Refused);
    Evidence foreign = primary(1, "1@0/9000000");
    foreign.cluster_uid = "7002";
    bench.tell(1, foreign);
    EXPECT_EQ(bench.routed(), "");
    EXPECT_THAT(bench.machine.alarms().at("other-cluster:b"), HasSubstr("7002, that of 'orders' is 7001"));
}

TEST(Engines, before_a_writer_was_proven_most_decide_which_cluster_it_is) {
    Bench bench({}, postgres_members());
    bench.load();
    Evidence foreign = primary(5, "5@0/9000000");
    foreign.cluster_uid = "7002";
    bench.tell(1, foreign);
    bench.tell(2, standby(1, 0, "1@0/3000000"));
    EXPECT_TRUE(bench.machine.alarms().contains("other-cluster:b"));
    EXPECT_TRUE(bench.machine.alarms().contains("other-cluster:c"));
    bench.tell(0, primary(1, "1@0/3000000"));
    EXPECT_EQ(bench.routed(), "a");
    EXPECT_FALSE(bench.machine.alarms().contains("other-cluster:c"));
}

TEST(Engines, a_server_of_another_engine_is_unknown_and_says_so) {
    Bench bench = following_postgres();
    bench.tell(1, writer(1));
    EXPECT_THAT(bench.machine.alarms().at("probe:b"),
                HasSubstr("MariaDB server, and the cluster is configured as Postgre"));
}

TEST(Engines, an_errant_transaction_of_a_mysql_replica_does_not_take_the_writer_away) {
    ClusterConfig config = three_members();
    config.engine = Engine::MySql;
    Bench bench({}, config);
    bench.load();
    const auto uuid = [](int i) { return fmt::format("{}e11fa47-71ca-11e1-9e33-c80aa9429562", i + 1); };
    const auto mysql = [&](Evidence evidence, int index) {
        evidence.engine = Engine::MySql;
        evidence.server_uid = uuid(index);
        return evidence;
    };
    for (int i = 0; i < 5; ++i) {
        bench.now += 10ms;
        bench.tell(2, mysql(reader(2, 0, uuid(0) + ":1-9"), 2));
        bench.tell(1, mysql(reader(1, 0, uuid(0) + ":1-9," + uuid(1) + ":1"), 1));
        bench.tell(0, mysql(writer(0, uuid(0) + ":1-9"), 0));
    }
    EXPECT_EQ(bench.machine.state(), State::Following);
    EXPECT_EQ(bench.machine.continuity().position.text(), uuid(0) + ":1-9");
}

ClusterConfig with_topology() {
    ClusterConfig config = three_members();
    config.topology.query = "SELECT …";
    return config;
}

Evidence with_rows(Evidence evidence, int writer, std::int64_t stamp) {
    for (int i = 0; i < 3; ++i) {
        evidence.topology.push_back({std::string(1, static_cast<char>('a' + i)), i == writer, stamp, {}, {}});
    }
    return evidence;
}

TEST(Topology, a_member_that_the_newest_rows_do_not_name_is_not_believed) {
    Bench bench({}, with_topology());
    bench.load();
    bench.tell(1, with_rows(reader(1, 0), 0, 100));
    bench.tell(2, with_rows(reader(2, 0), 0, 100));
    bench.tell(0, with_rows(writer(0), 0, 100));
    ASSERT_EQ(bench.routed(), "a");
    bench.now += 10ms;
    bench.fail(0, ProbeFailureKind::Refused);
    bench.tell(2, with_rows(reader(2, 0, "0-1-100", false), 0, 100));
    bench.tell(1, with_rows(writer(1), 0, 100));
    EXPECT_EQ(bench.routed(), "a");
    EXPECT_TRUE(bench.machine.held());
    EXPECT_THAT(bench.machine.reasons(1), ::testing::Contains("the newest topology names 'a' as the writer"));
    // Its own rows are newer now; the reader's lag behind, and that is no contradiction.
    bench.tell(1, with_rows(writer(1), 1, 101));
    EXPECT_EQ(bench.routed(), "b");
}

TEST(Topology, rows_that_name_nobody_keep_nobody_waiting) {
    Bench bench({}, with_topology());
    bench.load();
    bench.fail(0, ProbeFailureKind::Refused);
    bench.fail(2, ProbeFailureKind::Refused);
    Evidence alone = writer(1);
    alone.topology = {{"b", false, 100, {}, {}}};
    bench.tell(1, alone);
    EXPECT_EQ(bench.routed(), "b");
}

TEST(Topology, a_configured_query_without_rows_makes_the_answer_unknown) {
    Bench bench({}, with_topology());
    bench.load();
    bench.fail(1, ProbeFailureKind::Refused);
    bench.fail(2, ProbeFailureKind::Refused);
    bench.tell(0, writer(0));
    EXPECT_EQ(bench.routed(), "");
    EXPECT_THAT(bench.machine.alarms().at("probe:a"), HasSubstr("its topology has no row"));
}

}  // namespace
}  // namespace signalbox::clusters
