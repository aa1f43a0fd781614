#include <gmock/gmock.h>

#include "adapters/mysql/probe.hpp"

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

}  // namespace
}  // namespace signalbox::mysql
