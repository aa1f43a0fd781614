#pragma once
// One look at a table: which commits are new, what each did, what the alarms say of it, all stored in one transaction
// per commit (docs/adr/0013). A table's looks must not run at the same time; different tables' may.

#include <functional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"
#include "domain/alarms/action_policy.hpp"
#include "domain/alarms/alarm.hpp"
#include "domain/lake/history.hpp"
#include "engine/table_alarms.hpp"
#include "ports/journal.hpp"
#include "ports/lake_store.hpp"
#include "ports/table_reader.hpp"

namespace signalbox::engine {

// An alarm and the tables that it is for.
struct AlarmBinding {
    alarms::AlarmConfig config;
    std::vector<std::string> tables{"*"};  // globs over "catalog.namespace.table"
};

struct TableLoopConfig {
    std::vector<AlarmBinding> alarms;
    std::vector<alarms::ActionConfig> actions;
    lake::FirstLook first_look = lake::FirstLook::History;
    std::size_t partitions_max = 20;         // rows of partitions in a commit's record, the largest first
    std::size_t history_commits_max = 1000;  // FirstLook::History: at most so many of the newest commits
};

struct TableLook {
    std::vector<ports::CommitRecord> reported;  // commits and events, in order
    std::vector<AlarmChange> changes;
    std::vector<AlarmStanding> alarms;        // of all that are for the table, after the look
    std::optional<base::WallTime> next_tick;  // when an alarm waits for time
    std::string trouble;                      // of a part that can't be read, while the rest was reported
    std::vector<std::string> notes;
    std::size_t manifests_read = 0;
    std::size_t manifests_known = 0;  // whose aggregates came from the store
};

class TableLoop {
  public:
    // The journal is read for what else happened at the time of a transition. All must outlive the loop.
    TableLoop(ports::LakeStore& store, ports::Journal& journal, TableLoopConfig config);

    // Reports what is new in the table, whose metadata was just read from metadata_location. on_progress: of long
    // reads. Errors: those of the reader and the store; what was reported before stays reported. An error is also noted
    // in the table's record ("trouble"), once per change.
    base::Result<TableLook> look(const std::string& table, const lake::TableMetadata& metadata,
                                 const std::string& metadata_location, ports::TableReader& reader, base::WallTime now,
                                 const std::function<void(const ports::ReadProgress&)>& on_progress);
    // Steps the alarms that wait for time: late commits, missing data.
    base::Result<TableLook> tick(const std::string& table, base::WallTime now);
    // When tick() should be called next; none: never.
    base::Result<std::optional<base::WallTime>> next_tick(const std::string& table, base::WallTime now);
    // That the table could not be looked at; kept with the table and in the journal, once per change. Empty: all is
    // well again.
    base::Status note_trouble(const std::string& table, const std::string& trouble, base::WallTime now);

    const TableLoopConfig& config() const { return config_; }
    // The alarms that are for this table.
    std::vector<const alarms::AlarmConfig*> alarms_of(const std::string& table) const;

  private:
    ports::LakeStore& store_;
    ports::Journal& journal_;
    TableLoopConfig config_;
};

// "*" stands for any number of characters, "?" for one.
bool glob_matches(std::string_view glob, std::string_view name);

}  // namespace signalbox::engine
