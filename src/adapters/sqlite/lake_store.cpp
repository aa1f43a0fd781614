#include "adapters/sqlite/lake_store.hpp"

#include <algorithm>

namespace signalbox::sqlite {
namespace {

using base::ErrorKind;
using base::fail;
using base::Result;
using base::Status;
namespace json = base::json;

constexpr const char* tables =
    "CREATE TABLE IF NOT EXISTS lake_tables (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " version INTEGER NOT NULL, cursor TEXT NOT NULL, scalars BLOB NOT NULL, data TEXT NOT NULL);"
    // What a look needs of each manifest comes before its aggregate, which may fill pages of its own.
    "CREATE TABLE IF NOT EXISTS lake_manifests (table_id INTEGER NOT NULL, path TEXT NOT NULL, length INTEGER NOT NULL,"
    " gone_at INTEGER, deletes INTEGER NOT NULL, records_min INTEGER, records_max INTEGER, size_min INTEGER,"
    " size_max INTEGER, aggregate BLOB NOT NULL, PRIMARY KEY (table_id, path, length));"
    "CREATE INDEX IF NOT EXISTS lake_manifests_gone ON lake_manifests (table_id, gone_at) WHERE gone_at IS NOT NULL;"
    "CREATE TABLE IF NOT EXISTS lake_partitions (table_id INTEGER NOT NULL, key BLOB NOT NULL, state BLOB NOT NULL,"
    " PRIMARY KEY (table_id, key)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS lake_commits (sequence INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL,"
    " snapshot_id INTEGER NOT NULL, kind TEXT NOT NULL, ref TEXT NOT NULL, timestamp_ms INTEGER NOT NULL,"
    " reported_ns INTEGER NOT NULL, data TEXT NOT NULL);"
    "CREATE INDEX IF NOT EXISTS lake_commits_name ON lake_commits (name, sequence);"
    "CREATE TABLE IF NOT EXISTS lake_alarms (alarm TEXT NOT NULL, name TEXT NOT NULL, memory TEXT NOT NULL,"
    " PRIMARY KEY (name, alarm)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS lake_silences (one INTEGER PRIMARY KEY CHECK (one = 1), document TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS lake_sinks (sink TEXT PRIMARY KEY, sequence INTEGER NOT NULL);";

// Old commits are removed when this many came after the last time.
constexpr std::int64_t prune_interval = 200;

std::optional<std::int64_t> number_at(const Statement& statement, int column) {
    return statement.is_null(column) ? std::nullopt : std::optional(statement.integer(column));
}

void bind_number(Statement& statement, int index, std::optional<std::int64_t> value) {
    if (value) statement.bind(index, *value);
}

Result<json::object> object_of(const std::string& text) {
    SB_TRY(const json::value value, base::parse_json(text));
    if (!value.is_object()) return fail(ErrorKind::CorruptData, "the store holds no object where one is expected");
    return value.get_object();
}

Result<ports::TableRecord> read_record(const Statement& statement) {
    ports::TableRecord record;
    record.name = statement.text(0);
    record.version = statement.integer(1);
    if (const std::string cursor = statement.text(2); !cursor.empty()) {
        SB_TRY(const json::object object, object_of(cursor));
        SB_TRY(record.cursor, lake::decode_cursor(object));
    }
    SB_TRY(record.data, object_of(statement.text(3)));
    return record;
}

Result<ports::CommitRecord> read_commit(const Statement& statement) {
    ports::CommitRecord commit;
    commit.sequence = statement.integer(0);
    commit.table = statement.text(1);
    commit.snapshot_id = statement.integer(2);
    commit.kind = statement.text(3);
    commit.ref = statement.text(4);
    commit.timestamp_ms = statement.integer(5);
    commit.reported_at = base::WallTime(base::Duration(statement.integer(6)));
    SB_TRY(commit.data, object_of(statement.text(7)));
    return commit;
}

}  // namespace

