#pragma once
// What is kept of tables: cursors, states, aggregates, commits, and the memories of their alarms.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/time.hpp"
#include "domain/lake/history.hpp"
#include "domain/lake/state.hpp"
#include "ports/alarm_actions.hpp"
#include "ports/journal.hpp"

namespace signalbox::ports {

// One reported commit, as `table commits` shows it.
struct CommitRecord {
    std::int64_t sequence = 0;  // given by the store; grows by at least one per report, over all tables
    std::string table;          // "catalog.namespace.name"
    std::int64_t snapshot_id = 0;
    std::string kind;  // lake::CommitKind, or lake::TableEventKind for what is no commit
    std::string ref;
    std::int64_t timestamp_ms = 0;
    base::WallTime reported_at{};
    base::json::object data;  // operation, parent, change, metrics, drift, notes, author
};

// What is known of a table.
struct TableRecord {
    std::string name;
    std::int64_t version = 0;  // 0: not stored yet
    std::optional<lake::Cursor> cursor;
    base::json::object data;  // the newest metrics and what `table list` shows: last commit, trouble, counters
};

struct AlarmRecord {
    std::string alarm;
    std::string table;
    base::json::object memory;
};

// Everything that one processed commit changes; all of it or nothing.
struct TableChange {
    base::WallTime at{};                      // when, for what is queued
    bool forget = false;                      // first drop the table's manifests and partitions: it was made anew
    const lake::TableState* state = nullptr;  // the state's scalars; null: unchanged
    std::vector<std::string> partitions;      // keys whose rows follow *state (absent there: deleted)
    std::vector<std::shared_ptr<const lake::ManifestAggregate>>
        put;                              // of manifests that are live now and were not before
    std::vector<lake::ManifestKey> gone;  // not live any more; their aggregates may be kept a while
    std::vector<CommitRecord> commits;
    std::vector<AlarmRecord> alarms;
    std::vector<ActionRequest> actions;  // queued with their transitions
    std::vector<JournalEntry> entries;
};

struct CommitQuery {
    std::string table{};       // empty: all
    std::int64_t after = 0;    // only larger sequences
    std::size_t limit = 1000;  // 1–100,000
    bool newest_first = false;
    std::optional<base::WallTime> since{};  // by the commit's own time
};

class LakeStore {
  public:
    virtual ~LakeStore() = default;
    virtual base::Result<std::optional<TableRecord>> load(const std::string& table) = 0;
    virtual base::Result<std::vector<TableRecord>> list() = 0;
    // The whole state: O(partitions + manifests).
    virtual base::Result<lake::TableState> state(const std::string& table) = 0;
    // Those of the keys that are kept, in any order.
    virtual base::Result<std::vector<lake::ManifestAggregate>> aggregates(
        const std::string& table, const std::vector<lake::ManifestKey>& keys) = 0;
    // Stores the record with the change in one transaction and sets record.version to the new one. Conflict if the
    // stored version is not record.version: somebody else worked on it, and nothing was stored.
    virtual base::Status save(TableRecord& record, const TableChange& change) = 0;
    // Removes everything of the table but its commits.
    virtual base::Status forget(const std::string& table) = 0;
    virtual base::Result<std::vector<CommitRecord>> commits(const CommitQuery& query) = 0;

    virtual base::Result<std::vector<AlarmRecord>> alarms(const std::string& table) = 0;  // empty: of all tables
    virtual base::Result<base::json::array> silences() = 0;
    virtual base::Status save_silences(const base::json::array& silences, const JournalEntry& entry) = 0;
    // The last commit record that a sink has delivered; none: the store does not know this sink.
    virtual base::Result<std::optional<std::int64_t>> sink_position(const std::string& sink) = 0;
    virtual base::Status save_sink_position(const std::string& sink, std::int64_t sequence) = 0;
};

}  // namespace signalbox::ports
