#pragma once
// Recorded commits as what alarms observe and as points to draw: for backtests and plots. Pure.

#include <string>
#include <vector>

#include "domain/alarms/alarm.hpp"
#include "ports/lake_store.hpp"

namespace signalbox::app {

// What the alarms of a table were told of these records, in their order: each commit's facts and, where it is known,
// its value of the metric; rollbacks and changes of schema, spec and sort order. Only of main: other branches are not
// what the table's readers see.
std::vector<alarms::Observation> observations_of(const std::vector<ports::CommitRecord>& records,
                                                 const std::string& metric);

// One value a line: timestamp,value[,operation]; a first line that is no value is a header. Times as RFC 3339,
// "2026-01-31 08:00:00" (UTC) or seconds since 1970. InvalidArgument names the line. In order of time afterwards.
base::Result<std::vector<alarms::Point>> parse_csv(const std::string& text, const std::string& file);

}  // namespace signalbox::app
