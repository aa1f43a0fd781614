#include "adapters/postgres/probe.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

#include "adapters/probing/topology.hpp"

namespace signalbox::postgres {
namespace {

using base::ErrorKind;
using clusters::Evidence;
using clusters::ProbeFailure;
using clusters::ProbeFailureKind;

constexpr int oldest_version = 120000;
constexpr int version_with_flushed_lsn = 130000;
// The smallest page of the log that a server can be built with; every larger one is a multiple.
constexpr std::uint64_t wal_page_bytes_min = 1024;

ProbeFailure incomplete(std::string text) { return {ProbeFailureKind::Incomplete, 0, std::move(text)}; }

// Booleans as PostgreSQL prints them in rows ("t") and in settings ("on").
std::optional<bool> parse_flag(const std::optional<std::string>& value) {
    if (value == "t" || value == "on") return true;
    if (value == "f" || value == "off") return false;
    return std::nullopt;
}

std::optional<std::uint32_t> parse_timeline(const std::optional<std::string>& value) {
    const auto number = base::parse_uint(value.value_or(""));
    if (!number || *number == 0 || *number > 0xFFFFFFFFU) return std::nullopt;
    return static_cast<std::uint32_t>(*number);
}

// Of two columns that belong together; nothing where one is missing.
std::optional<WalPoint> parse_point(const ResultSet& set, std::string_view timeline, std::string_view lsn) {
    const auto number = parse_timeline(set.cell(timeline));
    const auto place = parse_lsn(set.cell(lsn).value_or(""));
    if (!number || !place) return std::nullopt;
    return WalPoint{*number, *place};
}

// The host and port in a connection string, which may hold a password: nothing else of it is kept.
base::HostPort source_of(const std::string& conninfo) {
    base::HostPort source;
    const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
        PQconninfoParse(conninfo.c_str(), nullptr), &PQconninfoFree);
    if (options == nullptr) return source;
    source.port = 5432;
    for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
        if (option->val == nullptr || *option->val == '\0') continue;
        const std::string_view keyword = option->keyword;
        if (keyword == "hostaddr" || (keyword == "host" && source.host.empty())) source.host = option->val;
        if (keyword == "port") {
            const auto port = base::parse_uint(option->val);
            if (port && *port <= 65535) source.port = static_cast<std::uint16_t>(*port);
        }
    }
    return source;
}

std::optional<ProbeFailure> read_receiver(const ResultSet& set, Answered& answered) {
    if (!set.cell("receiver_pid")) return std::nullopt;
    const auto status = set.cell("receiver_status");
    if (!status) {
        return incomplete("its WAL receiver is hidden from this user: GRANT pg_monitor to it (or pg_read_all_stats)");
    }
    const auto flushed = parse_point(set, "received_timeline", "received_lsn");
    const auto port = base::parse_uint(set.cell("sender_port").value_or("0"));
    if (!flushed || !port || *port > 65535) return incomplete("its WAL receiver has no timeline, place or sender");
    answered.receiver = Receiver{
        *status == "streaming", *flushed, {set.cell("sender_host").value_or(""), static_cast<std::uint16_t>(*port)}};
    return std::nullopt;
}

