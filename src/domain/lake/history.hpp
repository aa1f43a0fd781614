#pragma once
// Which commits of a table were not reported yet, and what else happened to it, from a cursor and a metadata file.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "domain/lake/metadata.hpp"

namespace signalbox::lake {

// What is known of a table up to the last report. Everything in it is also found in the metadata that it was made of.
struct Cursor {
    std::string table_uuid;
    std::optional<std::int64_t> main_snapshot;  // head of main that was reported
    std::int64_t main_sequence = 0;
    std::int64_t main_timestamp_ms = 0;
    std::map<std::string, std::int64_t> refs;  // branches and tags but main, by name
    std::set<std::string> tags;                // which of them are tags
    std::set<std::int64_t> seen;               // snapshots that need no report; only those that the metadata still has
    std::int64_t last_sequence_number = 0;
    std::optional<std::int32_t> schema_id;
    std::optional<std::int32_t> spec_id;
    std::optional<std::int32_t> sort_order_id;
    std::int64_t log_timestamp_ms = 0;     // of the last line of the snapshot log that was looked at
    std::optional<std::int64_t> gap_told;  // the oldest snapshot after a gap that was told of
    std::string
        metadata_location;  // of the metadata file that was worked off wholly; empty while commits of it are left
};
base::json::object encode(const Cursor& cursor);
base::Result<Cursor> decode_cursor(const base::json::object& object);

enum class CommitKind {
    Main,        // a commit of main
    Branch,      // of another branch
    Staged,      // on no branch, and never was current: staged for a later publication
    RolledBack,  // was current on main for a while, and is not any more
};
std::string_view to_string(CommitKind kind);  // "main", "branch", "staged", "rolled-back"

// One commit to report.
struct CommitStep {
    std::int64_t snapshot_id = 0;
    CommitKind kind = CommitKind::Main;
    std::string ref;  // "main", the branch's name, or empty
    std::optional<std::int64_t> parent_id;
    // The parent's live set can be had: it has no parent, or the parent is in the metadata, or it is the cursor's main.
    bool parent_known = false;
    std::int64_t sequence_number = 0;
    std::int64_t timestamp_ms = 0;

    // The cursor once this commit is reported, from the one before it.
    Cursor after(Cursor before) const;
};

enum class TableEventKind {
    Rollback,     // a branch (`ref`, mostly main) went back to an ancestor, to another known snapshot, or to none
    FastForward,  // it went on to a snapshot that was reported before, on another branch or as staged
    HistoryGap,   // commits of main expired before they were seen, or main was begun anew without a parent
    SchemaChanged,
    SpecChanged,
    SortOrderChanged,
    BranchCreated,
    BranchDropped,
    TagCreated,
    TagDropped,
    Recreated,  // another table has its name: everything starts anew
    SnapshotsExpired,
};
std::string_view to_string(TableEventKind kind);  // "rollback", "fast-forward", "history-gap", …

struct TableEvent {
    TableEventKind kind = TableEventKind::Rollback;
    std::optional<std::int64_t> from;  // snapshot, schema or spec id
    std::optional<std::int64_t> to;
    std::int64_t count = 0;  // of a gap: commits that are known to be missing (0: unknown); of an expiry: snapshots
    std::string ref;
    std::string text;  // one line for people
    std::int64_t timestamp_ms = 0;
};

struct WalkPlan {
    bool recreated = false;          // forget what is stored of the table, then go on
    std::vector<TableEvent> events;  // before the first commit is reported
    // Main moves to this known snapshot without a commit (rollback, fast-forward): the state follows by its manifest
    // list. At a first look that is a baseline: the snapshot to begin with.
    std::optional<std::int64_t> move_to;
    Cursor start;  // when the events are reported and main was moved: the one before the first commit
    std::vector<CommitStep> commits;  // parents before children, else by sequence number and time
    Cursor after;                     // when all is reported
    std::vector<std::string> notes;
};

enum class FirstLook {
    Baseline,  // report nothing: the table as it is is the beginning
    History,   // report every commit that the metadata still has, the oldest first
};

// nullopt as cursor: the table is looked at for the first time. CorruptData names a cycle of parents or a snapshot that
// is named twice. Bounded by the metadata's size. With any cursor on the way from `start` to `after`, the same metadata
// gives the rest of the commits, and no event again.
base::Result<WalkPlan> plan_walk(const std::optional<Cursor>& cursor, const TableMetadata& metadata,
                                 FirstLook first_look);

}  // namespace signalbox::lake
