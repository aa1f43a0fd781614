#include "adapters/mysql/probe.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <fcntl.h>
#include <thread>
#include <unistd.h>

namespace signalbox::mysql {
namespace {

using base::ErrorKind;
using clusters::Evidence;
using clusters::Observation;
using clusters::ProbeFailure;
using clusters::ProbeFailureKind;
using Clock = std::chrono::steady_clock;

// Codes of the client library: nobody there, and connections that ended.
constexpr int code_no_socket = 2001;
constexpr int code_no_ip_socket = 2004;
constexpr int code_connection = 2002;
constexpr int code_host = 2003;
constexpr int code_gone = 2006;
constexpr int code_lost = 2013;
constexpr int code_lost_extended = 2055;
constexpr int code_handshake = 2012;

base::MonoTime mono(Clock::time_point time) { return base::MonoTime(time.time_since_epoch()); }

ProbeFailure incomplete(std::string text) { return {ProbeFailureKind::Incomplete, 0, std::move(text)}; }

// A row's cell by its column's name; nullopt if there is no such column or it is NULL.
std::optional<std::string> cell(const ResultSet& set, std::size_t row, std::string_view column) {
    for (std::size_t i = 0; i < set.columns.size(); ++i) {
        if (base::equal_ignoring_case(set.columns[i], column)) return set.rows[row][i];
    }
    return std::nullopt;
}

// "0" and "OFF" are off; servers since 12 have several forms of on. Nothing at all is no answer.
std::optional<bool> switched_on(const std::optional<std::string>& value) {
    if (!value || value->empty()) return std::nullopt;
    return *value != "0" && !base::equal_ignoring_case(*value, "OFF");
}

std::variant<Evidence, ProbeFailure> read_variables(const ResultSet& set) {
    if (set.rows.size() != 1)
        return incomplete(fmt::format("expected one row of variables, found {}", set.rows.size()));
    for (const char* column :
         {"read_only", "innodb_read_only", "server_id", "version", "gtid_binlog_state", "gtid_current_pos"}) {
        if (!set.cell(column)) return incomplete(fmt::format("the answer has no {}", column));
    }
    Evidence evidence;
    const auto read_only = switched_on(set.cell("read_only"));
    const auto innodb_read_only = switched_on(set.cell("innodb_read_only"));
    const auto server_id = base::parse_uint(*set.cell("server_id"));
    if (!read_only || !innodb_read_only || !server_id) {
        return incomplete("read_only, innodb_read_only or server_id has an unknown form");
    }
    evidence.read_only = *read_only;
    evidence.innodb_read_only = *innodb_read_only;
    evidence.server_id = *server_id;
    evidence.server_uid = set.cell("server_uid").value_or("");
    evidence.version = *set.cell("version");
    evidence.binlog_state = *set.cell("gtid_binlog_state");
    evidence.applied = *set.cell("gtid_current_pos");
    return evidence;
}

std::optional<ProbeFailure> read_sources(const ResultSet& set, Evidence& evidence) {
    if (set.columns.empty()) return incomplete("the list of replication channels has no columns");
    for (std::size_t row = 0; row < set.rows.size(); ++row) {
        const auto name = cell(set, row, "Connection_name");
        const auto host = cell(set, row, "Master_Host");
        const auto port = base::parse_uint(cell(set, row, "Master_Port").value_or(""));
        const auto io = cell(set, row, "Slave_IO_Running");
        const auto sql = cell(set, row, "Slave_SQL_Running");
        const auto received = cell(set, row, "Gtid_IO_Pos");
        if (!name || !host || !port || *port > 65535 || !io || !sql || !received) {
            return incomplete(fmt::format("replication channel {} lacks a name, source, state or position", row));
        }
        evidence.sources.push_back({*name,
                                    {*host, static_cast<std::uint16_t>(*port)},
                                    base::equal_ignoring_case(*io, "Yes"),
                                    base::equal_ignoring_case(*sql, "Yes"),
                                    *received});
    }
    return std::nullopt;
}

// Time that the calling thread was ready to run and had no processor (proc(5), schedstat); 0 where the kernel does not
// tell.
class StarvationGauge {
  public:
    StarvationGauge() : fd_(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)) {}
    ~StarvationGauge() {
        if (fd_ >= 0) ::close(fd_);
    }
    StarvationGauge(const StarvationGauge&) = delete;
    StarvationGauge& operator=(const StarvationGauge&) = delete;
    base::Duration waited() const {
        char text[96];
        const ssize_t size = fd_ < 0 ? 0 : ::pread(fd_, text, sizeof text, 0);
        const auto parts = base::split({text, static_cast<std::size_t>(std::max<ssize_t>(size, 0))}, ' ');
        return parts.size() < 2 ? base::Duration(0)
                                : base::Duration(static_cast<std::int64_t>(base::parse_uint(parts[1]).value_or(0)));
    }