std::optional<ProbeFailure> read_log(const Questions& questions, const ResultSet& set, Answered& answered) {
    if (questions.aurora) return std::nullopt;
    if (!answered.in_recovery) {
        const auto name = set.cell("wal_file").value_or("");
        const auto lsn = parse_lsn(set.cell("flush_lsn").value_or(""));
        // A WAL file's name begins with its timeline, eight hexadecimal digits.
        const auto timeline = parse_lsn("0/" + name.substr(0, 8));
        if (!lsn || name.size() != 24 || !timeline || *timeline == 0)
            return incomplete("the answer has no place in the log");
        answered.flushed = WalPoint{static_cast<std::uint32_t>(*timeline), *lsn};
        return std::nullopt;
    }
    if (auto failure = read_receiver(set, answered)) return failure;
    if (const auto replayed = set.cell("replay_lsn")) {
        answered.replayed_lsn = parse_lsn(*replayed);
        if (!answered.replayed_lsn) return incomplete("replay_lsn has an unknown form");
    }
    answered.replayed_at_least = parse_point(set, "min_recovery_timeline", "min_recovery_lsn");
    const auto checkpoint = parse_point(set, "checkpoint_timeline", "checkpoint_lsn");
    if (!answered.replayed_at_least || (checkpoint && *checkpoint > *answered.replayed_at_least)) {
        answered.replayed_at_least = checkpoint;
    }
    if (const auto since = set.cell("since_replayed_s")) {
        const auto seconds = base::parse_double(*since);
        if (!seconds || !std::isfinite(*seconds) || *seconds > 3.2e9)
            return incomplete("the age of what it replayed has an unknown form");
        // Its clock may be behind the writer's.
        answered.since_replayed = base::Duration(static_cast<std::int64_t>(std::max(0.0, *seconds) * 1e9));
    }
    answered.source = source_of(set.cell("primary_conninfo").value_or(""));
    return std::nullopt;
}

std::optional<ProbeFailure> read_state(const Questions& questions, const ResultSet& set, Answered& answered) {
    if (set.rows.size() != 1) return incomplete(fmt::format("expected one row of state, found {}", set.rows.size()));
    const auto in_recovery = parse_flag(set.cell("in_recovery"));
    const auto read_only = parse_flag(set.cell("transaction_read_only"));
    if (!in_recovery) return incomplete("the answer has no in_recovery");
    if (!read_only) return incomplete("the answer has no transaction_read_only");
    answered.in_recovery = *in_recovery;
    answered.read_only = *read_only;
    const auto standby_names = set.cell("synchronous_standby_names");
    const auto commit = set.cell("synchronous_commit");
    if (!standby_names || !commit)
        return incomplete("the answer has no synchronous_standby_names or synchronous_commit");
    answered.waits_for_replica = !base::trim(*standby_names).empty() && *commit != "off" && *commit != "local";
    return read_log(questions, set, answered);
}

std::optional<ProbeFailure> read_replicas(const ResultSet& set, Answered& answered) {
    if (!set.has("client_addr")) return incomplete("the list of replicas has no client_addr");
    for (std::size_t row = 0; row < set.rows.size(); ++row) {
        const auto address = set.cell(row, "client_addr");
        // Over a unix socket, or hidden from this user.
        if (!address) continue;
        answered.replicas.push_back({set.cell(row, "application_name").value_or(""), {*address, 0}});
    }
    return std::nullopt;
}

// Up to where a log that was received to `point` is whole records. A sender cuts between pages (walsender.c,
// XLogSendPhysical), so that a place on a page's boundary may lie inside a record, which a promotion drops: only what
// was replayed is whole then.
WalPoint whole_records(WalPoint point, std::optional<std::uint64_t> replayed_lsn) {
    if (point.lsn % wal_page_bytes_min == 0) point.lsn = std::min(point.lsn, replayed_lsn.value_or(0));
    return point;
}

}  // namespace

std::string hello_text() {
    return "SELECT current_setting('server_version') AS version, system_identifier,"
           " pg_has_role('pg_read_all_settings', 'USAGE') AS reads_settings,"
           " pg_has_role('pg_read_all_stats', 'USAGE') AS reads_stats,"
           " EXISTS (SELECT FROM pg_proc WHERE proname = 'aurora_version') AS aurora FROM pg_control_system()";
}

std::variant<Hello, ProbeFailure> read_hello(const ResultSet& answer) {
    const auto version = answer.cell("version");
    const auto identifier = answer.cell("system_identifier");
    const auto reads_settings = parse_flag(answer.cell("reads_settings"));
    const auto reads_stats = parse_flag(answer.cell("reads_stats"));
    const auto aurora = parse_flag(answer.cell("aurora"));
    if (!version || !identifier || identifier->empty() || !reads_settings || !reads_stats || !aurora) {
        return incomplete("the server does not tell its version, system identifier or our rights");
    }
    return Hello{version->substr(0, version->find(' ')), *identifier, *reads_settings, *reads_stats, *aurora};
}

