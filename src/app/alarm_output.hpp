#pragma once
// Alarms of tables as JSON for programs and as text for people. Pure.

#include <string>
#include <vector>

#include "app/table_book.hpp"

namespace signalbox::app {

// An alarm of a table, as the list shows it.
struct ListedAlarm {
    StoredAlarm stored;
    const alarms::Silence* silence = nullptr;  // that covers it now
};

base::json::object alarm_json(const ListedAlarm& alarm);
// ALARM first.
std::string alarms_text(const std::vector<ListedAlarm>& alarms, base::WallTime now);
// "ALARM first, then what waits for data, then OK; by table and name".
void sort_alarms(std::vector<ListedAlarm>& alarms);

// All that is known of one alarm of one table. `entries`: its transitions in the journal, the newest first.
struct AlarmStory {
    ListedAlarm alarm;
    std::vector<ports::JournalEntry> entries;
};
base::json::object story_json(const AlarmStory& story, base::WallTime now);
std::string story_text(const AlarmStory& story, base::WallTime now);

// What the alarm looks at, in a line: "band of snapshot.added_records, k 3, 2 of 2 points".
std::string describe(const alarms::AlarmConfig& config);
// What would end its ALARM.
std::string clears_when(const alarms::AlarmConfig& config, const alarms::AlarmMemory& memory, base::WallTime now);
// A number as people write it: "1200", "0.25", "1.2e+15".
std::string number_text(double value);

}  // namespace signalbox::app
