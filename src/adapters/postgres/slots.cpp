#include "adapters/postgres/slots.hpp"

#include <algorithm>

#include "adapters/postgres/timeline.hpp"

namespace signalbox::postgres {
namespace {

using channels::Failure;
using channels::FailureKind;
using channels::SlotStatus;
using probing::Clock;

base::Duration left(Clock::time_point until) {
    return std::max(base::Duration(0), base::Duration(until - Clock::now()));
}

Failure to_failure(const base::Error& error) {
    const bool denied = error.kind == base::ErrorKind::PermissionDenied;
    return {denied ? FailureKind::Denied : FailureKind::Unreachable, error.text()};
}

Failure incomplete(std::string text) { return {FailureKind::Incomplete, std::move(text)}; }

}  // namespace

std::string slot_text(const std::string& slot) {
    // pg_walfile_name() begins with the timeline; pg_control_checkpoint() would tell it late after a promotion.
    return "SELECT pg_is_in_recovery() AS in_recovery,"
           " CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_lsn()::text END AS current_lsn,"
           " CASE WHEN NOT pg_is_in_recovery() THEN"
           "  ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint END AS timeline,"
           " s.slot_type, s.plugin, s.database, s.active, s.restart_lsn::text AS restart_lsn,"
           " s.confirmed_flush_lsn::text AS confirmed_lsn, s.wal_status, s.active_pid, r.pid AS sender, r.state,"
           " r.reply_time::text AS reply_time"
           " FROM (SELECT 1) one LEFT JOIN pg_replication_slots s ON s.slot_name = " +
           slot + " LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid";
}

std::variant<SlotStatus, Failure> read_slot(const std::string& name, const ResultSet& answer) {
    if (answer.rows.size() != 1) return incomplete(fmt::format("expected one row, found {}", answer.rows.size()));
    if (answer.cell("in_recovery") != "f") return Failure{FailureKind::Unreachable, "it is in recovery, and no writer"};
    const auto current = parse_lsn(answer.cell("current_lsn").value_or(""));
    const auto timeline = base::parse_uint(answer.cell("timeline").value_or(""));
    if (!current || !timeline) return incomplete("the answer has no position, or no timeline");
    SlotStatus status;
    status.current_lsn = *current;
    status.timeline = *timeline;
    if (!answer.cell("slot_type")) return status;
    if (answer.cell("slot_type") != "logical")
        return incomplete(fmt::format("slot '{}' is {}, not logical", name, *answer.cell("slot_type")));
    status.exists = true;
    status.plugin = answer.cell("plugin").value_or("");
    status.database = answer.cell("database").value_or("");
    status.active = answer.cell("active") == "t";
    status.wal_status = answer.cell("wal_status").value_or("");
    // A slot whose WAL is gone has no restart_lsn any more.
    status.restart_lsn = parse_lsn(answer.cell("restart_lsn").value_or("")).value_or(0);
    const auto confirmed = parse_lsn(answer.cell("confirmed_lsn").value_or(""));
    if (!confirmed) return incomplete(fmt::format("slot '{}' has no confirmed position yet: it is being made", name));
    status.confirmed_lsn = *confirmed;
    if (status.active && answer.cell("sender") && !answer.cell("state")) {
        return Failure{FailureKind::Denied, "its user may not see who reads from the slot: GRANT pg_monitor to it"};
    }
    // A reader through SQL (pg_logical_slot_get_changes) has no sender: each of its calls is a new process.
    status.reply_time = answer.cell("sender") ? answer.cell("reply_time").value_or("")
                                              : "process " + answer.cell("active_pid").value_or("");
    return status;
}

SlotLink::SlotLink(const channels::ChannelConfig& config) : slot_(config.slot) {
    params_.user = config.user;
    params_.password = config.password;
    params_.database = config.database;
    params_.tls_ca_file = config.tls_ca_file;
    params_.tls_verify_host = config.tls_verify_host;
}

void SlotLink::aim(const base::HostPort& address) {
    client_.close();
    params_.host = address.host;
    params_.port = address.port;
}

probing::ChannelAnswer SlotLink::look(Clock::time_point until) {
    if (!client_.connected()) {
        if (const auto status = client_.connect(params_, left(until)); !status) return to_failure(status.error());
    }
    const auto answer = client_.query(slot_text(client_.quote(slot_)), left(until));
    if (!answer) return to_failure(answer.error());
    auto read = read_slot(slot_, *answer);
    if (auto* status = std::get_if<SlotStatus>(&read)) return std::move(*status);
    return std::get<Failure>(std::move(read));
}

probing::RestartAnswer SlotLink::restart(bool, Clock::time_point) {
    return {channels::RestartOutcome::Failed, "a slot's reader is not restarted"};
}

}  // namespace signalbox::postgres
