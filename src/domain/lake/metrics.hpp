#pragma once
// A table's metrics, by the names that AWS's published Iceberg monitoring sample gave them. All are computed from
// manifests; the snapshot's summary is only compared. What is not known is nullopt, never 0.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "domain/lake/metadata.hpp"
#include "domain/lake/totals.hpp"

namespace signalbox::lake {

// monostate is unknown or undefined.
using MetricValue = std::variant<std::monostate, std::int64_t, double>;

struct Metric {
    std::string name;
    MetricValue value;
};

// "Bytes" if the name contains "size", else "Count".
std::string_view unit_of(std::string_view metric);

struct PartitionMetrics {
    std::string name;
    std::int64_t record_count = 0;  // of live data files
    std::int64_t file_count = 0;    // live data files
};

// A key of the summary that the manifests contradict.
struct Drift {
    std::string field;
    std::string summary;  // as written
    std::int64_t manifests = 0;
};

struct TableMetrics {
    std::vector<Metric> metrics;               // always the same names, in the same order
    std::vector<PartitionMetrics> partitions;  // those with live data files: most records first, then by name
    std::vector<Drift> drift;
};

// The metrics of that snapshot, whose manifests were all added to `totals`. For a table without a snapshot pass nullptr
// for both: it holds nothing, so its totals are 0, and no commit is there to be measured.
TableMetrics compute_metrics(const TableMetadata& metadata, const Snapshot* snapshot, const TableTotals* totals);

}  // namespace signalbox::lake
