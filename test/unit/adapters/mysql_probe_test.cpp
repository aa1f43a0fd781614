#include <gmock/gmock.h>

#include "adapters/mysql/probe.hpp"
#include "adapters/mysql/sessions.hpp"

namespace signalbox::mysql {
namespace {

using clusters::Engine;
using clusters::Evidence;
using clusters::ProbeFailure;
using clusters::ProbeFailureKind;
using testing::HasSubstr;

const Questions mariadb{Engine::MariaDb, true, false, ""};

std::vector<ResultSet> answer() {
    ResultSet variables;
    variables.columns = {"read_only",         "innodb_read_only", "server_id", "version",
                         "gtid_binlog_state", "gtid_current_pos", "server_uid"};
    variables.rows = {{"0", "0", "7", "10.11.19-MariaDB", "0-7-12", "0-7-12", "uid"}};
    ResultSet sources;
    sources.columns = {"Connection_name",  "Master_Host",       "Master_Port",
                       "Slave_IO_Running", "Slave_SQL_Running", "Gtid_IO_Pos"};
    ResultSet semi_sync;
    semi_sync.columns = {"Variable_name", "Value"};
    semi_sync.rows = {{"Rpl_semi_sync_master_status", "ON"}};
    return {variables, sources, semi_sync};
}

std::string incomplete(const std::vector<ResultSet>& results) {
    const auto read = read_evidence(mariadb, results);
    const auto* failure = std::get_if<ProbeFailure>(&read);
    if (failure == nullptr) return "taken as evidence";
    EXPECT_EQ(failure->kind, ProbeFailureKind::Incomplete);
    return failure->text;
}

TEST(Probe, a_whole_answer_is_evidence) {
    const auto read = read_evidence(mariadb, answer());
    const auto& evidence = std::get<Evidence>(read);
    EXPECT_TRUE(evidence.claims_writer());
    EXPECT_EQ(evidence.server_id, 7U);
    EXPECT_EQ(evidence.server_uid, "uid");
    EXPECT_EQ(evidence.binlog_state, "0-7-12");
    EXPECT_TRUE(evidence.waits_for_replica);
}

TEST(Probe, an_empty_answer_is_never_evidence) {
    auto results = answer();
    results[0].rows.clear();
    EXPECT_EQ(incomplete(results), "expected one row of variables, found 0");
    EXPECT_EQ(incomplete({}), "expected 3 results, found 0");
    results = answer();
    results[1] = {};
    EXPECT_THAT(incomplete(results), HasSubstr("has no columns"));
    results = answer();
    results[2].rows.clear();
    EXPECT_THAT(incomplete(results), HasSubstr("Rpl_semi_sync_master_status"));
}

TEST(Probe, every_variable_but_the_uid_must_be_there) {
    for (std::size_t i = 0; i < 6; ++i) {
        auto results = answer();
        results[0].rows[0][i] = std::nullopt;
        EXPECT_THAT(incomplete(results), HasSubstr("has no " + results[0].columns[i]));
        results = answer();
        results[0].columns[i] = "another";
        EXPECT_THAT(incomplete(results), HasSubstr("the answer has no "));
    }
    auto results = answer();
    results[0].columns.pop_back();
    results[0].rows[0].pop_back();
    EXPECT_EQ(std::get<Evidence>(read_evidence(mariadb, results)).server_uid, "");
}

TEST(Probe, forms_of_on_are_on_and_no_form_is_no_answer) {
    for (const char* on : {"1", "ON", "NO_LOCK", "NO_LOCK_NO_ADMIN", "2"}) {
        auto results = answer();
        results[0].rows[0][0] = on;
        EXPECT_TRUE(std::get<Evidence>(read_evidence(mariadb, results)).read_only) << on;
    }
    auto results = answer();
    results[0].rows[0][0] = "OFF";
    EXPECT_FALSE(std::get<Evidence>(read_evidence(mariadb, results)).read_only);
    results[0].rows[0][0] = "";
    EXPECT_THAT(incomplete(results), HasSubstr("unknown form"));
    results = answer();
    results[0].rows[0][2] = "seven";
    EXPECT_THAT(incomplete(results), HasSubstr("unknown form"));
}

TEST(Probe, a_replication_channel_is_read_whole_or_not_at_all) {
    auto results = answer();
    results[1].rows = {{"", "10.0.0.1", "3306", "Connecting", "Yes", "0-1-9"}};
    const auto read = read_evidence(mariadb, results);
    const auto& evidence = std::get<Evidence>(read);
    ASSERT_EQ(evidence.sources.size(), 1U);
    EXPECT_FALSE(evidence.sources[0].io_running);
    EXPECT_TRUE(evidence.sources[0].sql_running);
    EXPECT_EQ(evidence.sources[0].address.text(), "10.0.0.1:3306");
    EXPECT_FALSE(evidence.claims_writer());
    for (std::size_t i = 0; i < 6; ++i) {
        auto broken = results;
        broken[1].rows[0][i] = std::nullopt;
        EXPECT_THAT(incomplete(broken), HasSubstr("replication channel 0 lacks")) << i;
    }
}

TEST(Probe, errors_are_told_apart) {
    using base::ErrorKind;
    const auto kind = [](const base::Error& error) { return to_failure(error).kind; };
    EXPECT_EQ(kind({ErrorKind::Unavailable, "Can't connect to server on '10.0.0.1' (111)", "", 2002}),
              ProbeFailureKind::Refused);
    EXPECT_EQ(kind({ErrorKind::Unavailable, "Can't connect to server on '10.0.0.1' (113)", "", 2002}),
              ProbeFailureKind::TimedOut);
    EXPECT_EQ(kind({ErrorKind::UnknownOutcome, "Lost connection", "", 2013}), ProbeFailureKind::Reset);
    EXPECT_EQ(kind({ErrorKind::UnknownOutcome, "Server has gone away", "", 2006}), ProbeFailureKind::Reset);
    EXPECT_EQ(kind({ErrorKind::Timeout, "no answer in time", "", 0}), ProbeFailureKind::TimedOut);
    EXPECT_EQ(kind({ErrorKind::UnknownOutcome, "Connection was killed", "", 1927}), ProbeFailureKind::Reset);
    EXPECT_EQ(kind({ErrorKind::Unavailable, "Can't create a socket", "", 2001}), ProbeFailureKind::OurOwnDelay);
    EXPECT_EQ(kind({ErrorKind::PermissionDenied, "Access denied", "", 1045}), ProbeFailureKind::LoginDenied);
    EXPECT_EQ(kind({ErrorKind::Unavailable, "Too many connections", "", 1040}), ProbeFailureKind::ServerError);
}

TEST(Probe, lag_is_none_while_the_server_does_not_know_and_nothing_when_all_is_applied) {
    auto results = answer();
    results[1].columns.insert(results[1].columns.end(), {"Gtid_Slave_Pos", "Seconds_Behind_Master"});
    const auto lag = [&](const char* io, const char* received, const char* applied, std::optional<std::string> behind) {
        results[1].rows = {{"", "10.0.0.1", "3306", io, "Yes", received, applied, std::move(behind)}};
        return std::get<Evidence>(read_evidence(mariadb, results)).lag;
    };
    EXPECT_EQ(lag("Yes", "0-1-9", "0-1-9", "3"), base::Duration(0));
    EXPECT_EQ(lag("Yes", "0-1-9", "0-1-8", "3"), std::chrono::seconds(3));
    EXPECT_EQ(lag("No", "0-1-9", "0-1-9", std::nullopt), std::nullopt);
    // Of several channels the slowest counts, and one that does not know spoils it.
    results[1].rows = {{"", "10.0.0.1", "3306", "Yes", "Yes", "0-1-9", "0-1-8", "3"},
                       {"b", "10.0.0.2", "3306", "Yes", "Yes", "0-1-9", "0-1-8", "7"}};
    EXPECT_EQ(std::get<Evidence>(read_evidence(mariadb, results)).lag, std::chrono::seconds(7));
    results[1].rows[0][7] = std::nullopt;
    EXPECT_EQ(std::get<Evidence>(read_evidence(mariadb, results)).lag, std::nullopt);
    EXPECT_EQ(std::get<Evidence>(read_evidence(mariadb, answer())).lag, std::nullopt) << "no reader";
}

// MySQL's dialect.

const Questions mysql{Engine::MySql, false, false, ""};

std::vector<ResultSet> mysql_answer() {
    ResultSet variables;
    variables.columns = {"read_only", "super_read_only", "innodb_read_only", "server_id", "server_uuid",
                         "version",   "gtid_executed",   "gtid_mode",        "answered"};
    variables.rows = {{"0", "0", "0", "1", "3e11fa47-71ca-11e1-9e33-c80aa9429562", "9.1.0",
                       "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,\n4e11fa47-71ca-11e1-9e33-c80aa9429562:1-3", "ON",
                       "1"}};
    ResultSet sources;
    sources.columns = {"Replica_IO_State",   "Source_Host",           "Source_Port",
                       "Replica_IO_Running", "Replica_SQL_Running",   "Retrieved_Gtid_Set",
                       "Executed_Gtid_Set",  "Seconds_Behind_Source", "Channel_Name"};
    ResultSet semi_sync;
    semi_sync.columns = {"VARIABLE_NAME", "VARIABLE_VALUE"};
    return {variables, sources, semi_sync};
}

TEST(Probe, mysql_without_the_plugin_acknowledges_alone) {
    const auto read = read_evidence(mysql, mysql_answer());
    const auto& evidence = std::get<Evidence>(read);
    EXPECT_TRUE(evidence.claims_writer());
    EXPECT_EQ(evidence.engine, Engine::MySql);
    EXPECT_EQ(evidence.server_uid, "3e11fa47-71ca-11e1-9e33-c80aa9429562");
    EXPECT_EQ(evidence.binlog_state,
              "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,4e11fa47-71ca-11e1-9e33-c80aa9429562:1-3");
    EXPECT_FALSE(evidence.waits_for_replica);
    auto results = mysql_answer();
    results[2].rows = {{"Rpl_semi_sync_source_status", "OFF"}, {"Rpl_semi_sync_master_status", "ON"}};
    EXPECT_TRUE(std::get<Evidence>(read_evidence(mysql, results)).waits_for_replica);
    results[2].rows = {{"Rpl_semi_sync_source_status", std::nullopt}};
    EXPECT_TRUE(std::holds_alternative<ProbeFailure>(read_evidence(mysql, results)));
}

TEST(Probe, mysql_is_read_only_by_either_variable) {
    for (const std::size_t column : {0U, 1U}) {
        auto results = mysql_answer();
        results[0].rows[0][column] = "1";
        EXPECT_TRUE(std::get<Evidence>(read_evidence(mysql, results)).read_only);
    }
    for (std::size_t column = 0; column < 8; ++column) {
        auto results = mysql_answer();
        results[0].rows[0][column] = std::nullopt;
        const auto read = read_evidence(mysql, results);
        ASSERT_TRUE(std::holds_alternative<ProbeFailure>(read)) << results[0].columns[column];
        EXPECT_EQ(std::get<ProbeFailure>(read).kind, ProbeFailureKind::Incomplete);
    }
}

TEST(Probe, mysql_without_gtids_is_no_evidence_unless_a_topology_stands_in) {
    auto results = mysql_answer();
    results[0].rows[0][7] = "OFF_PERMISSIVE";
    const auto read = read_evidence(mysql, results);
    EXPECT_THAT(std::get<ProbeFailure>(read).text, HasSubstr("set gtid_mode=ON"));
    Questions with_topology = mysql;
    with_topology.topology_query = "SELECT …";
    ResultSet topology;
    topology.columns = {"name", "writer"};
    topology.rows = {{"a", "1"}};
    results.push_back(topology);
    EXPECT_EQ(std::get<Evidence>(read_evidence(with_topology, results)).topology.size(), 1U);
}

TEST(Probe, a_mysql_channel_is_read_under_its_names) {
    auto results = mysql_answer();
    results[1].rows = {
        {"Waiting for source to send event", "10.0.0.1", "3306", "Yes", "Yes", "a:1-4,\nb:1", "a:1-5", "2", ""}};
    const auto read = read_evidence(mysql, results);
    const auto& evidence = std::get<Evidence>(read);
    ASSERT_EQ(evidence.sources.size(), 1U);
    EXPECT_EQ(evidence.sources[0].received, "a:1-4,b:1");
    EXPECT_EQ(evidence.sources[0].address.text(), "10.0.0.1:3306");
    EXPECT_EQ(evidence.lag, std::chrono::seconds(2));
}

TEST(Probe, replicas_are_those_that_report_a_name_and_those_that_dump) {
    Questions questions = mariadb;
    questions.replicas = true;
    auto results = answer();
    ResultSet reported;
    reported.columns = {"Server_id", "Host", "Port", "Master_id"};
    reported.rows = {{"2", "10.0.0.2", "3307", "1"}, {"3", "", "3306", "1"}};
    ResultSet dumping;
    dumping.columns = {"HOST"};
    dumping.rows = {{"10.0.0.2:40112"}, {"10.0.0.3:40113"}, {std::nullopt}};
    results.insert(results.end(), {reported, dumping});
    const auto replicas = std::get<Evidence>(read_evidence(questions, results)).replicas;
    ASSERT_EQ(replicas.size(), 2U);
    EXPECT_EQ(replicas[0].address.text(), "10.0.0.2:3307");
    EXPECT_EQ(replicas[1].address.text(), "10.0.0.3:0");
}

TEST(Probe, who_is_there_is_asked_before_anything_else) {
    const auto hello = [](const char* version, const char* comment, Engine expected) {
        ResultSet set;
        set.columns = {"version", "version_comment"};
        set.rows = {{version, comment}};
        const auto failure = check_hello(set, expected);
        return failure ? failure->text : std::string();
    };
    EXPECT_EQ(hello("10.11.19-MariaDB-0+deb12u1-log", "Debian 12", Engine::MariaDb), "");
    EXPECT_EQ(hello("9.1.0", "MySQL Community Server - GPL", Engine::MySql), "");
    EXPECT_EQ(hello("8.0.28", "Source distribution", Engine::MySql), "");
    EXPECT_EQ(hello("9.1.0", "(Debian)", Engine::MariaDb),
              "is MySQL 9.1.0, but the cluster is configured as mariadb: set engine: mysql");
    EXPECT_EQ(hello("11.4.2", "mariadb.org binary distribution", Engine::MySql),
              "is MariaDB 11.4.2, but the cluster is configured as mysql: set engine: mariadb");
    EXPECT_EQ(hello("10.4.30-MariaDB", "", Engine::MariaDb),
              "is MariaDB 10.4.30, which is too old: 10.5 or later is needed");
    EXPECT_EQ(hello("8.0.21", "", Engine::MySql), "is MySQL 8.0.21, which is too old: 8.0.22 or later is needed");
    EXPECT_EQ(hello("next", "", Engine::MySql), "unknown form of version 'next'");
    EXPECT_TRUE(check_hello({}, Engine::MySql).has_value());
}

TEST(Sessions, an_address_is_the_same_client_only_where_the_server_shows_it) {
    EXPECT_EQ(same_client("10.0.0.7:40112", {"10.0.0.7", 40112}), SameClient::Yes);
    EXPECT_EQ(same_client("10.0.0.8:40112", {"10.0.0.7", 40112}), SameClient::No);
    EXPECT_EQ(same_client("10.0.0.7:40113", {"10.0.0.7", 40112}), SameClient::No);
    EXPECT_EQ(same_client("::1:40112", {"::1", 40112}), SameClient::Yes);
    EXPECT_EQ(same_client("::ffff:10.0.0.7:40112", {"10.0.0.7", 40112}), SameClient::Yes);
    EXPECT_EQ(same_client("localhost:40112", {"127.0.0.1", 40112}), SameClient::Yes);
    EXPECT_EQ(same_client("localhost:40112", {"10.0.0.7", 40112}), SameClient::No);
    EXPECT_EQ(same_client("db.example.com:40112", {"10.0.0.7", 40112}), SameClient::Unclear);
    EXPECT_EQ(same_client("localhost", {"127.0.0.1", 40112}), SameClient::No);
}

}  // namespace
}  // namespace signalbox::mysql
