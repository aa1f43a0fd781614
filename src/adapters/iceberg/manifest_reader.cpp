#include "adapters/iceberg/manifest_reader.hpp"

#include <algorithm>
#include <limits>

#include "base/text.hpp"
#include "wire/avro/container.hpp"

namespace signalbox::iceberg {

using base::ErrorKind;
using base::fail;
using base::Result;
using base::Status;

namespace {

using avro::Expect;
using avro::no_id;

// Slots of a manifest list's row.
enum ListSlot : std::size_t { Path, Length, SpecId, Content, Sequence, SnapshotId, KeyMetadata, FirstCount };

avro::PlanRequest list_request() {
    avro::PlanRequest request;
    request.fields = {{no_id, 500, Expect::Text, true, "manifest_path"},
                      {no_id, 501, Expect::Integer, true, "manifest_length"},
                      {no_id, 502, Expect::Integer, true, "partition_spec_id"},
                      {no_id, 517, Expect::Integer, false, "content"},
                      {no_id, 515, Expect::Integer, false, "sequence_number"},
                      {no_id, 503, Expect::Integer, false, "added_snapshot_id"},
                      {no_id, 519, Expect::Text, false, "key_metadata"},
                      // Files and rows, in EntryStatus's order: existing, added, deleted.
                      {no_id, 505, Expect::Integer, false, "existing_files_count"},
                      {no_id, 513, Expect::Integer, false, "existing_rows_count"},
                      {no_id, 504, Expect::Integer, false, "added_files_count"},
                      {no_id, 512, Expect::Integer, false, "added_rows_count"},
                      {no_id, 506, Expect::Integer, false, "deleted_files_count"},
                      {no_id, 514, Expect::Integer, false, "deleted_rows_count"}};
    return request;
}

std::optional<std::int64_t> number(const avro::Value& value) {
    return value.null() ? std::nullopt : std::optional<std::int64_t>(value.integer);
}

Result<std::int32_t> spec_id_of(std::int64_t id) {
    if (id >= 0 && id <= std::numeric_limits<std::int32_t>::max()) return static_cast<std::int32_t>(id);
    return fail(ErrorKind::CorruptData, "{} is no partition spec's id", id);
}

Result<lake::ManifestFile> list_entry(const avro::RowCursor& row) {
    lake::ManifestFile manifest;
    if (row[Path].null() || row[Length].null() || row[SpecId].null()) {
        return fail(ErrorKind::CorruptData, "a manifest's path, length or partition spec is null");
    }
    manifest.path = std::string(row[Path].text);
    manifest.length_bytes = row[Length].integer;
    SB_TRY(manifest.spec_id, spec_id_of(row[SpecId].integer));
    const std::int64_t content = row[Content].null() ? 0 : row[Content].integer;
    if (content != 0 && content != 1) {
        return fail(ErrorKind::CorruptData, "a manifest's content is {}, expected 0 (data) or 1 (deletes)", content);
    }
    manifest.holds_deletes = content == 1;
    manifest.sequence_number = number(row[Sequence]);
    manifest.added_snapshot_id = number(row[SnapshotId]);
    manifest.encrypted = !row[KeyMetadata].null();
    for (std::size_t i = 0; i < 3; ++i) {
        manifest.claimed[i] = {number(row[FirstCount + 2 * i]), number(row[FirstCount + 2 * i + 1])};
    }
    return manifest;
}

// Slots of a manifest's row; the partition's fields follow.
enum EntrySlot : std::size_t {
    EntryStatus,
    EntrySnapshotId,
    DataSequence,
    FileContent,
    FilePath,
    FileFormat,
    RecordCount,
    FileSize,
    ContentOffset,
    ContentSize,
    FirstPartition
};

avro::PlanRequest entry_request() {
    constexpr std::int32_t data_file = 2;
    avro::PlanRequest request;
    request.fields = {{no_id, 0, Expect::Integer, true, "status"},
                      {no_id, 1, Expect::Integer, false, "snapshot_id"},
                      {no_id, 3, Expect::Integer, false, "sequence_number"},
                      {data_file, 134, Expect::Integer, false, "content"},
                      {data_file, 100, Expect::Text, true, "file_path"},
                      {data_file, 101, Expect::Text, false, "file_format"},
                      {data_file, 103, Expect::Integer, true, "record_count"},
                      {data_file, 104, Expect::Integer, true, "file_size_in_bytes"},
                      {data_file, 144, Expect::Integer, false, "content_offset"},
                      {data_file, 145, Expect::Integer, false, "content_size_in_bytes"}};
    request.open_parent = data_file;
    request.open_record = 102;
    return request;
}

void read_partition(const avro::Plan& plan, const avro::RowCursor& row, lake::ManifestEntry& entry) {
    entry.partition.clear();
    for (std::size_t i = 0; i < plan.open_ids().size(); ++i) {
        const avro::Value& value = row[FirstPartition + i];
        lake::PartitionValue field;
        field.field_id = plan.open_ids()[i];
        switch (value.kind) {
            case avro::ValueKind::Null:
                continue;
            case avro::ValueKind::Boolean:
                field.value = value.integer != 0;
                break;
            case avro::ValueKind::Integer:
                field.value = value.integer;
                break;
            case avro::ValueKind::Real:
                field.value = value.real;
                break;
            case avro::ValueKind::Text:
                field.value = value.text;
        }
        entry.partition.push_back(field);
    }
}

// Inherited only by added files; all files of a manifest of sequence number 0, which version 1 wrote, have 0. Else a
// missing one stays unknown.
std::optional<std::int64_t> data_sequence(const avro::RowCursor& row, const lake::ManifestFile& manifest,
                                          lake::EntryStatus status) {
    if (!row[DataSequence].null()) return row[DataSequence].integer;
    const std::int64_t inherited = manifest.sequence_number.value_or(0);
    if (status == lake::EntryStatus::Added || inherited == 0) return inherited;
    return std::nullopt;
}

// All but the partition.
Status read_entry(const avro::RowCursor& row, const lake::ManifestFile& manifest, lake::ManifestEntry& entry) {
    const std::int64_t content = row[FileContent].null() ? 0 : row[FileContent].integer;
    if (row[EntryStatus].null() || row[EntryStatus].integer < 0 || row[EntryStatus].integer > 2) {
        return fail(ErrorKind::CorruptData, "status is {}, expected 0, 1 or 2", row[EntryStatus].integer);
    }
    if (content < 0 || content > 2) {
        return fail(ErrorKind::CorruptData, "content is {}, expected 0, 1 or 2", content);
    }
    if (row[FilePath].null() || row[RecordCount].null() || row[FileSize].null()) {
        return fail(ErrorKind::CorruptData, "a file's path, record count or size is null");
    }
    entry.status = static_cast<lake::EntryStatus>(row[EntryStatus].integer);
    entry.snapshot_id = row[EntrySnapshotId].null() ? manifest.added_snapshot_id : number(row[EntrySnapshotId]);
    entry.content = static_cast<lake::FileContent>(content);
    entry.path = row[FilePath].text;
    entry.record_count = row[RecordCount].integer;
    entry.data_sequence = data_sequence(row, manifest, entry.status);
    // Deletion vectors share their file: what counts is the part of it that is this one.
    entry.deletion_vector =
        content == 1 && !row[FileFormat].null() && base::equal_ignoring_case(row[FileFormat].text, "puffin");
    const bool shared = entry.deletion_vector && !row[ContentSize].null();
    entry.size_bytes = row[shared ? ContentSize : FileSize].integer;
    entry.content_offset = entry.deletion_vector ? number(row[ContentOffset]) : std::nullopt;
    return {};
}

// What the manifest says of itself in its header must agree with its line in the list. Some writers say nothing.
Result<std::int32_t> check_header(const avro::ContainerReader& reader, const lake::ManifestFile& manifest,
                                  const lake::TableMetadata& metadata) {
    std::optional<std::int32_t> spec_id = manifest.spec_id;
    const auto& header = reader.metadata();
    if (const auto own = header.find("partition-spec-id"); own != header.end()) {
        const auto parsed = base::parse_int(own->second);
        if (!parsed || (spec_id && *parsed != *spec_id)) {
            return fail(ErrorKind::CorruptData, "the manifest's partition spec is '{}', and the manifest list says {}",
                        own->second.substr(0, 40), spec_id.value_or(-1));
        }
        SB_TRY(spec_id, spec_id_of(*parsed));
    }
    if (!spec_id && metadata.specs.size() == 1) spec_id = metadata.specs.front().id;
    if (!spec_id || metadata.spec(*spec_id) == nullptr) {
        return fail(ErrorKind::CorruptData, "the table's metadata has no partition spec {}", spec_id.value_or(-1));
    }
    const auto content = header.find("content");
    if (content != header.end() && content->second != (manifest.holds_deletes ? "deletes" : "data")) {
        return fail(ErrorKind::CorruptData, "the manifest's content is '{}', and the manifest list says '{}'",
                    content->second.substr(0, 40), manifest.holds_deletes ? "deletes" : "data");
    }
    return *spec_id;
}

// The partition record holds the spec's fields, by id; a void field may be left out. Anything else would put files into
// wrong partitions.
Status check_partition(const avro::Plan& plan, const lake::PartitionSpec& spec) {
    const std::vector<std::int32_t>& ids = plan.open_ids();
    for (const lake::PartitionField& field : spec.fields) {
        if (field.transform == "void" || std::find(ids.begin(), ids.end(), field.field_id) != ids.end()) continue;
        return fail(ErrorKind::CorruptData, "the schema's partition lacks field {} ('{}') of partition spec {}",
                    field.field_id, field.name, spec.id);
    }
    for (const std::int32_t id : ids) {
        const auto same = [&](const lake::PartitionField& field) { return field.field_id == id; };
        if (std::any_of(spec.fields.begin(), spec.fields.end(), same)) continue;
        return fail(ErrorKind::CorruptData, "the schema's partition has field {}, which partition spec {} has not", id,
                    spec.id);
    }
    return {};
}

// Calls on_entry(entry, spec id) for each entry, which lives until the next; without its partition where
// knows(its bytes) says that they are known.
template <typename Knows, typename OnEntry>
Status for_each_entry(std::string_view file, const lake::ManifestFile& manifest, const lake::TableMetadata& metadata,
                      const Knows& knows, const OnEntry& on_entry) {
    if (manifest.encrypted) return fail(ErrorKind::NotSupported, "the manifest is encrypted, which is not supported");
    if (manifest.length_bytes && *manifest.length_bytes != static_cast<std::int64_t>(file.size())) {
        return fail(
            ErrorKind::CorruptData,
            "at byte {}: the file ends; the manifest list says that it has {} bytes: it is cut short or replaced",
            file.size(), *manifest.length_bytes);
    }
    avro::ContainerReader reader(file);
    SB_CHECK(reader.open());
    SB_TRY(const std::int32_t spec_id, check_header(reader, manifest, metadata));
    SB_TRY(const avro::Schema schema, avro::parse_schema(reader.schema_text()));
    SB_TRY(const avro::Plan plan, avro::Plan::compile(schema, entry_request()));
    SB_CHECK(check_partition(plan, *metadata.spec(spec_id)));
    lake::ManifestEntry entry;
    return reader.for_each_row(plan, [&](const avro::RowCursor& row) -> Status {
        SB_CHECK(read_entry(row, manifest, entry));
        if (!knows(row.open_bytes())) read_partition(plan, row, entry);
        return on_entry(entry, spec_id);
    });
}

}  // namespace

Result<std::vector<lake::ManifestFile>> read_manifest_list(std::string_view file) {
    avro::ContainerReader reader(file);
    SB_CHECK(reader.open());
    SB_TRY(const avro::Schema schema, avro::parse_schema(reader.schema_text()));
    SB_TRY(const avro::Plan plan, avro::Plan::compile(schema, list_request()));
    std::vector<lake::ManifestFile> manifests;
    SB_CHECK(reader.for_each_row(plan, [&](const avro::RowCursor& row) -> Status {
        SB_TRY(lake::ManifestFile manifest, list_entry(row));
        manifests.push_back(std::move(manifest));
        return {};
    }));
    return manifests;
}

Result<lake::ManifestAggregate> read_manifest(std::string_view file, const lake::ManifestFile& manifest,
                                              const lake::TableMetadata& metadata) {
    lake::AggregateBuilder builder(manifest);
    SB_CHECK(for_each_entry(
        file, manifest, metadata, [&](std::string_view partition) { return builder.knows(partition); },
        [&](lake::ManifestEntry& entry, std::int32_t spec_id) { return builder.add(entry, spec_id); }));
    return builder.finish();
}

Status read_live_files(std::string_view file, const lake::ManifestFile& manifest, const lake::TableMetadata& metadata,
                       std::vector<lake::LiveFile>& files) {
    const auto never = [](std::string_view) { return false; };
    return for_each_entry(file, manifest, metadata, never, [&](lake::ManifestEntry& entry, std::int32_t) -> Status {
        if (entry.status == lake::EntryStatus::Deleted) return {};
        if (files.size() >= lake::compared_files_max) {
            return fail(ErrorKind::NotSupported, "more than {} files are to be compared", lake::compared_files_max);
        }
        lake::LiveFile& live = files.emplace_back();
        live.hash = lake::hash_path(entry.path, entry.content_offset);
        live.content = entry.content;
        live.records = entry.record_count;
        live.size_bytes = entry.size_bytes;
        lake::partition_key(entry.partition, live.partition);
        return {};
    });
}

}  // namespace signalbox::iceberg
