#pragma once
// The metrics of one table as JSON for programs and as tables for people.

#include <string>
#include <vector>

#include "app/table_source.hpp"
#include "base/json.hpp"
#include "domain/lake/metrics.hpp"
#include "domain/lake/state.hpp"

namespace signalbox::app {

struct TableReport {
    std::string table;  // its name
    std::string metadata_file;
    lake::TableMetadata metadata;
    lake::TableMetrics metrics;                // of the metadata's current snapshot
    lake::Truth truth = lake::Truth::Unknown;  // how its changes are known
    std::vector<std::string> notes;            // what a reader should know and can't see in the values
};

// Reads the manifests of the table's current snapshot and computes its metrics. Errors name file and byte.
base::Result<TableReport> read_table_report(ReadTable table);
// Of the table at that path.
base::Result<TableReport> read_table_report(const std::string& path);

// Unknown is null. At most partitions_max of the partitions are listed; partition_count tells how many there are.
base::json::value report_json(const TableReport& report, std::size_t partitions_max);
// Unknown is "unknown".
std::string report_text(const TableReport& report, std::size_t partitions_max);

}  // namespace signalbox::app
