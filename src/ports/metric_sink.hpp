#pragma once
// Where a table's metrics go after each commit: a Prometheus page, a file, an OTLP receiver.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"

namespace signalbox::ports {

struct MetricPoint {
    std::string table;            // as the user names it, "db.table"
    std::string name;             // "snapshot.added_records": reference/table-metrics.md has them all
    std::string partition;        // empty: of the table
    std::optional<double> value;  // nothing: unknown; it is left out everywhere, never sent as 0
    std::string unit;             // "Count", "Bytes", "Seconds", "Ratio", "None"
    base::WallTime at{};          // the snapshot's time
    std::int64_t snapshot_id = 0;
};

class MetricSink {
  public:
    virtual ~MetricSink() = default;
    // Takes the points of one or more commits, those of a commit next to each other. Returns soon: a sink that sends
    // over a network queues them, within a bound, and counts what it had to drop. Safe from several threads. An error
    // says that these points are lost for this sink.
    virtual base::Status write(const std::vector<MetricPoint>& points) = 0;
};

}  // namespace signalbox::ports
