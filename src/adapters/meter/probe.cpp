#include "adapters/meter/probe.hpp"

#include <algorithm>
#include <thread>

namespace signalbox::meter {
namespace {

using base::ErrorKind;

constexpr auto sleep_slice = std::chrono::milliseconds(50);  // how soon a stop is noticed
constexpr Duration retry_pause_max = std::chrono::milliseconds(50);
constexpr std::string_view who = "@@server_id AS s, @@hostname AS h, @@port AS p";
// Refused by the server as read-only, the code that servers give most often.
constexpr int code_read_only = 1290;

std::int64_t stamp(MonoTime time) { return time.time_since_epoch().count(); }

}  // namespace

MonoTime mono_now() {
    return MonoTime(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

std::string server_name(const mysql::ResultSet& row) {
    return fmt::format("{}@{}:{}", row.cell("s").value_or("?"), row.cell("h").value_or("?"),
                       row.cell("p").value_or("?"));
}

Probe::Probe(const MeterOptions& options, const std::vector<PathTarget>& paths, std::vector<PathState>& states,
             RunState& run, std::size_t path, Kind kind)
    : options_(options),
      paths_(paths),
      states_(states),
      run_(run),
      path_(path),
      kind_(kind),
      ledger_(fmt::format("`{}`.`{}`", options.database, options.table)) {
    if (paths[path].info.named) resolver_ = std::make_unique<Resolver>();
}

std::uint32_t Probe::intern(const std::string& text) {
    const auto [at, is_new] = text_index_.try_emplace(text, static_cast<std::uint32_t>(texts_.size()));
    if (is_new) texts_.push_back(text);
    return at->second;
}

bool Probe::sleep_until(MonoTime tick) {
    while (!run_.stop.load(std::memory_order_relaxed)) {
        const Duration left = tick - mono_now();
        if (left <= Duration::zero()) return true;
        std::this_thread::sleep_for(std::min<Duration>(left, sleep_slice));
    }
    return false;
}

void Probe::run(MonoTime first) {
    const Duration interval = options_.interval;
    MonoTime tick = first;
    bool on_grid = true;
    while (sleep_until(tick)) {
        const Duration lag = mono_now() - tick;
        lag_max = std::max(lag_max, lag);
        if (lag > interval) ++ticks_late;
        if (run_.samples.fetch_add(1, std::memory_order_relaxed) >= options_.samples_max) run_.stop = true;
        const bool good = operate();
        const MonoTime now = mono_now();
        if (!good && interval > retry_pause_max) {
            // A long interval must not hide when the path is back.
            tick = now + retry_pause_max;
            on_grid = false;
            continue;
        }
        if (!on_grid) {
            tick = first + ((now - first) / interval) * interval;
            on_grid = true;
        }
        tick += interval;
        if (tick < now) {
            const auto missed = (now - tick) / interval + 1;
            ticks_skipped += static_cast<std::uint64_t>(missed);
            tick += missed * interval;
        }
    }
    client_.close();
}

base::Status Probe::connect() {
    const PathTarget& target = paths_[path_];
    mysql::ConnectParams params = target.connect;
    // A certificate is checked against the name, which the library then resolves itself.
    if (resolver_ && params.tls_ca_file.empty()) {
        SB_TRY(const NameAnswer answer, resolver_->resolve(params.host, options_.connect_timeout));
        params.host = answer.addresses.front();
    }
    SB_CHECK(client_.connect(params, options_.connect_timeout));
    if (kind_ != Kind::Role || !target.info.member) return {};
    // The role prober of a member also looks at rows that wait for their acknowledgement.
    const auto dirty = client_.query("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED", options_.timeout);
    if (!dirty) return tl::unexpected<base::Error>(dirty.error());
    return {};
}

bool Probe::operate() {
    Sample sample;
    sample.path = static_cast<std::uint16_t>(path_);
    sample.kind = kind_;
    sample.sent_at = mono_now();
    if (kind_ == Kind::Dns) {
        resolve_name(sample);
    } else {
        base::Status ready;
        if (!client_.connected()) ready = connect();
        if (!ready) {
            sample.outcome = Outcome::Failed;
            sample.code = ready.error().code;
        } else {
            sample.sent_at = mono_now();
            if (kind_ == Kind::Write) write_row(sample);
            if (kind_ == Kind::Read) read_rows(sample);
            if (kind_ == Kind::Role) ask_role(sample);
        }
    }
    finish(sample);
    return sample.outcome == Outcome::Ok || is_read_only_refusal(sample.code);
}

void Probe::finish(Sample& sample) {
    sample.completed_at = mono_now();
    samples_.push_back(sample);
    PathState& state = states_[path_];
    const std::int64_t at = stamp(sample.completed_at);
    if (sample.kind == Kind::Read) (sample.outcome == Outcome::Ok ? state.read_ok_at : state.read_bad_at) = at;
    if (sample.kind != Kind::Write) return;
    if (sample.outcome == Outcome::Ok) {
        state.write_ok_at = at;
        ++state.writes_ok;
        std::uint64_t highest = state.acknowledged_number;
        while (highest < sample.number && !state.acknowledged_number.compare_exchange_weak(highest, sample.number)) {
        }
        return;
    }
    if (state.write_ok_at > state.write_bad_at) ++state.writes_broken;
    state.write_bad_at = at;
    ++(sample.outcome == Outcome::Failed ? state.writes_failed : state.writes_unknown);
}

// The WHERE keeps a user who may write in spite of read_only from leaving stray rows on a reader. The key is made by
// the server, so that a statement that ran twice shows as two rows, and needs no lock that would serialise the writers.
void Probe::write_row(Sample& sample) {
    sample.number = states_[path_].next_number.fetch_add(1);
    std::vector<mysql::ResultSet> answered;
    const auto results = client_.query_all(
        fmt::format("INSERT INTO {} (id, path, number, server_id, at) SELECT UUID_SHORT(), {}, {}, @@server_id, NOW(6) "
                    "FROM DUAL WHERE @@global.read_only = 0 AND @@global.innodb_read_only = 0; SELECT {}",
                    ledger_, path_, sample.number, who),
        options_.timeout, &answered);
    if (!results && !answered.empty() && answered.front().affected_rows == 1)
        return;  // acknowledged, whatever came after
    if (!results) {
        const bool sent = results.error().kind == ErrorKind::UnknownOutcome || results.error().code != 0;
        sample.code = results.error().code;
        sample.outcome = write_outcome(sent, sample.code);
    } else {
        if (results->size() > 1) sample.server = intern(server_name(results->back()));
        if (results->front().affected_rows == 0) {
            sample.outcome = Outcome::Failed;
            sample.code = code_read_only;
        }
    }
    // Behind a name or a proxy another server may take writes by now; a member stays what it is.
    if (is_read_only_refusal(sample.code) && !paths_[path_].info.member) client_.close();
}

void Probe::read_rows(Sample& sample) {
    const auto row = client_.query(
        fmt::format("SELECT MAX(number) AS n, {} FROM {} WHERE path = {}", who, ledger_, path_), options_.timeout);
    if (!row) {
        sample.outcome = Outcome::Failed;  // a read has no effect that could be unknown
        sample.code = row.error().code;
        return;
    }
    sample.server = intern(server_name(*row));
    sample.number = base::parse_uint(row->cell("n").value_or("0")).value_or(0);
}

// Rows near the end of each path's ledger, committed or not.
std::string Probe::peek_sql() const {
    std::string sql;
    for (std::size_t i = 0; i < paths_.size(); ++i) {
        if (!paths_[i].info.writes) continue;
        const std::uint64_t acknowledged = states_[i].acknowledged_number;
        const std::uint64_t from = acknowledged > options_.writers ? acknowledged - options_.writers : 0;
        if (states_[i].next_number <= from + 1) continue;
        if (!sql.empty()) sql += " UNION ALL ";
        sql += fmt::format("(SELECT path, number FROM {} WHERE path = {} AND number > {} LIMIT 256)", ledger_, i, from);
    }
    return sql;
}

void Probe::note_seen(const mysql::ResultSet& rows) {
    for (const auto& row : rows.rows) {
        if (row.size() != 2 || !row[0] || !row[1]) continue;
        const auto path = base::parse_uint(*row[0]);
        const auto number = base::parse_uint(*row[1]);
        if (!path || !number || *path >= paths_.size()) continue;
        seen_rows_.push_back(RowId{static_cast<std::uint16_t>(*path), *number});
    }
    // Most are seen many times: keep each once, and the vector no longer than twice what it holds.
    constexpr std::size_t tidy_from = 100'000;
    if (seen_rows_.size() >= tidy_from && seen_rows_.size() * 2 > seen_rows_.capacity()) {
        std::sort(seen_rows_.begin(), seen_rows_.end());
        seen_rows_.erase(std::unique(seen_rows_.begin(), seen_rows_.end()), seen_rows_.end());
    }
}

void Probe::ask_role(Sample& sample) {
    std::string sql = fmt::format("SELECT @@global.read_only AS r, @@global.innodb_read_only AS i, {}", who);
    if (paths_[path_].info.member) {
        if (const std::string peek = peek_sql(); !peek.empty()) sql += "; " + peek;
    }
    const auto results = client_.query_all(sql, options_.timeout);
    if (!results) {
        sample.outcome = Outcome::Failed;
        sample.code = results.error().code;
        return;
    }
    const mysql::ResultSet& role = results->front();
    const bool writable = role.cell("r") == "0" && role.cell("i") == "0";
    sample.server = intern(server_name(role));
    sample.text = intern(writable ? "writer" : "reader");
    if (results->size() > 1) note_seen(results->back());
}

void Probe::resolve_name(Sample& sample) {
    const std::string& name = paths_[path_].connect.host;
    const auto answer = resolver_->resolve(name, options_.timeout);
    if (answer) {
        sample.text = intern(answer->text(name));
        return;
    }
    sample.outcome = Outcome::Failed;
    sample.code = answer.error().code;
}

}  // namespace signalbox::meter
