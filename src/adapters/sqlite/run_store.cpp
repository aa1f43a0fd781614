#include "adapters/sqlite/run_store.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <sys/stat.h>
#include <unistd.h>

namespace signalbox::sqlite {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::uint64_t proc_file_max_bytes = 1 << 16;

std::int64_t to_ns(base::WallTime time) { return time.time_since_epoch().count(); }

std::string boot_id() {
    const auto text = base::read_file("/proc/sys/kernel/random/boot_id", proc_file_max_bytes);
    return text ? std::string(base::trim(*text)) : "unknown";
}

std::string pid_namespace() {
    struct stat found {};
    return ::stat("/proc/self/ns/pid", &found) == 0 ? std::to_string(found.st_ino) : "unknown";
}

// When the process started, in clock ticks since boot (field 22 of /proc/PID/stat; proc(5)); empty if there is none.
std::string start_ticks(const std::string& pid) {
    const auto stat = base::read_file("/proc/" + pid + "/stat", proc_file_max_bytes);
    if (!stat) return {};
    // The second field, the command's name in parentheses, may hold blanks and parentheses itself.
    const std::size_t after_name = stat->rfind(')');
    if (after_name == std::string::npos) return {};
    const auto fields = base::split(std::string_view(*stat).substr(after_name + 1), ' ');
    constexpr std::size_t start_time = 20;  // counted from the blank after the name
    // A zombie does nothing more.
    if (fields.size() <= start_time || fields[1] == "Z") return {};
    return std::string(fields[start_time]);
}

base::Result<jobs::Run> read_run(const Statement& statement) {
    SB_TRY(const auto document, base::parse_json(statement.text(0)));
    SB_TRY(jobs::Run run, jobs::run_from_json(document));
    run.version = statement.integer(1);
    return run;
}

}  // namespace

std::string lease_owner() {
    const std::string pid = std::to_string(::getpid());
    return fmt::format("{}:{}:{}:{}", boot_id(), pid_namespace(), pid, start_ticks(pid));
}

bool owner_may_live(const std::string& owner) {
    const auto parts = base::split(owner, ':');
    if (parts.size() != 4 || !base::parse_uint(parts[2])) return true;
    // Another boot of this host ended all its processes; but another host may have written it, so it is left to expire.
    // A process of another PID namespace can't be seen from here.
    if (parts[0] != boot_id() || parts[1] != pid_namespace()) return true;
    return start_ticks(std::string(parts[2])) == parts[3];
}

base::Result<std::unique_ptr<RunStore>> RunStore::open(std::shared_ptr<Database> database) {
    SB_TRY(auto journal, JournalStore::open(database));
    SB_CHECK(database->execute(
        "CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, job TEXT NOT NULL, active INTEGER NOT NULL,"
        " submitted_ns INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL);"
        "CREATE INDEX IF NOT EXISTS runs_job ON runs (job, submitted_ns);"
        "CREATE INDEX IF NOT EXISTS runs_active ON runs (submitted_ns) WHERE active = 1;"
        "CREATE TABLE IF NOT EXISTS leases (thing TEXT PRIMARY KEY, owner TEXT NOT NULL, expires_ns INTEGER NOT "
        "NULL)"));
    return std::unique_ptr<RunStore>(new RunStore(std::move(database), std::move(journal)));
}

base::Status RunStore::journal(const std::vector<ports::JournalEntry>& entries) {
    for (const ports::JournalEntry& entry : entries) SB_CHECK(journal_->insert(entry));
    return {};
}

base::Status RunStore::insert(const jobs::Run& run, const std::vector<ports::JournalEntry>& entries) {
    return database_->transaction(true, [&]() -> base::Status {
        SB_TRY(auto known, database_->prepare("SELECT 1 FROM runs WHERE id = ?"));
        known.bind(1, run.id);
        SB_TRY(const bool exists, known.step());
        if (exists) return fail(ErrorKind::AlreadyExists, "there is a run {} already", run.id);
        SB_TRY(auto statement, database_->prepare("INSERT INTO runs (id, job, active, submitted_ns, version, document)"
                                                  " VALUES (?, ?, 1, ?, 0, ?)"));
        statement.bind(1, run.id).bind(2, run.job.name).bind(3, to_ns(run.submitted_at));
        statement.bind(4, base::json::serialize(jobs::to_json(run)));
        SB_CHECK(statement.run());
        return journal(entries);
    });
}

