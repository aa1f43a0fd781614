#include "adapters/sqlite/run_store.hpp"

#include <algorithm>

namespace signalbox::sqlite {
namespace {

using base::ErrorKind;
using base::fail;

// Outcomes older than this weigh nothing any more.
constexpr base::Duration outcome_memory = std::chrono::hours(7 * 24);

std::int64_t to_ns(base::WallTime time) { return time.time_since_epoch().count(); }

base::WallTime to_time(std::int64_t ns) { return base::WallTime(base::Duration(ns)); }

std::optional<base::WallTime> time_at(const Statement& statement, int column) {
    return statement.is_null(column) ? std::nullopt : std::optional(to_time(statement.integer(column)));
}

base::Result<jobs::Run> read_run(const Statement& statement) {
    SB_TRY(const auto document, base::parse_json(statement.text(0)));
    SB_TRY(jobs::Run run, jobs::run_from_json(document));
    run.version = statement.integer(1);
    return run;
}

constexpr const char* tables =
    "CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, job TEXT NOT NULL, active INTEGER NOT NULL,"
    " submitted_ns INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL);"
    "CREATE INDEX IF NOT EXISTS runs_job ON runs (job, submitted_ns);"
    "CREATE INDEX IF NOT EXISTS runs_active ON runs (submitted_ns) WHERE active = 1;"
    "CREATE TABLE IF NOT EXISTS leases (thing TEXT PRIMARY KEY, owner TEXT NOT NULL, expires_ns INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS run_keys (job TEXT NOT NULL, key TEXT NOT NULL, run TEXT NOT NULL,"
    " fingerprint TEXT NOT NULL, at_ns INTEGER NOT NULL, PRIMARY KEY (job, key));"
    "CREATE TABLE IF NOT EXISTS outcomes (run TEXT PRIMARY KEY, at_ns INTEGER NOT NULL, connection TEXT NOT NULL,"
    " subnet TEXT NOT NULL, zone TEXT NOT NULL, failure TEXT NOT NULL);"
    "CREATE INDEX IF NOT EXISTS outcomes_at ON outcomes (at_ns);"
    "CREATE TABLE IF NOT EXISTS run_nodes (token TEXT PRIMARY KEY, address TEXT NOT NULL, dropped INTEGER NOT NULL,"
    " started_ns INTEGER, ended_ns INTEGER);"
    "CREATE TABLE IF NOT EXISTS ledger (token TEXT PRIMARY KEY, run TEXT NOT NULL, subnet TEXT NOT NULL,"
    " kind TEXT NOT NULL, since_ns INTEGER NOT NULL, address TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS ledger_memory (one INTEGER PRIMARY KEY CHECK (one = 1), document TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS job_pauses (job TEXT PRIMARY KEY, by TEXT NOT NULL, reason TEXT NOT NULL,"
    " at_ns INTEGER NOT NULL);";

// What decisions ask for without reading whole runs. A store that an older version made gets the columns, filled from
// the documents.
constexpr const char* columns =
    "ALTER TABLE runs ADD COLUMN state TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE runs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE runs ADD COLUMN queue_ns INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE runs ADD COLUMN not_before_ns INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE runs ADD COLUMN connection TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE runs ADD COLUMN subnet TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE runs ADD COLUMN starting_ns INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE runs ADD COLUMN zone TEXT NOT NULL DEFAULT '';"
    "UPDATE runs SET queue_ns = submitted_ns, state = json_extract(document, '$.state'),"
    " connection = coalesce(json_extract(document, '$.connection.name'), ''),"
    " subnet = coalesce(json_extract(document, '$.connection.subnet'), ''),"
    " zone = coalesce(json_extract(document, '$.zone'), '');";

base::Status make_tables(Database& database) {
    SB_CHECK(database.execute(tables));
    return database.transaction(true, [&]() -> base::Status {
        bool has_columns = false;
        {
            SB_TRY(auto info, database.prepare("SELECT 1 FROM pragma_table_info('runs') WHERE name = 'queue_ns'"));
            SB_TRY(has_columns, info.step());
        }
        if (has_columns) return {};
        return database.execute(columns);
    });
}

}  // namespace

base::Result<std::unique_ptr<RunStore>> RunStore::open(std::shared_ptr<Database> database) {
    SB_TRY(auto journal, JournalStore::open(database));
    SB_CHECK(make_tables(*database));
    return std::unique_ptr<RunStore>(new RunStore(std::move(database), std::move(journal)));
}

base::Status RunStore::journal(const std::vector<ports::JournalEntry>& entries) {
    for (const ports::JournalEntry& entry : entries) SB_CHECK(journal_->insert(entry));
    return {};
}

base::Result<std::optional<ports::Inserted>> RunStore::known_key(const std::string& job,
                                                                 const ports::IdempotencyKey& key) {
    if (key.key.empty()) return std::optional<ports::Inserted>();
    SB_TRY(auto known, database_->prepare("SELECT run, fingerprint FROM run_keys WHERE job = ? AND key = ?"));
    known.bind(1, job).bind(2, key.key);
    SB_TRY(const bool exists, known.step());
    if (!exists) return std::optional<ports::Inserted>();
    if (known.text(1) != key.fingerprint) {
        return fail(ErrorKind::Conflict,
                    "the idempotency key '{}' of job '{}' stands for run {}, which was asked for with other arguments; "
                    "use another key for another run",
                    key.key, job, known.text(0));
    }
    return std::optional<ports::Inserted>(ports::Inserted{known.text(0), false});
}

base::Status RunStore::remember_key(const jobs::Run& run, const ports::IdempotencyKey& key) {
    SB_TRY(auto forget, database_->prepare("DELETE FROM run_keys WHERE at_ns < ?"));
    forget.bind(1, to_ns(run.submitted_at - ports::key_memory));
    SB_CHECK(forget.run());
    if (key.key.empty()) return {};
    SB_TRY(auto statement, database_->prepare("INSERT INTO run_keys VALUES (?, ?, ?, ?, ?)"));
    statement.bind(1, run.job.name).bind(2, key.key).bind(3, run.id).bind(4, key.fingerprint);
    statement.bind(5, to_ns(run.submitted_at));
    return statement.run();
}

base::Status RunStore::insert_row(const jobs::Run& run) {
    SB_TRY(auto known, database_->prepare("SELECT 1 FROM runs WHERE id = ?"));
    known.bind(1, run.id);
    SB_TRY(const bool exists, known.step());
    if (exists) return fail(ErrorKind::AlreadyExists, "there is a run {} already", run.id);
    SB_TRY(auto statement,
           database_->prepare("INSERT INTO runs (id, job, active, submitted_ns, version, document, state, attempt,"
                              " queue_ns, not_before_ns) VALUES (?, ?, 1, ?, 0, ?, ?, ?, ?, ?)"));
    statement.bind(1, run.id).bind(2, run.job.name).bind(3, to_ns(run.submitted_at));
    statement.bind(4, base::json::serialize(jobs::to_json(run))).bind(5, jobs::to_string(run.state));
    statement.bind(6, std::int64_t{run.attempt}).bind(7, to_ns(run.first_submitted_at));
    statement.bind(8, run.not_before ? to_ns(*run.not_before) : 0);
    return statement.run();
}

base::Result<ports::Inserted> RunStore::insert(const jobs::Run& run, const std::vector<ports::JournalEntry>& entries,
                                               const ports::IdempotencyKey& key, ports::IfPaused if_paused) {
    ports::Inserted result{run.id, true};
    SB_CHECK(database_->transaction(true, [&]() -> base::Status {
        SB_TRY(const auto known, known_key(run.job.name, key));
        if (known) {
            result = *known;
            return {};
        }
        if (if_paused == ports::IfPaused::Refuse) {
            SB_TRY(const auto pause, pause_of(run.job.name));
            if (pause) return fail(ErrorKind::Conflict, "{}", ports::refusal(*pause));
        }
        SB_CHECK(insert_row(run));
        SB_CHECK(remember_key(run, key));
        return journal(entries);
    }));
    return result;
}

base::Status RunStore::insert_outcome(const jobs::PlaceOutcome& outcome) {
    SB_TRY(auto forget, database_->prepare("DELETE FROM outcomes WHERE at_ns < ?"));
    forget.bind(1, to_ns(outcome.at - outcome_memory));
    SB_CHECK(forget.run());
    SB_TRY(auto statement, database_->prepare("INSERT OR IGNORE INTO outcomes VALUES (?, ?, ?, ?, ?, ?)"));
    statement.bind(1, outcome.run).bind(2, to_ns(outcome.at)).bind(3, outcome.connection).bind(4, outcome.subnet);
    statement.bind(5, outcome.zone).bind(6, outcome.failure ? jobs::to_string(*outcome.failure) : "");
    return statement.run();
}

// What the ledger of addresses asks of nodes, until nothing of the run is in it.
base::Status RunStore::keep_nodes(const jobs::Run& run) {
    SB_TRY(auto statement,
           database_->prepare("INSERT INTO run_nodes VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (token) DO UPDATE"
                              " SET address = ?2, dropped = ?3, started_ns = ?4, ended_ns = ?5"
                              " WHERE address <> ?2 OR dropped <> ?3 OR started_ns IS NOT ?4 OR ended_ns IS NOT ?5"));
    for (const jobs::Node& node : run.nodes) {
        const bool dropped = node.stage == jobs::NodeStage::Dropped;
        statement.bind(1, node.token).bind(2, node.address).bind(3, std::int64_t{dropped});
        statement.bind_time(4, node.started_at).bind_time(5, node.ended_at);
        SB_CHECK(statement.run());
        statement.reset();
    }
    return {};
}

base::Status RunStore::put_ledger(const ports::LedgerChange& change) {
    SB_TRY(auto put, database_->prepare("INSERT INTO ledger VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (token)"
                                        " DO UPDATE SET kind = ?4, since_ns = ?5, address = ?6"));
    for (const jobs::AddressRow& row : change.put) {
        put.bind(1, row.token).bind(2, row.run).bind(3, row.subnet).bind(4, jobs::to_string(row.kind));
        put.bind(5, to_ns(row.since)).bind(6, row.address);
        SB_CHECK(put.run());
        put.reset();
    }
    SB_TRY(auto forget, database_->prepare("DELETE FROM ledger WHERE token = ?"));
    SB_TRY(auto forget_node, database_->prepare("DELETE FROM run_nodes WHERE token = ?"));
    for (const std::string& token : change.gone) {
        for (auto* statement : {&forget, &forget_node}) {
            statement->bind(1, token);
            SB_CHECK(statement->run());
            statement->reset();
        }
    }
    if (!change.memory) return {};
    SB_TRY(auto memory, database_->prepare("INSERT INTO ledger_memory VALUES (1, ?1) ON CONFLICT (one) DO UPDATE"
                                           " SET document = ?1"));
    memory.bind(1, base::json::serialize(change.memory->to_json()));
    return memory.run();
}

base::Status RunStore::save_ledger(const ports::LedgerChange& change) {
    if (change.empty()) return {};
    return database_->transaction(false, [&] { return put_ledger(change); });
}

base::Status RunStore::save(jobs::Run& run, const ports::Beside& beside, ports::Durability durability) {
    SB_CHECK(database_->transaction(durability == ports::Durability::Full, [&]() -> base::Status {
        SB_TRY(auto known, database_->prepare("SELECT version FROM runs WHERE id = ?"));
        known.bind(1, run.id);
        SB_TRY(const bool exists, known.step());
        if (!exists) return fail(ErrorKind::NotFound, "there is no run {}", run.id);
        if (known.integer(0) != run.version) {
            return fail(ErrorKind::Conflict, "run {} was moved by another process (version {}, expected {})", run.id,
                        known.integer(0), run.version);
        }
        SB_TRY(auto statement,
               database_->prepare("UPDATE runs SET active = ?, version = ?, document = ?, state = ?, connection = ?,"
                                  " subnet = ?, zone = ?, starting_ns = ? WHERE id = ?"));
        const jobs::Connection none;
        const jobs::Connection& connection = run.connection ? *run.connection : none;
        statement.bind(1, static_cast<std::int64_t>(!jobs::is_final(run.state)))
            .bind(2, run.version + 1)
            .bind(3, base::json::serialize(jobs::to_json(run)))
            .bind(4, jobs::to_string(run.state))
            .bind(5, connection.name)
            .bind(6, connection.subnet)
            .bind(7, run.zone)
            .bind(8, run.starting_at ? to_ns(*run.starting_at) : 0)
            .bind(9, run.id);
        SB_CHECK(statement.run());
        SB_CHECK(keep_nodes(run));
        if (beside.ledger != nullptr) SB_CHECK(put_ledger(*beside.ledger));
        if (beside.outcome != nullptr) SB_CHECK(insert_outcome(*beside.outcome));
        if (beside.next != nullptr) SB_CHECK(insert_row(*beside.next));
        return journal(beside.entries);
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

namespace {

base::Result<std::vector<std::string>> texts(Statement& statement) {
    std::vector<std::string> found;
    for (;;) {
        SB_TRY(const bool row, statement.step());
        if (!row) return found;
        found.push_back(statement.text(0));
    }
}

}  // namespace

base::Result<std::vector<std::string>> RunStore::active() {
    const auto guard = database_->lock();
    SB_TRY(auto statement, database_->prepare("SELECT id FROM runs WHERE active = 1 ORDER BY queue_ns, id"));
    return texts(statement);
}

base::Result<std::vector<std::string>> RunStore::ahead_of(const jobs::Run& run, base::WallTime now) {
    const auto guard = database_->lock();
    SB_TRY(auto statement,
           database_->prepare("SELECT id FROM runs WHERE job = ?1 AND active = 1 AND id <> ?2 AND (state <> 'WAITING'"
                              " OR (not_before_ns <= ?4 AND (queue_ns, id) < (?3, ?2))) ORDER BY queue_ns, id"));
    statement.bind(1, run.job.name).bind(2, run.id).bind(3, to_ns(run.first_submitted_at)).bind(4, to_ns(now));
    return texts(statement);
}

base::Result<std::vector<jobs::PlaceUse>> RunStore::uses() {
    const auto guard = database_->lock();
    SB_TRY(auto statement, database_->prepare("SELECT connection, subnet, zone, starting_ns FROM runs WHERE active = 1"
                                              " AND connection <> '' ORDER BY queue_ns, id"));
    std::vector<jobs::PlaceUse> uses;
    for (;;) {
        SB_TRY(const bool row, statement.step());
        if (!row) return uses;
        uses.push_back({statement.text(0), statement.text(1), statement.text(2), to_time(statement.integer(3))});
    }
}

base::Result<std::vector<jobs::PlaceOutcome>> RunStore::outcomes(base::WallTime since, std::size_t limit) {
    const auto guard = database_->lock();
    SB_TRY(auto statement, database_->prepare("SELECT run, at_ns, connection, subnet, zone, failure FROM outcomes"
                                              " WHERE at_ns >= ? ORDER BY at_ns DESC, run DESC LIMIT ?"));
    statement.bind(1, to_ns(since)).bind(2, static_cast<std::int64_t>(std::clamp<std::size_t>(limit, 1, 100'000)));
    std::vector<jobs::PlaceOutcome> outcomes;
    for (;;) {
        SB_TRY(const bool row, statement.step());
        if (!row) break;
        jobs::PlaceOutcome& one = outcomes.emplace_back();
        one.run = statement.text(0);
        one.at = to_time(statement.integer(1));
        one.connection = statement.text(2);
        one.subnet = statement.text(3);
        one.zone = statement.text(4);
        one.failure = jobs::parse_retry_class(statement.text(5));
    }
    std::reverse(outcomes.begin(), outcomes.end());
    return outcomes;
}

base::Result<jobs::RetryHistory> RunStore::retry_history(const std::string& job, base::WallTime since) {
    const auto guard = database_->lock();
    SB_TRY(auto statement, database_->prepare("SELECT count(*) FILTER (WHERE attempt = 0),"
                                              " count(*) FILTER (WHERE attempt > 0) FROM runs"
                                              " WHERE job = ? AND submitted_ns >= ?"));
    statement.bind(1, job).bind(2, to_ns(since));
    SB_TRY(const bool row, statement.step());
    if (!row) return jobs::RetryHistory{};
    return jobs::RetryHistory{static_cast<int>(statement.integer(0)), static_cast<int>(statement.integer(1))};
}

base::Result<ports::LedgerState> RunStore::ledger() {
    const auto guard = database_->lock();
    ports::LedgerState state;
    SB_TRY(auto rows, database_->prepare("SELECT token, run, subnet, kind, since_ns, address FROM ledger"
                                         " ORDER BY since_ns, token"));
    for (;;) {
        SB_TRY(const bool row, rows.step());
        if (!row) break;
        const auto kind = jobs::parse_address_kind(rows.text(3));
        if (!kind) return fail(ErrorKind::CorruptData, "the ledger's row {} is of no known kind", rows.text(0));
        state.rows.push_back({rows.text(0), rows.text(1), rows.text(2), *kind, to_time(rows.integer(4)), rows.text(5)});
    }
    SB_TRY(auto nodes,
           database_->prepare("SELECT token, run_nodes.address, dropped, started_ns, ended_ns FROM run_nodes"
                              " JOIN ledger USING (token) WHERE kind <> 'lingering' ORDER BY token"));
    for (;;) {
        SB_TRY(const bool row, nodes.step());
        if (!row) break;
        state.nodes.push_back(
            {nodes.text(0), nodes.text(1), nodes.integer(2) != 0, time_at(nodes, 3), time_at(nodes, 4)});
    }
    SB_TRY(auto memory, database_->prepare("SELECT document FROM ledger_memory"));
    SB_TRY(const bool known, memory.step());
    if (!known) return state;
    SB_TRY(const auto document, base::parse_json(memory.text(0)));
    SB_TRY(state.memory, jobs::LingerMemory::parse(document));
    return state;
}

}  // namespace signalbox::sqlite
