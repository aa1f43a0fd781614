#pragma once
// Where commands on tables read what is known: the daemon's store, or one in memory that is filled from a table itself.

#include <memory>
#include <string>
#include <vector>

#include "adapters/sqlite/journal.hpp"
#include "adapters/sqlite/lake_store.hpp"
#include "app/config.hpp"
#include "app/table_output.hpp"
#include "domain/alarms/alarm.hpp"

namespace signalbox::app {

struct TableBook {
    std::shared_ptr<sqlite::Database> database;
    std::unique_ptr<sqlite::LakeStore> store;
    std::unique_ptr<sqlite::JournalStore> journal;
};

// The daemon's. NotFound, with the remedy, if there is none: it is not made.
base::Result<TableBook> open_book(const Config& config);
// Gone with the process.
base::Result<TableBook> open_memory_book();

// The stored table of that name, or the only one whose name ends with ".NAME". NotFound names what there is; Conflict
// if there are several.
base::Result<ports::TableRecord> find_table(ports::LakeStore& store, const std::string& name);
// The same choice among names.
base::Result<std::string> pick_table(const std::vector<std::string>& names, const std::string& name);

// An alarm's memory as it is stored, decoded if the alarm is configured.
struct StoredAlarm {
    std::string alarm;
    std::string table;
    const alarms::AlarmConfig* config = nullptr;  // null: no longer configured; the memory is then partly known
    alarms::AlarmMemory memory;
};
// Of the alarms that are configured for the table, also those that have no memory yet; of others, those that have one.
base::Result<std::vector<StoredAlarm>> stored_alarms(ports::LakeStore& store, const engine::TableLoopConfig& config,
                                                     const std::string& table);
// Marks the alarm's current episode as seen by somebody, and stores that; a daemon that works on the same table at the
// same time is waited for. NotFound: no such table or alarm, or it is not in ALARM;
// AlreadyExists: somebody did so before, whose note stays.
base::Result<StoredAlarm> acknowledge_alarm(ports::LakeStore& store, const engine::TableLoopConfig& config,
                                            const std::string& alarm, const std::string& table,
                                            const alarms::Acknowledgement& mark);
// Silences that are not over.
base::Result<std::vector<alarms::Silence>> stored_silences(ports::LakeStore& store);

}  // namespace signalbox::app