std::optional<ProbeFailure> check_version(int number) {
    if (number >= oldest_version) return std::nullopt;
    if (number <= 0) return incomplete("the server does not tell its version");
    const std::string version = number >= 100000 ? fmt::format("{}.{}", number / 10000, number % 10000)
                                                 : fmt::format("{}.{}", number / 10000, number / 100 % 100);
    return ProbeFailure{ProbeFailureKind::ServerError, 0,
                        fmt::format("is PostgreSQL {}, which is too old: 12 or later is needed", version)};
}

std::string prepare_text(const Questions& questions) {
    std::string text =
        "PREPARE signalbox_probe AS SELECT s.in_recovery, current_setting('transaction_read_only') AS"
        " transaction_read_only, current_setting('synchronous_standby_names') AS synchronous_standby_names,"
        " current_setting('synchronous_commit') AS synchronous_commit";
    // Evaluated once: a promotion between two looks would make an answer that was never true.
    const std::string_view state = " FROM (SELECT pg_is_in_recovery() AS in_recovery OFFSET 0) s";
    const std::string_view replicas =
        "; PREPARE signalbox_replicas AS SELECT application_name, host(client_addr) AS"
        " client_addr FROM pg_stat_replication";
    const std::string_view end = questions.replicas ? replicas : "";
    if (questions.aurora) return fmt::format("{}{}{}", text, state, end);
    // In recovery the first two are errors; of the others, who is not in recovery is not asked.
    text +=
        ", CASE WHEN NOT s.in_recovery THEN pg_current_wal_flush_lsn() END AS flush_lsn,"
        " CASE WHEN NOT s.in_recovery THEN pg_walfile_name(pg_current_wal_flush_lsn()) END AS wal_file,"
        " CASE WHEN s.in_recovery THEN pg_last_wal_replay_lsn() END AS replay_lsn,"
        " CASE WHEN s.in_recovery THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END"
        " AS since_replayed_s,"
        " w.pid AS receiver_pid, w.status AS receiver_status, w.received_tli AS received_timeline,"
        " w.sender_host, w.sender_port,";
    text += questions.version_number >= version_with_flushed_lsn ? " w.flushed_lsn AS received_lsn"
                                                                 : " w.received_lsn AS received_lsn";
    if (questions.reads_settings) {
        text += ", CASE WHEN s.in_recovery THEN current_setting('primary_conninfo') END AS primary_conninfo";
    }
    // The control file tells a place and its timeline together, where no receiver does.
    for (const auto& [column, function] :
         {std::pair{"min_recovery_end_lsn AS min_recovery_lsn", "pg_control_recovery"},
          {"min_recovery_end_timeline AS min_recovery_timeline", "pg_control_recovery"},
          {"checkpoint_lsn AS checkpoint_lsn", "pg_control_checkpoint"},
          {"timeline_id AS checkpoint_timeline", "pg_control_checkpoint"}}) {
        const std::string_view pair = column;
        const std::size_t as = pair.find(" AS ");
        text += fmt::format(", CASE WHEN s.in_recovery AND w.pid IS NULL THEN (SELECT {} FROM {}()) END{}",
                            pair.substr(0, as), function, pair.substr(as));
    }
    return fmt::format("{}{} LEFT JOIN pg_stat_wal_receiver w ON true{}", text, state, end);
}

std::string probe_text(const Questions& questions) {
    std::string text = "EXECUTE signalbox_probe";
    if (questions.replicas) text += "; EXECUTE signalbox_replicas";
    if (!questions.topology_query.empty()) text += "; " + questions.topology_query;
    return text;
}

