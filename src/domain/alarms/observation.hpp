#pragma once
// What the engine tells an alarm of a table: a metric's point, a commit's facts, or that time has passed.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "domain/alarms/band.hpp"

namespace signalbox::alarms {

// The commit that an observation comes from: evidence for people.
struct CommitRef {
    std::int64_t snapshot_id = 0;  // 0: not of a commit (a recorded or CSV series)
    base::WallTime at{};
    std::string author;     // who wrote it, if the summary says (an engine, an application); else empty
    std::string operation;  // append, overwrite, delete, replace; empty if unknown
};

// One value of one metric. Unknown values are not observed: they are missing data.
struct MetricPoint {
    std::string metric;
    Point point;
    CommitRef commit;
};

// A field of the summary that the manifests contradict.
struct DriftField {
    std::string field;
    std::string summary;    // as written
    std::string manifests;  // as counted
};

// What one commit did. Unknown counts are nullopt, never 0.
struct CommitFact {
    CommitRef commit;
    PointClass kind = PointClass::Change;
    bool event = false;    // something that happened to the table without a commit: it ends no alarm
    bool compared = true;  // the summary was compared with the manifests; else nothing is known of drift
    std::vector<DriftField> drift;
    // The table's state went back to an older snapshot; `abandoned` is the one that it came from.
    bool rollback = false;
    std::optional<std::int64_t> abandoned_snapshot;
    std::optional<double> added_records;
    std::optional<double> added_bytes;
    std::optional<double> deleted_records;
    std::optional<double> deleted_files;
    std::optional<double> records_before;  // live in the parent, to see the share that went
    std::optional<double> files_before;
    // Empty: not changed. Else one line each that says what: "column price: int → long".
    std::vector<std::string> schema_changes;
    std::vector<std::string> spec_changes;  // partition spec or sort order
};

// Time passed; at least when next_due() asked for it. `step` gets the time as an argument.
struct Tick {};

using Observation = std::variant<MetricPoint, CommitFact, Tick>;

}  // namespace signalbox::alarms