Result<std::unique_ptr<LakeStore>> LakeStore::open(std::shared_ptr<Database> database) {
    SB_TRY(auto journal, JournalStore::open(database));
    SB_TRY(auto actions, ActionQueue::open(database));
    SB_CHECK(database->execute(tables));
    return std::unique_ptr<LakeStore>(new LakeStore(std::move(database), std::move(journal), std::move(actions)));
}

Result<std::optional<ports::TableRecord>> LakeStore::load(const std::string& table) {
    const auto guard = database_->lock();
    SB_TRY(auto statement, database_->prepare("SELECT name, version, cursor, data FROM lake_tables WHERE name = ?"));
    statement.bind(1, table);
    SB_TRY(const bool row, statement.step());
    if (!row) return std::optional<ports::TableRecord>();
    SB_TRY(auto record, read_record(statement));
    return std::optional(std::move(record));
}

Result<std::vector<ports::TableRecord>> LakeStore::list() {
    const auto guard = database_->lock();
    SB_TRY(auto statement, database_->prepare("SELECT name, version, cursor, data FROM lake_tables ORDER BY name"));
    std::vector<ports::TableRecord> records;
    for (;;) {
        SB_TRY(const bool row, statement.step());
        if (!row) return records;
        SB_TRY(auto record, read_record(statement));
        records.push_back(std::move(record));
    }
}

Result<std::int64_t> LakeStore::id_of(const std::string& table) {
    SB_TRY(auto statement, database_->prepare("SELECT id FROM lake_tables WHERE name = ?"));
    statement.bind(1, table);
    SB_TRY(const bool row, statement.step());
    if (!row) return fail(ErrorKind::NotFound, "nothing is stored of table '{}'", table);
    return statement.integer(0);
}

Result<lake::TableState> LakeStore::state(const std::string& table) {
    const auto guard = database_->lock();
    SB_TRY(const std::int64_t id, id_of(table));
    std::map<lake::ManifestKey, lake::LiveManifest> manifests;
    SB_TRY(auto rows,
           database_->prepare("SELECT path, length, deletes, records_min, records_max, size_min, size_max"
                              " FROM lake_manifests WHERE table_id = ? AND gone_at IS NULL ORDER BY path, length"));
    rows.bind(1, id);
    for (;;) {
        SB_TRY(const bool row, rows.step());
        if (!row) break;
        lake::LiveManifest manifest;
        manifest.holds_deletes = rows.integer(2) != 0;
        manifest.data_records = {number_at(rows, 3), number_at(rows, 4)};
        manifest.data_sizes = {number_at(rows, 5), number_at(rows, 6)};
        manifests.emplace_hint(manifests.end(), lake::ManifestKey{rows.text(0), rows.integer(1)}, manifest);
    }
    std::unordered_map<std::string, lake::PartitionState> partitions;
    SB_TRY(auto parts, database_->prepare("SELECT key, state FROM lake_partitions WHERE table_id = ?"));
    parts.bind(1, id);
    for (;;) {
        SB_TRY(const bool row, parts.step());
        if (!row) break;
        SB_TRY(auto partition, lake::decode_partition_state(parts.blob(1)));
        partitions.emplace(parts.blob(0), std::move(partition));
    }
    SB_TRY(auto scalars, database_->prepare("SELECT scalars FROM lake_tables WHERE id = ?"));
    scalars.bind(1, id);
    SB_TRY([[maybe_unused]] const bool found, scalars.step());
    const std::string text = scalars.blob(0);
    if (text.empty()) return lake::TableState();
    return lake::TableState::decode(text, std::move(partitions), std::move(manifests));
}

