#pragma once
// How a commit, an event and a table are written down: the JSON of docs/reference/table.md.

#include <string>
#include <vector>

#include "base/json.hpp"
#include "domain/alarms/observation.hpp"
#include "domain/lake/history.hpp"
#include "domain/lake/metrics.hpp"
#include "ports/lake_store.hpp"
#include "ports/table_files.hpp"

namespace signalbox::engine {

// Everything that is known of one commit once it was worked out.
struct CommitFigures {
    const lake::CommitStep* step = nullptr;
    const lake::Snapshot* snapshot = nullptr;
    lake::Change change;
    lake::TableMetrics metrics;  // of main's commits; of others only what the commit itself did
    bool before_known = false;
    std::int64_t records_before = 0;  // live in its parent
    std::int64_t files_before = 0;
    bool compared = true;      // the summary was compared with the manifests
    bool state_known = false;  // metrics of the whole table are true
    ports::ReadCounters read;
    std::size_t manifests_read = 0;
    std::size_t manifests_known = 0;
};

// Who wrote it, as far as the summary says: "spark 3.5.1, app nightly-load (app-1234)"; else empty.
std::string author_of(const lake::Snapshot& snapshot);
std::string operation_of(const lake::Snapshot& snapshot);  // empty: not said
base::json::value to_json(const lake::MetricValue& value);
base::json::object metrics_json(const lake::TableMetrics& metrics);

ports::CommitRecord commit_record(const std::string& table, const CommitFigures& figures, std::size_t partitions_max,
                                  base::WallTime now);
ports::CommitRecord event_record(const std::string& table, const lake::TableEvent& event, base::WallTime now);

// What alarms are told of it.
// A writer's clock that is ahead is not believed: `now` is the latest.
std::vector<alarms::Observation> observations_of(const CommitFigures& figures, base::WallTime now);
alarms::CommitFact fact_of(const lake::TableEvent& event, base::WallTime now);

}  // namespace signalbox::engine
