#include "adapters/sqlite/journal.hpp"

#include <algorithm>

namespace signalbox::sqlite {
namespace {

using base::ErrorKind;
using base::fail;

std::int64_t to_ns(base::WallTime time) { return time.time_since_epoch().count(); }

}  // namespace

base::Result<std::unique_ptr<JournalStore>> JournalStore::open(std::shared_ptr<Database> database) {
    SB_CHECK(database->execute(
        "CREATE TABLE IF NOT EXISTS journal (sequence INTEGER PRIMARY KEY AUTOINCREMENT, at_ns INTEGER NOT NULL,"
        " kind TEXT NOT NULL, subject TEXT NOT NULL, epoch INTEGER NOT NULL, run TEXT NOT NULL, data TEXT NOT NULL);"
        "CREATE INDEX IF NOT EXISTS journal_subject ON journal (subject, sequence);"
        "CREATE INDEX IF NOT EXISTS journal_run ON journal (run, sequence) WHERE run <> '';"
        "CREATE TABLE IF NOT EXISTS epochs (cluster TEXT PRIMARY KEY, epoch INTEGER NOT NULL, member TEXT NOT NULL,"
        " active INTEGER NOT NULL, position TEXT NOT NULL);"
        "CREATE TABLE IF NOT EXISTS identities (cluster TEXT PRIMARY KEY, uid TEXT NOT NULL);"));
    return std::unique_ptr<JournalStore>(new JournalStore(std::move(database)));
}

base::Status JournalStore::insert(const ports::JournalEntry& entry) {
    SB_TRY(auto statement, database_->prepare("INSERT INTO journal (at_ns, kind, subject, epoch, run, data)"
                                              " VALUES (?, ?, ?, ?, ?, ?)"));
    statement.bind(1, to_ns(entry.at))
        .bind(2, entry.kind)
        .bind(3, entry.subject)
        .bind(4, static_cast<std::int64_t>(entry.epoch))
        .bind(5, entry.run)
        .bind(6, base::json::serialize(entry.data));
    return statement.run();
}

base::Result<std::int64_t> JournalStore::append(const ports::JournalEntry& entry, ports::Durability durability) {
    std::int64_t sequence = 0;
    SB_CHECK(database_->transaction(durability == ports::Durability::Full, [&]() -> base::Status {
        SB_CHECK(insert(entry));
        sequence = database_->last_insert_rowid();
        return {};
    }));
    return sequence;
}

base::Result<std::vector<ports::JournalEntry>> JournalStore::read(const ports::JournalQuery& query) {
    const auto guard = database_->lock();
    std::string sql = "SELECT sequence, at_ns, kind, subject, epoch, run, data FROM journal WHERE sequence > ?1";
    if (!query.subject.empty()) sql += " AND subject = ?2";
    if (!query.kind.empty()) sql += " AND kind = ?3";
    if (!query.run.empty()) sql += " AND run = ?4";
    if (query.until) sql += " AND at_ns <= ?6";
    sql += query.newest_first ? " ORDER BY sequence DESC LIMIT ?5" : " ORDER BY sequence LIMIT ?5";
    SB_TRY(auto statement, database_->prepare(sql));
    statement.bind(1, query.after).bind(5, static_cast<std::int64_t>(std::clamp<std::size_t>(query.limit, 1, 100'000)));
    if (!query.subject.empty()) statement.bind(2, query.subject);
    if (!query.kind.empty()) statement.bind(3, query.kind);
    if (!query.run.empty()) statement.bind(4, query.run);
    if (query.until) statement.bind(6, to_ns(*query.until));
    std::vector<ports::JournalEntry> entries;
    for (;;) {
        SB_TRY(const bool row, statement.step());
        if (!row) return entries;
        ports::JournalEntry& entry = entries.emplace_back();
        entry.sequence = statement.integer(0);
        entry.at = base::WallTime(base::Duration(statement.integer(1)));
        entry.kind = statement.text(2);
        entry.subject = statement.text(3);
        entry.epoch = static_cast<std::uint64_t>(statement.integer(4));
        entry.run = statement.text(5);
        SB_TRY(auto data, base::parse_json(statement.text(6)));
        if (!data.is_object()) return fail(ErrorKind::CorruptData, "journal entry {} holds no object", entry.sequence);
        entry.data = std::move(data.as_object());
    }
}

base::Result<std::optional<ports::EpochRecord>> JournalStore::load(const std::string& cluster) {
    const auto guard = database_->lock();
    SB_TRY(auto statement, database_->prepare("SELECT epoch, member, active, position, coalesce(uid, '') FROM epochs"
                                              " LEFT JOIN identities USING (cluster) WHERE cluster = ?"));
    statement.bind(1, cluster);
    SB_TRY(const bool row, statement.step());
    if (!row) return std::optional<ports::EpochRecord>();
    return std::optional<ports::EpochRecord>(ports::EpochRecord{static_cast<std::uint64_t>(statement.integer(0)),
                                                                statement.text(1), statement.integer(2) != 0,
                                                                statement.text(3), statement.text(4)});
}

base::Status JournalStore::store(const std::string& cluster, const ports::EpochRecord& record,
                                 const ports::JournalEntry& entry) {
    return database_->transaction(true, [&]() -> base::Status {
        SB_TRY(const auto known, load(cluster));
        if (known &&
            (known->epoch > record.epoch || (known->epoch == record.epoch && known->member != record.member))) {
            return fail(ErrorKind::Conflict,
                        "cluster '{}' is at epoch {} for member '{}' already; epoch {} for '{}' was not recorded",
                        cluster, known->epoch, known->member, record.epoch, record.member);
        }
        SB_TRY(auto statement,
               database_->prepare("INSERT INTO epochs VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (cluster) DO UPDATE"
                                  " SET epoch = ?2, member = ?3, active = ?4, position = ?5"));
        statement.bind(1, cluster)
            .bind(2, static_cast<std::int64_t>(record.epoch))
            .bind(3, record.member)
            .bind(4, static_cast<std::int64_t>(record.active))
            .bind(5, record.position);
        SB_CHECK(statement.run());
        if (!record.cluster_uid.empty()) {
            SB_TRY(auto identity,
                   database_->prepare("INSERT INTO identities VALUES (?1, ?2) ON CONFLICT (cluster) DO UPDATE"
                                      " SET uid = ?2"));
            identity.bind(1, cluster).bind(2, record.cluster_uid);
            SB_CHECK(identity.run());
        }
        return insert(entry);
    });
}

base::Status JournalStore::store_position(const std::string& cluster, std::uint64_t epoch,
                                          const std::string& position) {
    return database_->transaction(false, [&]() -> base::Status {
        SB_TRY(auto statement,
               database_->prepare("UPDATE epochs SET position = ?3 WHERE cluster = ?1 AND epoch = ?2 AND active = 1"));
        statement.bind(1, cluster).bind(2, static_cast<std::int64_t>(epoch)).bind(3, position);
        return statement.run();
    });
}

}  // namespace signalbox::sqlite