base::Status RunStore::save(jobs::Run& run, const std::vector<ports::JournalEntry>& entries,
                            ports::Durability durability) {
    SB_CHECK(database_->transaction(durability == ports::Durability::Full, [&]() -> base::Status {
        SB_TRY(auto known, database_->prepare("SELECT version FROM runs WHERE id = ?"));
        known.bind(1, run.id);
        SB_TRY(const bool exists, known.step());
        if (!exists) return fail(ErrorKind::NotFound, "there is no run {}", run.id);
        if (known.integer(0) != run.version) {
            return fail(ErrorKind::Conflict, "run {} was moved by another process (version {}, expected {})", run.id,
                        known.integer(0), run.version);
        }
        SB_TRY(auto statement, database_->prepare("UPDATE runs SET active = ?, version = ?, document = ?"
                                                  " WHERE id = ?"));
        statement.bind(1, static_cast<std::int64_t>(!jobs::is_final(run.state)))
            .bind(2, run.version + 1)
            .bind(3, base::json::serialize(jobs::to_json(run)))
            .bind(4, run.id);
        SB_CHECK(statement.run());
        return journal(entries);
    }));
    ++run.version;
    return {};
}

base::Result<jobs::Run> RunStore::load(const std::string& id) {
    const auto guard = database_->lock();
    SB_TRY(auto statement, database_->prepare("SELECT document, version FROM runs WHERE id = ?"));
    statement.bind(1, id);
    SB_TRY(const bool row, statement.step());
    if (!row) return fail(ErrorKind::NotFound, "there is no run {}", id);
    return read_run(statement);
}

base::Result<std::vector<jobs::Run>> RunStore::list(const ports::RunQuery& query) {
    const auto guard = database_->lock();
    std::string sql = "SELECT document, version FROM runs WHERE 1";
    if (query.active_only) sql += " AND active = 1";
    if (!query.job.empty()) sql += " AND job = ?1";
    if (!query.id_prefix.empty()) sql += " AND substr(id, 1, length(?2)) = ?2";
    sql += " ORDER BY submitted_ns DESC, id DESC LIMIT ?3";
    SB_TRY(auto statement, database_->prepare(sql));
    if (!query.job.empty()) statement.bind(1, query.job);
    if (!query.id_prefix.empty()) statement.bind(2, query.id_prefix);
    // Active runs are never cut short: whoever drives them, or counts them, needs them all. -1 is no limit to SQLite.
    statement.bind(3, query.active_only ? std::int64_t{-1}
                                        : static_cast<std::int64_t>(std::clamp<std::size_t>(query.limit, 1, 100'000)));
    std::vector<jobs::Run> runs;
    for (;;) {
        SB_TRY(const bool row, statement.step());
        if (!row) return runs;
        SB_TRY(jobs::Run run, read_run(statement));
        runs.push_back(std::move(run));
    }
}

base::Result<bool> RunStore::acquire(const std::string& thing, const std::string& owner, base::WallTime now,
                                     base::Duration time) {
    bool acquired = false;
    SB_CHECK(database_->transaction(false, [&]() -> base::Status {
        SB_TRY(auto holder, database_->prepare("SELECT owner, expires_ns FROM leases WHERE thing = ?"));
        holder.bind(1, thing);
        SB_TRY(const bool held, holder.step());
        const bool by_other = held && holder.text(0) != owner && holder.integer(1) > to_ns(now);
        if (by_other && owner_may_live(holder.text(0))) return {};
        SB_TRY(auto statement, database_->prepare("INSERT INTO leases (thing, owner, expires_ns) VALUES (?1, ?2, ?3)"
                                                  " ON CONFLICT (thing) DO UPDATE SET owner = ?2, expires_ns = ?3"));
        statement.bind(1, thing).bind(2, owner).bind(3, to_ns(now + time));
        SB_CHECK(statement.run());
        acquired = true;
        return {};
    }));
    return acquired;
}

base::Status RunStore::release(const std::string& thing, const std::string& owner) {
    return database_->transaction(false, [&]() -> base::Status {
        SB_TRY(auto statement, database_->prepare("DELETE FROM leases WHERE thing = ? AND owner = ?"));
        statement.bind(1, thing).bind(2, owner);
        return statement.run();
    });
}

}  // namespace signalbox::sqlite