Result<std::vector<lake::ManifestAggregate>> LakeStore::aggregates(const std::string& table,
                                                                   const std::vector<lake::ManifestKey>& keys) {
    std::vector<lake::ManifestAggregate> found;
    if (keys.empty()) return found;
    const auto guard = database_->lock();
    const auto id = id_of(table);
    if (!id) {
        if (id.error().kind == ErrorKind::NotFound) return found;
        return tl::unexpected<base::Error>(id.error());
    }
    SB_TRY(auto statement, database_->prepare("SELECT aggregate FROM lake_manifests"
                                              " WHERE table_id = ? AND path = ? AND length = ?"));
    for (const lake::ManifestKey& key : keys) {
        statement.reset();
        statement.bind(1, *id).bind(2, key.path).bind(3, key.length_bytes);
        SB_TRY(const bool row, statement.step());
        if (!row) continue;
        auto aggregate = lake::decode_aggregate(statement.blob(0));
        // One that can't be understood is as if it were not kept: it is read again, and replaced.
        if (!aggregate) continue;
        found.push_back(std::move(*aggregate));
    }
    return found;
}

Status LakeStore::save(ports::TableRecord& record, const ports::TableChange& change) {
    std::int64_t version = 0;
    SB_CHECK(database_->transaction(false, [&]() -> Status {
        SB_TRY(const std::int64_t id, store_record(record, change));
        version = record.version + 1;
        if (change.forget) {
            for (const char* rows :
                 {"DELETE FROM lake_manifests WHERE table_id = ?", "DELETE FROM lake_partitions WHERE table_id = ?"}) {
                SB_TRY(auto statement, database_->prepare(rows));
                SB_CHECK(statement.bind(1, id).run());
            }
        }
        SB_CHECK(store_manifests(id, version, change));
        SB_CHECK(store_partitions(id, change));
        return store_reports(record, change);
    }));
    record.version = version;
    return {};
}

Result<std::int64_t> LakeStore::store_record(ports::TableRecord& record, const ports::TableChange& change) {
    const std::string cursor = record.cursor ? json::serialize(lake::encode(*record.cursor)) : std::string();
    if (record.version == 0) {
        SB_TRY(auto insert,
               database_->prepare("INSERT OR IGNORE INTO lake_tables (name, version, cursor, scalars, data)"
                                  " VALUES (?, 0, '', x'', '{}')"));
        SB_CHECK(insert.bind(1, record.name).run());
    }
    SB_TRY(const std::int64_t id, id_of(record.name));
    SB_TRY(auto update, database_->prepare("UPDATE lake_tables SET version = ?3, cursor = ?4, data = ?5,"
                                           " scalars = CASE ?6 WHEN 1 THEN ?7 ELSE scalars END"
                                           " WHERE id = ?1 AND version = ?2 RETURNING id"));
    update.bind(1, id)
        .bind(2, record.version)
        .bind(3, record.version + 1)
        .bind(4, cursor)
        .bind(5, json::serialize(record.data))
        .bind(6, std::int64_t{change.state != nullptr || change.forget})
        .bind_blob(7, change.state == nullptr ? std::string() : change.state->encode_scalars());
    SB_TRY(const bool row, update.step());
    if (!row) {
        return fail(ErrorKind::Conflict, "somebody else has worked on table '{}' meanwhile; nothing was stored",
                    record.name);
    }
    return id;
}

Status LakeStore::store_manifests(std::int64_t table, std::int64_t version, const ports::TableChange& change) {
    SB_TRY(auto gone, database_->prepare("UPDATE lake_manifests SET gone_at = ?4"
                                         " WHERE table_id = ?1 AND path = ?2 AND length = ?3"));
    for (const lake::ManifestKey& key : change.gone) {
        gone.reset();
        SB_CHECK(gone.bind(1, table).bind(2, key.path).bind(3, key.length_bytes).bind(4, version).run());
    }
    for (const auto& manifest : change.put) {
        // Prepared for each: a number that is not bound is null only in a fresh statement.
        SB_TRY(auto put,
               database_->prepare("INSERT OR REPLACE INTO lake_manifests VALUES (?, ?, ?, NULL, ?, ?, ?, ?, ?, ?)"));
        put.bind(1, table)
            .bind(2, manifest->key.path)
            .bind(3, manifest->key.length_bytes)
            .bind(4, std::int64_t{manifest->holds_deletes})
            .bind_blob(9, manifest->encode());
        bind_number(put, 5, manifest->data_records_extremes.min);
        bind_number(put, 6, manifest->data_records_extremes.max);
        bind_number(put, 7, manifest->data_size_extremes.min);
        bind_number(put, 8, manifest->data_size_extremes.max);
        SB_CHECK(put.run());
    }
    SB_TRY(auto prune, database_->prepare("DELETE FROM lake_manifests WHERE table_id = ? AND gone_at <= ?"));
    return prune.bind(1, table).bind(2, version - gone_kept).run();
}

