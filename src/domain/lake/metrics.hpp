#pragma once
// A table's metrics, by the names that AWS's published Iceberg monitoring sample gave them and some of our own. All are
// computed from manifests; the snapshot's summary is only compared. What is not known is nullopt, never 0.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "domain/lake/metadata.hpp"
#include "domain/lake/state.hpp"

namespace signalbox::lake {

// monostate is unknown or undefined.
using MetricValue = std::variant<std::monostate, std::int64_t, double>;

struct Metric {
    std::string name;
    MetricValue value;
};

// "Ratio" for shares and ratios, "Seconds" for timestamps and ages, "None" for ids; else "Bytes" if the name contains
// "size", else "Count".
std::string_view unit_of(std::string_view metric);

// The name by the partition's own spec; a spec that is gone leaves the key's bytes as a name.
std::string partition_name(const TableMetadata& metadata, const std::string& key, const PartitionState& partition);

struct PartitionMetrics {
    std::string name;
    std::int64_t record_count = 0;  // of live data files
    std::int64_t file_count = 0;    // live data files
    std::int64_t data_size_bytes = 0;
    std::int64_t small_file_count = 0;
    std::int64_t delete_file_count = 0;
    std::int64_t dangling_delete_count = 0;
};

// A key of the summary that the manifests contradict.
struct Drift {
    std::string field;
    std::string summary;  // as written
    std::int64_t manifests = 0;
    bool claimed = false;  // the manifests' side is what statuses claim: the parent's files are not known
};

struct TableMetrics {
    std::vector<Metric> metrics;               // always the same names, in the same order
    std::vector<PartitionMetrics> partitions;  // those with live data files: most records first, then by name
    std::vector<Drift> drift;
};

// The bytes and number of a snapshot's manifests.
struct ManifestCounts {
    std::int64_t data_manifests = 0;
    std::int64_t delete_manifests = 0;
    std::optional<std::int64_t> size_bytes;      // nullopt if a manifest's size is not told
    std::optional<std::int64_t> size_bytes_max;  // nullopt also without manifests
};
ManifestCounts count_manifests(const TableState& state);

// The size that small files are measured against: the table's write.target-file-size-bytes, else 512 MiB (Iceberg's
// default).
std::int64_t target_size_bytes(const TableMetadata& metadata);

// The metrics of that snapshot, whose state and change are given. A change of Truth::Unknown leaves the commit's own
// metrics unknown. For a table without a snapshot pass nullptr for the snapshot: it holds nothing, so its totals are 0,
// and no commit is there to be measured.
TableMetrics compute_metrics(const TableMetadata& metadata, const Snapshot* snapshot, const TableState& state,
                             const Change& change);

// Live delete files that apply to no live data file any more (Iceberg spec, "Scan Planning"): a position delete file
// applies to data files of its partition that are not newer, an equality delete file to older ones; of the whole table
// if it is `global` (its spec has no fields). A lower bound where a lowest sequence number is one, for deletion
// vectors, which name one file each, and where the same values were written under several specs. What the whole table
// tells of it.
struct DeleteScope {
    std::optional<std::int64_t> data_sequence_min;  // of all live data files
    bool any_unpartitioned = false;                 // a spec of the table has no fields
    DeleteScope(const TableMetadata& metadata, const TableState& state);
    // Whether equality deletes of the partition with that key may be of the whole table.
    bool global(std::string_view key) const { return any_unpartitioned && key.empty(); }
};
std::int64_t dangling_deletes(const PartitionState& partition, std::optional<std::int64_t> table_sequence_min,
                              bool global);
// The same by FileContent.
std::array<std::int64_t, 3> dangling_by_content(const PartitionState& partition,
                                                std::optional<std::int64_t> table_sequence_min, bool global);

}  // namespace signalbox::lake