std::variant<Answered, ProbeFailure> read_answer(const Questions& questions, const std::vector<ResultSet>& results) {
    const bool topology = !questions.topology_query.empty();
    const std::size_t expected = 1U + (questions.replicas ? 1 : 0) + (topology ? 1 : 0);
    if (results.size() != expected) {
        return incomplete(fmt::format("expected {} results, found {}", expected, results.size()));
    }
    Answered answered;
    if (auto failure = read_state(questions, results[0], answered)) return std::move(*failure);
    if (questions.replicas) {
        if (auto failure = read_replicas(results[1], answered)) return std::move(*failure);
    }
    if (topology) {
        auto rows = probing::read_topology(results.back());
        if (auto* failure = std::get_if<ProbeFailure>(&rows)) return std::move(*failure);
        answered.topology = std::move(std::get<std::vector<clusters::TopologyRow>>(rows));
    }
    return answered;
}

std::optional<WalPoint> reached(const Answered& answered, const std::optional<WalPoint>& before) {
    if (!answered.in_recovery) return answered.flushed;
    if (answered.receiver) {
        WalPoint point = answered.receiver->flushed;
        // A receiver begins at the start of a segment, which may be behind what was replayed.
        point.lsn = std::max(point.lsn, answered.replayed_lsn.value_or(0));
        return point;
    }
    // Without one, its last place has no timeline: what is known with one is less, and true.
    return std::max(before, answered.replayed_at_least);
}

Evidence to_evidence(const Hello& hello, const Answered& answered, const std::optional<WalPoint>& point,
                     const TimelineHistory& history) {
    Evidence evidence;
    evidence.engine = clusters::Engine::PostgreSql;
    evidence.cluster_uid = hello.system_identifier;
    evidence.version = hello.version;
    evidence.read_only = answered.in_recovery || answered.read_only;
    evidence.innodb_read_only = false;
    evidence.waits_for_replica = answered.waits_for_replica;
    evidence.replicas = answered.replicas;
    evidence.topology = answered.topology;
    if (point) {
        evidence.server_id = point->timeline;
        evidence.binlog_state = position_text(history, *point);
        evidence.applied = evidence.binlog_state;
    }
    if (!answered.in_recovery) return evidence;
    if (point && answered.replayed_lsn) {
        evidence.applied = position_text(history, {point->timeline, std::min(point->lsn, *answered.replayed_lsn)});
    }
    clusters::ReplicationSource source;
    source.address = answered.source;
    source.sql_running = true;
    if (point) source.received = position_text(history, whole_records(*point, answered.replayed_lsn));
    if (answered.receiver) {
        if (source.address.host.empty()) source.address = answered.receiver->source;
        source.io_running = answered.receiver->streaming;
        source.received = position_text(history, whole_records(answered.receiver->flushed, answered.replayed_lsn));
    }
    evidence.sources.push_back(std::move(source));
    const bool applied_all = answered.receiver && answered.receiver->streaming && answered.replayed_lsn &&
                             *answered.replayed_lsn >= answered.receiver->flushed.lsn;
    evidence.lag = applied_all ? std::optional(base::Duration(0)) : answered.since_replayed;
    return evidence;
}

ProbeFailure to_failure(const base::Error& error) {
    ProbeFailure failure{ProbeFailureKind::ServerError, error.code, error.text()};
    const std::string sqlstate = sqlstate_text(error.code);
    if (error.code == 0 || error.code == code_unreachable) {
        failure.kind = ProbeFailureKind::TimedOut;
    } else if (error.code == code_refused) {
        failure.kind = ProbeFailureKind::Refused;
    } else if (error.code == code_no_socket) {
        // Says nothing about the member.
        failure.kind = ProbeFailureKind::OurOwnDelay;
    } else if (error.code == code_lost || sqlstate == "57P01" || sqlstate == "57P02") {
        failure.kind = ProbeFailureKind::Reset;
    } else if (error.kind == ErrorKind::PermissionDenied) {
        failure.kind = ProbeFailureKind::LoginDenied;
    }
    return failure;
}

}  // namespace signalbox::postgres
