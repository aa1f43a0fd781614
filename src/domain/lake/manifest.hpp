#pragma once
// What a manifest list says of a manifest, and a manifest of a file (Iceberg spec, "Manifests", "Manifest Lists"), as
// far as metrics need it. What a writer left out is nullopt: unknown, never zero.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/lake/partition.hpp"

namespace signalbox::lake {

enum class FileContent { Data = 0, PositionDeletes = 1, EqualityDeletes = 2 };

enum class EntryStatus { Existing = 0, Added = 1, Deleted = 2 };

// Files and their records of one status, as the manifest list claims them.
struct ClaimedCount {
    std::optional<std::int64_t> files;
    std::optional<std::int64_t> rows;
};

struct ManifestFile {
    std::string path;                          // as written, an absolute URI
    std::optional<std::int64_t> length_bytes;  // unknown for an inline manifest of version 1
    std::optional<std::int32_t> spec_id;
    bool holds_deletes = false;
    std::optional<std::int64_t> sequence_number;
    std::optional<std::int64_t> added_snapshot_id;
    ClaimedCount claimed[3];  // by EntryStatus
    bool encrypted = false;
};

// One file of a manifest, after inheritance. The texts point into the manifest's bytes.
struct ManifestEntry {
    EntryStatus status = EntryStatus::Existing;
    std::optional<std::int64_t> snapshot_id;
    std::optional<std::int64_t> data_sequence;  // inherited where the entry has none; 0 in version 1
    FileContent content = FileContent::Data;
    std::string_view path;
    std::int64_t record_count = 0;
    std::int64_t size_bytes = 0;  // of a deletion vector: of the vector, not of the file that it shares
    bool deletion_vector = false;
    std::optional<std::int64_t> content_offset;  // of a deletion vector
    std::vector<PartitionValue> partition;
};

}  // namespace signalbox::lake