Status LakeStore::store_partitions(std::int64_t table, const ports::TableChange& change) {
    if (change.state == nullptr || change.partitions.empty()) return {};
    SB_TRY(auto put, database_->prepare("INSERT OR REPLACE INTO lake_partitions VALUES (?, ?, ?)"));
    SB_TRY(auto drop, database_->prepare("DELETE FROM lake_partitions WHERE table_id = ? AND key = ?"));
    for (const std::string& key : change.partitions) {
        const auto partition = change.state->partitions().find(key);
        const bool there = partition != change.state->partitions().end();
        Statement& statement = there ? put : drop;
        statement.reset();
        statement.bind(1, table).bind_blob(2, key);
        if (there) statement.bind_blob(3, partition->second.encode());
        SB_CHECK(statement.run());
    }
    return {};
}

Status LakeStore::store_reports(const ports::TableRecord& record, const ports::TableChange& change) {
    SB_TRY(auto insert, database_->prepare("INSERT INTO lake_commits (name, snapshot_id, kind, ref, timestamp_ms,"
                                           " reported_ns, data) VALUES (?, ?, ?, ?, ?, ?, ?)"));
    for (const ports::CommitRecord& commit : change.commits) {
        insert.reset();
        insert.bind(1, record.name)
            .bind(2, commit.snapshot_id)
            .bind(3, commit.kind)
            .bind(4, commit.ref)
            .bind(5, commit.timestamp_ms)
            .bind(6, commit.reported_at.time_since_epoch().count())
            .bind(7, json::serialize(commit.data));
        SB_CHECK(insert.run());
        if (database_->last_insert_rowid() % prune_interval != 0) continue;
        SB_TRY(auto prune,
               database_->prepare("DELETE FROM lake_commits WHERE name = ?1 AND sequence <= (SELECT sequence"
                                  " FROM lake_commits WHERE name = ?1 ORDER BY sequence DESC LIMIT 1 OFFSET ?2)"));
        SB_CHECK(prune.bind(1, record.name).bind(2, commits_kept).run());
    }
    SB_TRY(auto alarm, database_->prepare("INSERT OR REPLACE INTO lake_alarms (alarm, name, memory) VALUES (?, ?, ?)"));
    for (const ports::AlarmRecord& memory : change.alarms) {
        alarm.reset();
        SB_CHECK(alarm.bind(1, memory.alarm).bind(2, memory.table).bind(3, json::serialize(memory.memory)).run());
    }
    for (const ports::JournalEntry& entry : change.entries) SB_CHECK(journal_->insert(entry));
    for (const ports::ActionRequest& action : change.actions) {
        // A full queue is no reason not to store what happened: the queue itself journals what it dropped.
        SB_CHECK(actions_->insert(action, change.at));
    }
    return {};
}

Status LakeStore::forget(const std::string& table) {
    return database_->transaction(false, [&]() -> Status {
        SB_TRY(const std::int64_t id, id_of(table));
        for (const char* rows :
             {"DELETE FROM lake_manifests WHERE table_id = ?", "DELETE FROM lake_partitions WHERE table_id = ?",
              "DELETE FROM lake_tables WHERE id = ?"}) {
            SB_TRY(auto statement, database_->prepare(rows));
            SB_CHECK(statement.bind(1, id).run());
        }
        SB_TRY(auto alarms, database_->prepare("DELETE FROM lake_alarms WHERE name = ?"));
        return alarms.bind(1, table).run();
    });
}

