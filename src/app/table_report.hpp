#pragma once
// The metrics of one table as JSON for programs and as tables for people.

#include <string>
#include <vector>

#include "adapters/iceberg/local_table.hpp"
#include "base/json.hpp"
#include "domain/lake/metrics.hpp"
#include "domain/lake/state.hpp"

namespace signalbox::app {

struct TableReport {
    std::string metadata_file;
    lake::TableMetadata metadata;
    lake::TableMetrics metrics;                // of the metadata's current snapshot
    lake::Truth truth = lake::Truth::Unknown;  // how its changes are known
    std::vector<std::string> notes;            // what a reader should know and can't see in the values

    // The last part of the table's location: what people call it.
    std::string name() const;
};

// Reads the table at `path` and computes the metrics of its current snapshot. Errors name file and byte.
base::Result<TableReport> read_table_report(const std::string& path);

// Unknown is null. At most partitions_max of the partitions are listed; partition_count tells how many there are.
base::json::value report_json(const TableReport& report, std::size_t partitions_max);
// Unknown is "unknown".
std::string report_text(const TableReport& report, std::size_t partitions_max);

}  // namespace signalbox::app
