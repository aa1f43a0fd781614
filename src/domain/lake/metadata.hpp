#pragma once
// An Iceberg table's metadata file as values (Iceberg spec, "Table Metadata", versions 1 to 3). Unknown fields are
// passed over: later writers add some.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace signalbox::lake {

struct PartitionField {
    std::int32_t field_id = 0;
    std::int32_t source_id = 0;
    std::string name;
    std::string transform;    // "identity", "bucket[16]", "truncate[4]", "year", "month", "day", "hour", "void"…
    std::string source_type;  // of the source column, "date", "decimal(9,2)"…; empty if no schema has it any more
    std::string source_name;  // of the source column, "place.city" within a struct; empty likewise
};

struct PartitionSpec {
    std::int32_t id = 0;
    std::vector<PartitionField> fields;
};

struct Snapshot {
    std::int64_t id = 0;
    std::optional<std::int64_t> parent_id;
    std::int64_t sequence_number = 0;  // 0 in version 1
    std::int64_t timestamp_ms = 0;     // since 1970-01-01T00:00:00Z
    std::string manifest_list;         // empty if the manifests are inline
    std::vector<std::string> manifests;
    bool encrypted = false;                                   // version 3: the manifest list is
    std::map<std::string, std::string, std::less<>> summary;  // as written; "operation" is one of its keys
    std::optional<std::int32_t> schema_id;
};

struct SnapshotRef {
    std::string name;
    std::int64_t snapshot_id = 0;
    bool tag = false;  // else a branch
};

// A line of the snapshot log: since when a snapshot was main's.
struct SnapshotLogEntry {
    std::int64_t timestamp_ms = 0;
    std::int64_t snapshot_id = 0;
};

struct TableMetadata {
    int format_version = 0;
    std::string table_uuid;
    std::string location;
    std::int64_t last_updated_ms = 0;
    std::int64_t last_sequence_number = 0;
    std::optional<std::int64_t> current_snapshot_id;
    std::vector<Snapshot> snapshots;
    std::vector<SnapshotRef> refs;  // by name; main too, where the file names it
    std::vector<SnapshotLogEntry> snapshot_log;
    std::vector<PartitionSpec> specs;
    std::optional<std::int32_t> current_schema_id;
    std::optional<std::int32_t> default_spec_id;
    std::optional<std::int32_t> default_sort_order_id;
    std::int64_t metadata_log_count = 0;  // earlier metadata files that it still names
    std::map<std::string, std::string, std::less<>> properties;
    // What a reader should know and can't see in the values, for example an id that was rounded.
    std::vector<std::string> notes;

    const PartitionSpec* spec(std::int32_t id) const;
    // The snapshot that current_snapshot_id names; nullptr for a table without one.
    const Snapshot* current_snapshot() const;
    // By id; failing that, the one whose id is the same once both are rounded to a double, if there is just one.
    const Snapshot* snapshot(std::int64_t id) const;
};

// Parses the JSON text of a metadata file. CorruptData names the field that is wrong; NotSupported for version 4 and
// later. An id of a snapshot that no snapshot has (some files hold ids that were rounded to a double) is taken for the
// only one that rounds to the same; failing that, the current snapshot is found by the table's last sequence number;
// with a note each. If that fails too, and for two snapshots with one id, CorruptData.
base::Result<TableMetadata> parse_table_metadata(std::string_view text);

}  // namespace signalbox::lake