Result<std::vector<ports::CommitRecord>> LakeStore::commits(const ports::CommitQuery& query) {
    const auto guard = database_->lock();
    std::string sql =
        "SELECT sequence, name, snapshot_id, kind, ref, timestamp_ms, reported_ns, data FROM lake_commits WHERE "
        "sequence > ?1";
    if (!query.table.empty()) sql += " AND name = ?2";
    if (query.since) sql += " AND timestamp_ms >= ?3";
    sql += query.newest_first ? " ORDER BY sequence DESC LIMIT ?4" : " ORDER BY sequence LIMIT ?4";
    SB_TRY(auto statement, database_->prepare(sql));
    statement.bind(1, query.after).bind(4, static_cast<std::int64_t>(std::clamp<std::size_t>(query.limit, 1, 100'000)));
    if (!query.table.empty()) statement.bind(2, query.table);
    if (query.since) {
        statement.bind(
            3, std::int64_t{
                   std::chrono::duration_cast<std::chrono::milliseconds>(query.since->time_since_epoch()).count()});
    }
    std::vector<ports::CommitRecord> commits;
    for (;;) {
        SB_TRY(const bool row, statement.step());
        if (!row) return commits;
        SB_TRY(auto commit, read_commit(statement));
        commits.push_back(std::move(commit));
    }
}

Result<std::vector<ports::AlarmRecord>> LakeStore::alarms(const std::string& table) {
    const auto guard = database_->lock();
    SB_TRY(auto statement, database_->prepare("SELECT alarm, name, memory FROM lake_alarms WHERE ?1 = '' OR name = ?1"
                                              " ORDER BY name, alarm"));
    statement.bind(1, table);
    std::vector<ports::AlarmRecord> alarms;
    for (;;) {
        SB_TRY(const bool row, statement.step());
        if (!row) return alarms;
        SB_TRY(auto memory, object_of(statement.text(2)));
        alarms.push_back({statement.text(0), statement.text(1), std::move(memory)});
    }
}

Result<json::array> LakeStore::silences() {
    const auto guard = database_->lock();
    SB_TRY(auto statement, database_->prepare("SELECT document FROM lake_silences"));
    SB_TRY(const bool row, statement.step());
    if (!row) return json::array();
    SB_TRY(json::value value, base::parse_json(statement.text(0)));
    if (!value.is_array()) return fail(ErrorKind::CorruptData, "the store's silences are no list");
    return std::move(value.get_array());
}

Status LakeStore::save_silences(const json::array& silences, const ports::JournalEntry& entry) {
    return database_->transaction(false, [&]() -> Status {
        SB_TRY(auto statement, database_->prepare("INSERT OR REPLACE INTO lake_silences VALUES (1, ?)"));
        SB_CHECK(statement.bind(1, json::serialize(silences)).run());
        return journal_->insert(entry);
    });
}

Result<std::optional<std::int64_t>> LakeStore::sink_position(const std::string& sink) {
    const auto guard = database_->lock();
    SB_TRY(auto statement, database_->prepare("SELECT sequence FROM lake_sinks WHERE sink = ?"));
    statement.bind(1, sink);
    SB_TRY(const bool row, statement.step());
    return row ? std::optional(statement.integer(0)) : std::nullopt;
}

Status LakeStore::save_sink_position(const std::string& sink, std::int64_t sequence) {
    return database_->transaction(false, [&]() -> Status {
        SB_TRY(auto statement, database_->prepare("INSERT OR REPLACE INTO lake_sinks VALUES (?, ?)"));
        return statement.bind(1, sink).bind(2, sequence).run();
    });
}

}  // namespace signalbox::sqlite
