#include "adapters/mysql/probe.hpp"

#include <algorithm>

#include "adapters/probing/topology.hpp"

namespace signalbox::mysql {
namespace {

using base::ErrorKind;
using clusters::Engine;
using clusters::Evidence;
using clusters::ProbeFailure;
using clusters::ProbeFailureKind;

// Codes of the client library: nobody there, and connections that ended.
constexpr int code_no_socket = 2001;
constexpr int code_no_ip_socket = 2004;
constexpr int code_connection = 2002;
constexpr int code_host = 2003;
constexpr int code_gone = 2006;
constexpr int code_lost = 2013;
constexpr int code_lost_extended = 2055;
constexpr int code_handshake = 2012;
// And of the server: it ends this connection, or itself.
constexpr int code_shutdown = 1053;
constexpr int code_killed = 1927;
constexpr int code_disconnected_for_inactivity = 4031;

ProbeFailure incomplete(std::string text) { return {ProbeFailureKind::Incomplete, 0, std::move(text)}; }

// "0" and "OFF" are off; servers since 12 have several forms of on. Nothing at all is no answer.
std::optional<bool> switched_on(const std::optional<std::string>& value) {
    if (!value || value->empty()) return std::nullopt;
    return *value != "0" && !base::equal_ignoring_case(*value, "OFF");
}

std::string_view engine_name(Engine engine) { return engine == Engine::MariaDb ? "mariadb" : "mysql"; }

// What the two dialects call the same thing.
struct Dialect {
    std::vector<std::string> variables;  // that the answer must hold
    std::string sources;
    std::string replicas;
    std::string channel, host, port, io, sql, received, applied, behind;
};

Dialect dialect(Engine engine) {
    if (engine == Engine::MariaDb) {
        return {{"read_only", "innodb_read_only", "server_id", "version", "gtid_binlog_state", "gtid_current_pos"},
                "SHOW ALL SLAVES STATUS",
                "SHOW SLAVE HOSTS",
                "Connection_name",
                "Master_Host",
                "Master_Port",
                "Slave_IO_Running",
                "Slave_SQL_Running",
                "Gtid_IO_Pos",
                "Gtid_Slave_Pos",
                "Seconds_Behind_Master"};
    }
    return {{"read_only", "super_read_only", "innodb_read_only", "server_id", "server_uuid", "version", "gtid_executed",
             "gtid_mode"},
            "SHOW REPLICA STATUS",
            // SHOW REPLICAS since 8.0.22.
            "SHOW REPLICAS",
            "Channel_Name",
            "Source_Host",
            "Source_Port",
            "Replica_IO_Running",
            "Replica_SQL_Running",
            "Retrieved_Gtid_Set",
            "Executed_Gtid_Set",
            "Seconds_Behind_Source"};
}

// MySQL breaks long sets into lines.
std::string without_spaces(std::string text) {
    std::erase_if(text, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
    return text;
}

std::optional<ProbeFailure> read_variables(const Questions& questions, const ResultSet& set, Evidence& evidence) {
    if (set.rows.size() != 1)
        return incomplete(fmt::format("expected one row of variables, found {}", set.rows.size()));
    for (const std::string& column : dialect(questions.engine).variables) {
        if (!set.cell(column)) return incomplete(fmt::format("the answer has no {}", column));
    }
    const bool mysql = questions.engine == Engine::MySql;
    const auto read_only = switched_on(set.cell("read_only"));
    const auto innodb_read_only = switched_on(set.cell("innodb_read_only"));
    const auto super_read_only = mysql ? switched_on(set.cell("super_read_only")) : false;
    const auto server_id = base::parse_uint(*set.cell("server_id"));
    if (!read_only || !innodb_read_only || !super_read_only || !server_id) {
        return incomplete(fmt::format("read_only, {}innodb_read_only or server_id has an unknown form",
                                      mysql ? "super_read_only, " : ""));
    }
    evidence.engine = questions.engine;
    evidence.read_only = *read_only || *super_read_only;
    evidence.innodb_read_only = *innodb_read_only;
    evidence.server_id = *server_id;
    evidence.version = *set.cell("version");
    if (mysql) {
        // Without GTIDs no two histories can be compared; only a topology of the database's own can stand in for them.
        if (questions.topology_query.empty() && !base::equal_ignoring_case(*set.cell("gtid_mode"), "ON")) {
            return incomplete(
                fmt::format("gtid_mode is {}: positions can't be compared; set gtid_mode=ON", *set.cell("gtid_mode")));
        }
        evidence.server_uid = *set.cell("server_uuid");
        evidence.binlog_state = without_spaces(*set.cell("gtid_executed"));
        evidence.applied = evidence.binlog_state;
    } else {
        evidence.server_uid = set.cell("server_uid").value_or("");
        evidence.binlog_state = *set.cell("gtid_binlog_state");
        evidence.applied = *set.cell("gtid_current_pos");
    }
    return std::nullopt;
}

// By its own word; nothing while it does not know.
std::optional<base::Duration> channel_lag(const Dialect& names, const ResultSet& set, std::size_t row) {
    const bool running = base::equal_ignoring_case(set.cell(row, names.io).value_or(""), "Yes");
    const auto received = set.cell(row, names.received);
    // What was received is applied, to the last GTID: seconds would be too coarse to say so.
    if (running && received && !received->empty() && received == set.cell(row, names.applied)) return base::Duration(0);
    const auto seconds = base::parse_uint(set.cell(row, names.behind).value_or(""));
    if (!seconds || *seconds > 3'200'000'000) return std::nullopt;
    return std::chrono::seconds(*seconds);
}

std::optional<ProbeFailure> read_sources(const Questions& questions, const ResultSet& set, Evidence& evidence) {
    if (set.columns.empty()) return incomplete("the list of replication channels has no columns");
    const Dialect names = dialect(questions.engine);
    bool lag_known = true;
    base::Duration lag{0};
    for (std::size_t row = 0; row < set.rows.size(); ++row) {
        const auto name = set.cell(row, names.channel);
        const auto host = set.cell(row, names.host);
        const auto port = base::parse_uint(set.cell(row, names.port).value_or(""));
        const auto io = set.cell(row, names.io);
        const auto sql = set.cell(row, names.sql);
        const auto received = set.cell(row, names.received);
        if (!name || !host || !port || *port > 65535 || !io || !sql || !received) {
            return incomplete(fmt::format("replication channel {} lacks a name, source, state or position", row));
        }
        evidence.sources.push_back({*name,
                                    {*host, static_cast<std::uint16_t>(*port)},
                                    base::equal_ignoring_case(*io, "Yes"),
                                    base::equal_ignoring_case(*sql, "Yes"),
                                    without_spaces(*received)});
        const auto behind = channel_lag(names, set, row);
        lag_known = lag_known && behind.has_value();
        lag = std::max(lag, behind.value_or(base::Duration(0)));
    }
    if (!set.rows.empty() && lag_known) evidence.lag = lag;
    return std::nullopt;
}

// MariaDB has one variable, built in since 10.3: a server that does not tell is not one that acknowledges alone. MySQL
// has the plugin's, under its old or its new name, or none: then it acknowledges alone.
std::optional<ProbeFailure> read_semi_sync(const Questions& questions, const ResultSet& set, Evidence& evidence) {
    if (questions.engine == Engine::MariaDb) {
        const auto waits = switched_on(set.cell("Value"));
        if (!waits) return incomplete("the answer has no Rpl_semi_sync_master_status");
        evidence.waits_for_replica = *waits;
        return std::nullopt;
    }
    if (set.columns.empty()) return incomplete("the status of semi-synchronous replication has no columns");
    evidence.waits_for_replica = false;
    for (std::size_t row = 0; row < set.rows.size(); ++row) {
        const auto waits = switched_on(set.cell(row, "VARIABLE_VALUE"));
        if (!waits) return incomplete("the status of semi-synchronous replication has an unknown form");
        evidence.waits_for_replica = evidence.waits_for_replica || *waits;
    }
    return std::nullopt;
}

// Those that report a name, and the addresses of those that dump the log and do not.
void read_replicas(const ResultSet& reported, const ResultSet& dumping, Evidence& evidence) {
    for (std::size_t row = 0; row < reported.rows.size(); ++row) {
        const auto host = reported.cell(row, "Host").value_or("");
        const auto port = base::parse_uint(reported.cell(row, "Port").value_or(""));
        if (host.empty() || !port || *port > 65535) continue;
        evidence.replicas.push_back({host, {host, static_cast<std::uint16_t>(*port)}});
    }
    for (std::size_t row = 0; row < dumping.rows.size(); ++row) {
        const std::string client = dumping.cell(row, "HOST").value_or("");
        const std::string host = client.substr(0, client.rfind(':'));
        const bool known = std::any_of(evidence.replicas.begin(), evidence.replicas.end(),
                                       [&](const auto& replica) { return replica.address.host == host; });
        if (!host.empty() && !known) evidence.replicas.push_back({"", {host, 0}});
    }
}

}  // namespace

std::string hello_text() { return "SELECT @@version AS version, @@version_comment AS version_comment"; }

std::optional<ProbeFailure> check_hello(const ResultSet& answer, Engine expected) {
    const auto version = answer.cell("version");
    const auto comment = answer.cell("version_comment");
    if (!version || !comment) return incomplete("the server does not tell its version");
    const bool mariadb = version->find("MariaDB") != std::string::npos ||
                         comment->find("mariadb") != std::string::npos || comment->find("MariaDB") != std::string::npos;
    const Engine found = mariadb ? Engine::MariaDb : Engine::MySql;
    const std::string numbers = version->substr(0, version->find_first_not_of("0123456789."));
    const std::string product = fmt::format("{} {}", mariadb ? "MariaDB" : "MySQL", numbers);
    if (found != expected) {
        return ProbeFailure{ProbeFailureKind::ServerError, 0,
                            fmt::format("is {}, but the cluster is configured as {}: set engine: {}", product,
                                        engine_name(expected), engine_name(found))};
    }
    std::vector<std::uint64_t> parts;
    for (const auto part : base::split(numbers, '.')) {
        const auto value = base::parse_uint(part);
        if (!value) break;
        parts.push_back(*value);
    }
    if (parts.size() < 2) return incomplete(fmt::format("unknown form of version '{}'", *version));
    const std::vector<std::uint64_t> oldest =
        mariadb ? std::vector<std::uint64_t>{10, 5} : std::vector<std::uint64_t>{8, 0, 22};
    if (parts < oldest) {
        return ProbeFailure{
            ProbeFailureKind::ServerError, 0,
            fmt::format("is {}, which is too old: {} or later is needed", product, mariadb ? "10.5" : "8.0.22")};
    }
    return std::nullopt;
}

std::string probe_text(const Questions& questions) {
    const Dialect names = dialect(questions.engine);
    std::string text = "SELECT ";
    for (const std::string& variable : names.variables) {
        // server_uuid and version have a global value only.
        text += fmt::format("@@global.{0} AS {0}, ", variable);
    }
    text += questions.server_uid ? "@@global.server_uid AS server_uid" : "1 AS answered";
    text += "; " + names.sources;
    text += questions.engine == Engine::MariaDb
                ? "; SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_master_status'"
                : "; SELECT VARIABLE_NAME, VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME IN"
                  " ('Rpl_semi_sync_source_status', 'Rpl_semi_sync_master_status')";
    if (questions.replicas) {
        text += "; " + names.replicas +
                "; SELECT HOST FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
    }
    if (!questions.topology_query.empty()) text += "; " + questions.topology_query;
    return text;
}

probing::Answer read_evidence(const Questions& questions, const std::vector<ResultSet>& results) {
    const bool topology = !questions.topology_query.empty();
    const std::size_t expected = 3U + (questions.replicas ? 2 : 0) + (topology ? 1 : 0);
    if (results.size() != expected) {
        return incomplete(fmt::format("expected {} results, found {}", expected, results.size()));
    }
    Evidence evidence;
    if (auto failure = read_variables(questions, results[0], evidence)) return std::move(*failure);
    if (auto failure = read_sources(questions, results[1], evidence)) return std::move(*failure);
    if (auto failure = read_semi_sync(questions, results[2], evidence)) return std::move(*failure);
    if (questions.replicas) read_replicas(results[3], results[4], evidence);
    if (topology) {
        auto rows = probing::read_topology(results.back());
        if (auto* failure = std::get_if<ProbeFailure>(&rows)) return std::move(*failure);
        evidence.topology = std::move(std::get<std::vector<clusters::TopologyRow>>(rows));
    }
    return evidence;
}

ProbeFailure to_failure(const base::Error& error) {
    ProbeFailure failure{ProbeFailureKind::ServerError, error.code, error.text()};
    switch (error.code) {
        case 0:
            failure.kind = ProbeFailureKind::TimedOut;
            break;
        case code_no_socket:
        case code_no_ip_socket:
            // We have no file descriptor left: says nothing about the member.
            failure.kind = ProbeFailureKind::OurOwnDelay;
            break;
        case code_connection:
        case code_host:
            // Told apart by the system's error number, which the library only gives in its text: ECONNREFUSED is 111.
            failure.kind = error.message.find("(111") != std::string::npos ? ProbeFailureKind::Refused
                                                                           : ProbeFailureKind::TimedOut;
            break;
        case code_gone:
        case code_lost:
        case code_lost_extended:
        case code_handshake:
        case code_shutdown:
        case code_killed:
        case code_disconnected_for_inactivity:
            failure.kind = ProbeFailureKind::Reset;
            break;
        default:
            if (error.kind == ErrorKind::PermissionDenied) failure.kind = ProbeFailureKind::LoginDenied;
    }
    return failure;
}

}  // namespace signalbox::mysql
