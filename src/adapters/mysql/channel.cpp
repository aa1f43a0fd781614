#include "adapters/mysql/channel.hpp"

#include <algorithm>

namespace signalbox::mysql {
namespace {

using base::ErrorKind;
using channels::Failure;
using channels::FailureKind;
using channels::ReplicaStatus;
using channels::Thread;
using probing::Clock;

constexpr int code_no_right = 1227;

base::Duration left(Clock::time_point until) {
    return std::max(base::Duration(0), base::Duration(until - Clock::now()));
}

Failure incomplete(std::string text) { return {FailureKind::Incomplete, std::move(text)}; }

Failure to_failure(const base::Error& error) {
    const bool denied = error.kind == ErrorKind::PermissionDenied || error.code == code_no_right;
    return {denied ? FailureKind::Denied : FailureKind::Unreachable, error.text()};
}

// The same things under the names of each family.
struct Names {
    const char* connection;
    const char* io;
    const char* sql;
    const char* host;
    const char* port;
    const char* file;
    const char* offset;
    const char* behind;
};
constexpr Names mariadb_names{"Connection_name", "Slave_IO_Running", "Slave_SQL_Running",   "Master_Host",
                              "Master_Port",     "Master_Log_File",  "Read_Master_Log_Pos", "Seconds_Behind_Master"};
constexpr Names mysql_names{"Channel_Name", "Replica_IO_Running", "Replica_SQL_Running", "Source_Host",
                            "Source_Port",  "Source_Log_File",    "Read_Source_Log_Pos", "Seconds_Behind_Source"};

std::optional<Thread> thread_state(const std::optional<std::string>& text) {
    if (!text) return std::nullopt;
    if (*text == "Yes") return Thread::Running;
    if (*text == "No") return Thread::Stopped;
    if (*text == "Connecting" || *text == "Preparing") return Thread::Connecting;
    return std::nullopt;
}

base::Duration seconds(const std::optional<std::string>& text) {
    const auto value = base::parse_double(text.value_or("0")).value_or(0);
    return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(std::clamp(value, 0.0, 1e6)));
}

std::string joined(const std::string& a, const std::string& b) { return a.empty() || b.empty() ? a + b : a + "," + b; }

// What both families show under names that differ at most.
std::variant<ReplicaStatus, Failure> read_common(const Names& names, const ResultSet& set, std::size_t row) {
    ReplicaStatus status;
    const auto io = thread_state(set.cell(row, names.io));
    const auto port = base::parse_uint(set.cell(row, names.port).value_or(""));
    const auto io_error = base::parse_int(set.cell(row, "Last_IO_Errno").value_or(""));
    const auto sql_error = base::parse_int(set.cell(row, "Last_SQL_Errno").value_or(""));
    if (!io || !port || *port > 65535 || !io_error || !sql_error || !set.cell(row, names.host) ||
        !set.cell(row, names.sql)) {
        return incomplete("its replication status lacks a thread's state, the source or an error number");
    }
    status.io = *io;
    status.sql_running = set.cell(row, names.sql) == "Yes";
    status.source = {*set.cell(row, names.host), static_cast<std::uint16_t>(*port)};
    status.io_error = static_cast<int>(*io_error);
    status.io_error_text = set.cell(row, "Last_IO_Error").value_or("");
    status.sql_error = static_cast<int>(*sql_error);
    status.sql_error_text = set.cell(row, "Last_SQL_Error").value_or("");
    status.retry = seconds(set.cell(row, "Connect_Retry"));
    status.log_position = set.cell(row, names.file).value_or("") + ":" + set.cell(row, names.offset).value_or("");
    if (const auto behind = set.cell(row, names.behind)) status.behind = seconds(behind);
    status.shared = set.rows.size() > 1;
    return status;
}

void add_mariadb(const ResultSet& variables, const ResultSet& set, std::size_t row, ReplicaStatus& status) {
    const std::string mode = set.cell(row, "Using_Gtid").value_or("No");
    status.uses_gtid = mode == "Slave_Pos" || mode == "Current_Pos";
    const std::string applied =
        variables.cell(mode == "Current_Pos" ? "gtid_current_pos" : "gtid_slave_pos").value_or("");
    // With both threads stopped the relay log is discarded at the next start: what was received only does not count.
    const bool both_stopped = status.io == Thread::Stopped && !status.sql_running;
    status.position = both_stopped ? applied : joined(set.cell(row, "Gtid_IO_Pos").value_or(""), applied);
    status.heartbeats = base::parse_uint(set.cell(row, "Slave_received_heartbeats").value_or("")).value_or(0);
    status.heartbeat_period = seconds(set.cell(row, "Slave_heartbeat_period"));
}

void add_mysql(const ResultSet& details, const std::string& connection, const ResultSet& set, std::size_t row,
               ReplicaStatus& status) {
    status.uses_gtid = set.cell(row, "Auto_Position") == "1";
    for (std::size_t i = 0; i < details.rows.size(); ++i) {
        if (details.cell(i, "channel_name") != connection) continue;
        // With other channels beside it, what was applied is not of this cluster alone.
        status.position = details.cell(i, status.shared ? "received" : "received_and_applied").value_or("");
        status.heartbeats = base::parse_uint(details.cell(i, "heartbeats").value_or("")).value_or(0);
        status.heartbeat_period = seconds(details.cell(i, "heartbeat_interval"));
    }
}

}  // namespace