  private:
    int fd_;
};

}  // namespace

std::string probe_text(bool uid) {
    return fmt::format(
        "SELECT @@global.read_only AS read_only, @@global.innodb_read_only AS innodb_read_only,"
        " @@global.server_id AS server_id, @@version AS version, @@global.gtid_binlog_state AS gtid_binlog_state,"
        " @@global.gtid_current_pos AS gtid_current_pos{}; SHOW ALL SLAVES STATUS;"
        " SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_master_status'",
        uid ? ", @@global.server_uid AS server_uid" : "");
}

std::variant<Evidence, ProbeFailure> read_evidence(const std::vector<ResultSet>& results) {
    if (results.size() != 3) return incomplete(fmt::format("expected three results, found {}", results.size()));
    auto read = read_variables(results[0]);
    auto* evidence = std::get_if<Evidence>(&read);
    if (evidence == nullptr) return read;
    if (auto failure = read_sources(results[1], *evidence)) return *failure;
    // Built in since MariaDB 10.3: a server that does not tell is not one that acknowledges alone.
    const auto waits = switched_on(results[2].cell("Value"));
    if (!waits) return incomplete("the answer has no Rpl_semi_sync_master_status");
    evidence->waits_for_replica = *waits;
    return read;
}

ProbeFailure to_failure(const base::Error& error, bool late) {
    ProbeFailure failure{ProbeFailureKind::ServerError, error.code, error.text()};
    switch (error.code) {
        case 0:
            failure.kind = late ? ProbeFailureKind::OurOwnDelay : ProbeFailureKind::TimedOut;
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
            failure.kind = ProbeFailureKind::Reset;
            break;
        default:
            if (error.kind == ErrorKind::PermissionDenied) failure.kind = ProbeFailureKind::LoginDenied;
    }
    return failure;
}

ConnectParams connect_params(const clusters::ClusterConfig& cluster, const clusters::MemberConfig& member) {
    ConnectParams params;
    params.host = member.address.host;
    params.port = member.address.port;
    params.user = cluster.user;
    params.password = cluster.password;
    params.tls_ca_file = cluster.tls_ca_file;
    return params;
}

class Probes::Member {
  public:
    Member(std::string cluster, std::string name, ConnectParams params,
           const std::function<void(Observation)>& on_observation)
        : cluster_(std::move(cluster)),
          name_(std::move(name)),
          params_(std::move(params)),
          on_observation_(on_observation),
          thread_([this] { run(); }) {}

    ~Member() {
        {
            const std::lock_guard guard(mutex_);
            stopping_ = true;
        }
        changed_.notify_one();
        client_.cancel();
        thread_.join();
    }

    bool same(const ConnectParams& other) const {
        return params_.host == other.host && params_.port == other.port && params_.user == other.user &&
               params_.password == other.password && params_.tls_ca_file == other.tls_ca_file;
    }

    void set_cadence(base::Duration interval, base::Duration deadline) {
        {
            const std::lock_guard guard(mutex_);
            interval_ = interval;
            deadline_ = deadline;
        }
        changed_.notify_one();
    }

    void pass_cadence(Member& successor) {
        const std::lock_guard guard(mutex_);
        successor.set_cadence(interval_, deadline_);
    }

    void wake() {
        {
            const std::lock_guard guard(mutex_);
            woken_ = true;
        }
        changed_.notify_one();
    }

  private:
    // Waits for the next probe's time; its deadline, or nothing at the end.
    std::optional<base::Duration> wait_for_turn(Clock::time_point last) {
        std::unique_lock lock(mutex_);
        for (;;) {
            if (stopping_) return std::nullopt;
            const bool resting = deadline_ <= base::Duration(0);
            const auto due = last + interval_;
            if (!resting && (woken_ || Clock::now() >= due)) break;
            if (resting) {
                changed_.wait(lock);
            } else {
                changed_.wait_until(lock, due);
            }
        }
        woken_ = false;
        return deadline_;
    }