std::string replica_text(bool mariadb) {
    if (mariadb) {
        return "SELECT @@global.gtid_slave_pos AS gtid_slave_pos, @@global.gtid_current_pos AS gtid_current_pos;"
               " SHOW ALL SLAVES STATUS";
    }
    // A replica's own transactions are not the source's business.
    const std::string own = "CONCAT(@@global.server_uuid, ':1-9223372036854775806')";
    return "SELECT s.CHANNEL_NAME AS channel_name,"
           " GTID_SUBTRACT(s.RECEIVED_TRANSACTION_SET, " +
           own +
           ") AS received,"
           " GTID_SUBTRACT(CONCAT_WS(',', NULLIF(@@global.gtid_executed, ''), NULLIF(s.RECEIVED_TRANSACTION_SET, "
           "'')), " +
           own +
           ") AS received_and_applied,"
           " s.COUNT_RECEIVED_HEARTBEATS AS heartbeats, c.HEARTBEAT_INTERVAL AS heartbeat_interval"
           " FROM performance_schema.replication_connection_status s"
           " JOIN performance_schema.replication_connection_configuration c USING (CHANNEL_NAME);"
           " SHOW REPLICA STATUS";
}

std::variant<ReplicaStatus, Failure> read_replica(bool mariadb, const std::string& connection,
                                                  const std::vector<ResultSet>& results) {
    if (results.size() != 2) return incomplete(fmt::format("expected two results, found {}", results.size()));
    const Names& names = mariadb ? mariadb_names : mysql_names;
    const ResultSet& set = results[1];
    for (std::size_t row = 0; row < set.rows.size(); ++row) {
        if (!base::equal_ignoring_case(set.cell(row, names.connection).value_or(""), connection)) continue;
        auto read = read_common(names, set, row);
        auto* status = std::get_if<ReplicaStatus>(&read);
        if (status == nullptr) return read;
        if (mariadb) {
            add_mariadb(results[0], set, row, *status);
        } else {
            add_mysql(results[0], connection, set, row, *status);
        }
        return read;
    }
    return incomplete(connection.empty() ? std::string("it is no replica: it has no default replication connection")
                                         : fmt::format("it has no replication connection '{}'", connection));
}

std::string restart_text(bool mariadb, const std::string& connection) {
    if (mariadb) {
        const std::string name = connection.empty() ? std::string() : fmt::format("'{}' ", connection);
        return fmt::format("STOP SLAVE {0}IO_THREAD; START SLAVE {0}IO_THREAD", name);
    }
    return fmt::format("STOP REPLICA IO_THREAD FOR CHANNEL '{0}'; START REPLICA IO_THREAD FOR CHANNEL '{0}'",
                       connection);
}

ReplicaLink::ReplicaLink(const channels::ChannelConfig& config) : connection_(config.connection) {
    params_.host = config.address.host;
    params_.port = config.address.port;
    params_.user = config.user;
    params_.password = config.password;
    params_.tls_ca_file = config.tls_ca_file;
    params_.tls_verify_host = config.tls_verify_host;
}

base::Result<std::vector<ResultSet>> ReplicaLink::ask(Clock::time_point until) {
    if (!client_.connected()) {
        SB_CHECK(client_.connect(params_, left(until)));
        mariadb_ = client_.server_version().find("MariaDB") != std::string::npos;
    }
    return client_.query_all(replica_text(mariadb_), left(until));
}

probing::ChannelAnswer ReplicaLink::look(Clock::time_point until) {
    const auto results = ask(until);
    if (!results) return to_failure(results.error());
    auto read = read_replica(mariadb_, connection_, *results);
    if (auto* status = std::get_if<ReplicaStatus>(&read)) return std::move(*status);
    return std::get<Failure>(std::move(read));
}

probing::RestartAnswer ReplicaLink::restart(bool resume, Clock::time_point until) {
    using channels::RestartOutcome;
    const auto before = look(until);
    if (const auto* failure = std::get_if<Failure>(&before)) return {RestartOutcome::Failed, failure->text};
    const auto& status = std::get<ReplicaStatus>(before);
    const bool deliberate =
        status.io == Thread::Stopped && (status.io_error == 0 || (!status.sql_running && status.sql_error == 0));
    if (deliberate && !resume) return {RestartOutcome::Refused, "somebody has stopped it"};
    const auto done = client_.query_all(restart_text(mariadb_, client_.escape(connection_)), left(until));
    if (done) return {RestartOutcome::Done, {}};
    const bool unknown = done.error().kind == ErrorKind::UnknownOutcome;
    return {unknown ? RestartOutcome::Unknown : RestartOutcome::Failed,
            done.error().code == code_no_right
                ? done.error().text() + "; its user needs REPLICATION SLAVE ADMIN (MySQL: REPLICATION_SLAVE_ADMIN)"
                : done.error().text()};
}

}  // namespace signalbox::mysql