    base::Result<std::vector<ResultSet>> ask(Clock::time_point until) {
        const auto left = [until] { return std::max(base::Duration(0), base::Duration(until - Clock::now())); };
        if (!client_.connected()) {
            SB_CHECK(client_.connect(params_, left()));
            SB_TRY(const auto found, client_.query("SHOW GLOBAL VARIABLES LIKE 'server_uid'", left()));
            text_ = probe_text(!found.rows.empty());
        }
        return client_.query_all(text_, left());
    }

    Observation probe(base::Duration deadline, const StarvationGauge& gauge) {
        Observation observation;
        observation.cluster = cluster_;
        observation.member = name_;
        observation.sequence = ++sequence_;
        const auto starved_before = gauge.waited();
        const auto sent = Clock::now();
        const auto results = ask(sent + deadline);
        const auto completed = Clock::now();
        observation.sent_at = mono(sent);
        observation.completed_at = mono(completed);
        if (results) {
            std::visit([&](auto&& value) { observation.result = std::forward<decltype(value)>(value); },
                       read_evidence(*results));
        } else {
            // Woken much later than asked (stopped, or no processor to be had): the silence may be ours.
            const base::Duration overslept = completed - (sent + deadline);
            const base::Duration allowed = std::max<base::Duration>(deadline / 4, std::chrono::milliseconds(10));
            const bool late = overslept > allowed || gauge.waited() - starved_before > allowed;
            observation.result = to_failure(results.error(), late);
        }
        return observation;
    }

    void run() {
        const StarvationGauge gauge;
        Clock::time_point last{};
        while (const auto deadline = wait_for_turn(last)) {
            Observation observation = probe(*deadline, gauge);
            last = Clock::now();
            {
                const std::lock_guard guard(mutex_);
                if (stopping_) return;
            }
            on_observation_(std::move(observation));
        }
    }

    const std::string cluster_;
    const std::string name_;
    const ConnectParams params_;
    const std::function<void(Observation)>& on_observation_;
    Client client_;
    std::string text_;
    // Starts at the time, so that the probes of a member that is configured anew go on where the former ones ended.
    std::uint64_t sequence_ = static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
    std::mutex mutex_;
    std::condition_variable changed_;
    base::Duration interval_{0};
    base::Duration deadline_{0};  // 0: no cadence yet
    bool woken_ = false;
    bool stopping_ = false;
    std::thread thread_;
};

Probes::Probes(std::function<void(Observation)> on_observation) : on_observation_(std::move(on_observation)) {}

Probes::~Probes() = default;

void Probes::configure(const clusters::ClusterConfig& config) {
    const std::lock_guard guard(mutex_);
    Members& members = clusters_[config.name];
    Members kept;
    for (const auto& member : config.members) {
        const ConnectParams params = connect_params(config, member);
        const auto found = members.find(member.name);
        if (found != members.end() && found->second->same(params)) {
            kept[member.name] = std::move(found->second);
        } else {
            auto fresh = std::make_unique<Member>(config.name, member.name, params, on_observation_);
            if (found != members.end()) {
                found->second->pass_cadence(*fresh);
                found->second.reset();
            }
            kept[member.name] = std::move(fresh);
        }
    }
    std::erase_if(members, [](const auto& entry) { return entry.second == nullptr; });
    members.swap(kept);
}

void Probes::remove(const std::string& cluster) {
    const std::lock_guard guard(mutex_);
    clusters_.erase(cluster);
}

void Probes::set_cadence(const std::string& cluster, const std::string& member, base::Duration interval,
                         base::Duration deadline) {
    const std::lock_guard guard(mutex_);
    const auto members = clusters_.find(cluster);
    if (members == clusters_.end()) return;
    const auto found = members->second.find(member);
    if (found != members->second.end()) found->second->set_cadence(interval, deadline);
}

void Probes::wake(const std::string& cluster) {
    const std::lock_guard guard(mutex_);
    const auto members = clusters_.find(cluster);
    if (members == clusters_.end()) return;
    for (auto& [name, member] : members->second) member->wake();
}

}  // namespace signalbox::mysql
