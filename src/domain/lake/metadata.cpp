#include "domain/lake/metadata.hpp"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/json.hpp"

namespace signalbox::lake {

using base::ErrorKind;
using base::fail;
using base::Result;
using base::Status;
namespace json = base::json;

namespace {

struct Column {
    std::string type;
    std::string name;  // from the schema's root, with dots
};
using Ids = std::map<std::int32_t, Column>;  // columns of primitive types

std::string_view view(const json::string& text) { return {text.data(), text.size()}; }

const json::value* find(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    return value == nullptr || value->is_null() ? nullptr : value;
}

tl::unexpected<base::Error> wrong(std::string_view where, std::string_view key, std::string_view expected) {
    return fail(ErrorKind::CorruptData, "{}'{}' is missing or is no {}", where, key, expected);
}

// A number that was rounded to a double on its way still tells its value, if not exactly.
std::optional<std::int64_t> to_integer(const json::value& value) {
    if (value.is_int64()) return value.get_int64();
    if (!value.is_double()) return std::nullopt;
    const double real = value.get_double();
    if (!(real >= -9.2e18 && real <= 9.2e18)) return std::nullopt;
    return static_cast<std::int64_t>(real);
}

Result<std::int64_t> integer(const json::object& object, std::string_view key, std::string_view where) {
    const json::value* value = find(object, key);
    const auto number = value == nullptr ? std::nullopt : to_integer(*value);
    if (!number) return wrong(where, key, "whole number");
    return *number;
}

Result<std::int32_t> small_integer(const json::object& object, std::string_view key, std::string_view where) {
    SB_TRY(const std::int64_t number, integer(object, key, where));
    if (number < 0 || number > std::numeric_limits<std::int32_t>::max()) return wrong(where, key, "id");
    return static_cast<std::int32_t>(number);
}

Result<std::string> text(const json::object& object, std::string_view key, std::string_view where) {
    const json::value* value = find(object, key);
    if (value == nullptr || !value->is_string()) return wrong(where, key, "text");
    return std::string(view(value->get_string()));
}

Result<std::map<std::string, std::string, std::less<>>> text_map(const json::object& object, std::string_view key,
                                                                 std::string_view where) {
    std::map<std::string, std::string, std::less<>> map;
    const json::value* value = find(object, key);
    if (value == nullptr) return map;
    if (!value->is_object()) return wrong(where, key, "object");
    for (const auto& [name, member] : value->get_object()) {
        map[std::string(name)] = member.is_string() ? std::string(view(member.get_string())) : json::serialize(member);
    }
    return map;
}

// The elements of an array that must hold objects; an absent array is empty.
Result<std::vector<const json::object*>> objects(const json::object& object, std::string_view key,
                                                 std::string_view where) {
    std::vector<const json::object*> elements;
    const json::value* value = find(object, key);
    if (value == nullptr) return elements;
    if (!value->is_array()) return wrong(where, key, "array");
    for (const json::value& element : value->get_array()) {
        if (!element.is_object()) return wrong(where, key, "array of objects");
        elements.push_back(&element.get_object());
    }
    return elements;
}

// Depth is bounded by the JSON parser's.
void collect_types(const json::value& type, Ids& ids, std::optional<std::int32_t> id, const std::string& name) {
    if (type.is_string()) {
        if (id) ids.emplace(*id, Column{std::string(view(type.get_string())), name});
        return;
    }
    if (!type.is_object()) return;
    if (const json::value* fields = find(type.get_object(), "fields"); fields != nullptr && fields->is_array()) {
        for (const json::value& field : fields->get_array()) {
            if (!field.is_object()) continue;
            const auto field_id = small_integer(field.get_object(), "id", "");
            const json::value* inner = find(field.get_object(), "type");
            if (!field_id || inner == nullptr) continue;
            const auto own = text(field.get_object(), "name", "");
            collect_types(*inner, ids, *field_id, (name.empty() ? "" : name + ".") + own.value_or(""));
        }
    }
}

Ids column_types(const json::object& root) {
    Ids ids;
    // The current schema first: emplace keeps what came first. Later names and types replace earlier ones.
    if (const json::value* schema = find(root, "schema")) collect_types(*schema, ids, std::nullopt, "");
    const json::value* schemas = find(root, "schemas");
    if (schemas == nullptr || !schemas->is_array()) return ids;
    const json::array& all = schemas->get_array();
    const json::value* current = find(root, "current-schema-id");
    for (const json::value& schema : all) {
        const json::value* id = schema.is_object() ? find(schema.get_object(), "schema-id") : nullptr;
        if (current != nullptr && id != nullptr && *id == *current) collect_types(schema, ids, std::nullopt, "");
    }
    for (auto schema = all.rbegin(); schema != all.rend(); ++schema) collect_types(*schema, ids, std::nullopt, "");
    return ids;
}

Result<PartitionSpec> parse_fields(const json::object& holder, std::string_view key, std::int32_t id,
                                   const Ids& types) {
    PartitionSpec spec;
    spec.id = id;
    const std::string where = fmt::format("partition spec {}: ", id);
    SB_TRY(const auto fields, objects(holder, key, where));
    // Version 1 wrote no field ids: they count from 1000 (Iceberg spec, "Partition Specs").
    std::int32_t next_id = 1000;
    for (const json::object* object : fields) {
        PartitionField field;
        SB_TRY(field.name, text(*object, "name", where));
        SB_TRY(field.transform, text(*object, "transform", where));
        if (find(*object, "source-id") != nullptr) {
            SB_TRY(field.source_id, small_integer(*object, "source-id", where));
        }
        field.field_id = next_id++;
        if (find(*object, "field-id") != nullptr) {
            SB_TRY(field.field_id, small_integer(*object, "field-id", where));
        }
        if (const auto column = types.find(field.source_id); column != types.end()) {
            field.source_type = column->second.type;
            field.source_name = column->second.name;
        }
        spec.fields.push_back(std::move(field));
    }
    return spec;
}

Status parse_specs(const json::object& root, TableMetadata& metadata) {
    const Ids types = column_types(root);
    SB_TRY(const auto specs, objects(root, "partition-specs", ""));
    for (const json::object* object : specs) {
        SB_TRY(const std::int32_t id, small_integer(*object, "spec-id", "a partition spec: "));
        SB_TRY(PartitionSpec spec, parse_fields(*object, "fields", id, types));
        metadata.specs.push_back(std::move(spec));
    }
    if (metadata.specs.empty()) {  // early version 1: one spec, under its old name
        SB_TRY(PartitionSpec spec, parse_fields(root, "partition-spec", 0, types));
        metadata.specs.push_back(std::move(spec));
    }
    return {};
}

Result<Snapshot> parse_snapshot(const json::object& object) {
    Snapshot snapshot;
    SB_TRY(snapshot.id, integer(object, "snapshot-id", "a snapshot: "));
    const std::string where = fmt::format("snapshot {}: ", snapshot.id);
    SB_TRY(snapshot.timestamp_ms, integer(object, "timestamp-ms", where));
    if (find(object, "parent-snapshot-id") != nullptr) {
        SB_TRY(const std::int64_t parent, integer(object, "parent-snapshot-id", where));
        if (parent != -1) snapshot.parent_id = parent;
    }
    if (find(object, "sequence-number") != nullptr) {
        SB_TRY(snapshot.sequence_number, integer(object, "sequence-number", where));
    }
    SB_TRY(snapshot.summary, text_map(object, "summary", where));
    snapshot.encrypted = find(object, "key-id") != nullptr;
    if (find(object, "schema-id") != nullptr) {
        SB_TRY(snapshot.schema_id, small_integer(object, "schema-id", where));
    }
    if (find(object, "manifest-list") != nullptr) {
        SB_TRY(snapshot.manifest_list, text(object, "manifest-list", where));
        return snapshot;
    }
    const json::value* manifests = find(object, "manifests");
    if (manifests == nullptr || !manifests->is_array()) return wrong(where, "manifest-list", "text");
    for (const json::value& manifest : manifests->get_array()) {
        if (!manifest.is_string()) return wrong(where, "manifests", "array of texts");
        snapshot.manifests.emplace_back(view(manifest.get_string()));
    }
    return snapshot;
}

// Snapshots by id, and by what is left of an id that some writer kept in a double.
class SnapshotIndex {
  public:
    static Result<SnapshotIndex> of(const std::vector<Snapshot>& snapshots) {
        SnapshotIndex index;
        for (const Snapshot& snapshot : snapshots) {
            if (!index.exact_.insert(snapshot.id).second) {
                return fail(ErrorKind::CorruptData, "'snapshots' has two snapshots with the id {}", snapshot.id);
            }
            const auto [at, first] = index.rounded_.emplace(static_cast<double>(snapshot.id), snapshot.id);
            if (!first) at->second.reset();
        }
        return index;
    }

    // The id that the metadata has for it, which is the id itself or the only one that rounds to the same; else
    // nullopt.
    std::optional<std::int64_t> resolve(std::int64_t id) const {
        if (exact_.count(id) > 0) return id;
        const auto found = rounded_.find(static_cast<double>(id));
        return found == rounded_.end() ? std::nullopt : found->second;
    }

    // Replaces an id by what it resolves to, where it resolves, and counts that.
    void mend(std::int64_t& id) {
        const auto found = resolve(id);
        if (!found || *found == id) return;
        id = *found;
        ++mended_;
    }
    std::size_t mended() const { return mended_; }

  private:
    std::unordered_set<std::int64_t> exact_;
    std::unordered_map<double, std::optional<std::int64_t>> rounded_;  // nullopt: several
    std::size_t mended_ = 0;
};

Status parse_refs(const json::object& root, TableMetadata& metadata, SnapshotIndex& index) {
    const json::value* refs = find(root, "refs");
    if (refs == nullptr) return {};
    if (!refs->is_object()) return wrong("", "refs", "object");
    for (const auto& [name, value] : refs->get_object()) {
        const std::string where = fmt::format("reference '{}': ", std::string_view(name).substr(0, 80));
        if (!value.is_object()) return wrong(where, "refs", "object");
        SnapshotRef ref;
        ref.name = std::string(name);
        SB_TRY(ref.snapshot_id, integer(value.get_object(), "snapshot-id", where));
        SB_TRY(const std::string type, text(value.get_object(), "type", where));
        if (type != "branch" && type != "tag") return wrong(where, "type", "'branch' or 'tag'");
        ref.tag = type == "tag";
        index.mend(ref.snapshot_id);
        if (!index.resolve(ref.snapshot_id)) {
            metadata.notes.push_back(
                fmt::format("{}no snapshot has its id {}; it is passed over", where, ref.snapshot_id));
            continue;
        }
        metadata.refs.push_back(std::move(ref));
    }
    std::sort(metadata.refs.begin(), metadata.refs.end(),
              [](const SnapshotRef& a, const SnapshotRef& b) { return a.name < b.name; });
    return {};
}

Status parse_log(const json::object& root, TableMetadata& metadata, SnapshotIndex& index) {
    SB_TRY(const auto entries, objects(root, "snapshot-log", ""));
    for (const json::object* object : entries) {
        SnapshotLogEntry entry;
        SB_TRY(entry.timestamp_ms, integer(*object, "timestamp-ms", "a line of the snapshot log: "));
        SB_TRY(entry.snapshot_id, integer(*object, "snapshot-id", "a line of the snapshot log: "));
        index.mend(entry.snapshot_id);
        metadata.snapshot_log.push_back(entry);
    }
    SB_TRY(const auto files, objects(root, "metadata-log", ""));
    metadata.metadata_log_count = static_cast<std::int64_t>(files.size());
    return {};
}

Result<std::optional<std::int32_t>> optional_id(const json::object& object, std::string_view key) {
    if (find(object, key) == nullptr) return std::optional<std::int32_t>();
    SB_TRY(const std::int32_t id, small_integer(object, key, ""));
    return std::optional<std::int32_t>(id);
}

// What the table's newest commits are written with. Early version 1 had one schema and one spec, without ids of their
// own.
Status parse_defaults(const json::object& root, TableMetadata& metadata) {
    SB_TRY(metadata.current_schema_id, optional_id(root, "current-schema-id"));
    const json::value* schema = find(root, "schema");
    if (!metadata.current_schema_id && schema != nullptr && schema->is_object()) {
        SB_TRY(metadata.current_schema_id, optional_id(schema->get_object(), "schema-id"));
    }
    SB_TRY(metadata.default_spec_id, optional_id(root, "default-spec-id"));
    if (!metadata.default_spec_id && metadata.specs.size() == 1) metadata.default_spec_id = metadata.specs.front().id;
    SB_TRY(metadata.default_sort_order_id, optional_id(root, "default-sort-order-id"));
    return {};
}

Status parse_current(const json::object& root, TableMetadata& metadata, const SnapshotIndex& index) {
    if (find(root, "current-snapshot-id") == nullptr) return {};
    SB_TRY(const std::int64_t id, integer(root, "current-snapshot-id", ""));
    if (id == -1) return {};
    metadata.current_snapshot_id = index.resolve(id);
    if (metadata.current_snapshot_id == id) return {};
    if (metadata.current_snapshot_id) {
        metadata.notes.push_back(fmt::format(
            "no snapshot has the current id {}; snapshot {} is taken: rounded to a double the ids are the same", id,
            *metadata.current_snapshot_id));
        return {};
    }
    const Snapshot* newest = nullptr;
    if (metadata.last_sequence_number > 0) {
        for (const Snapshot& snapshot : metadata.snapshots) {
            if (snapshot.sequence_number == metadata.last_sequence_number) newest = &snapshot;
        }
    }
    if (newest == nullptr) {
        return fail(ErrorKind::CorruptData, "'current-snapshot-id' is {}, and no snapshot has that id", id);
    }
    metadata.notes.push_back(
        fmt::format("no snapshot has the current id {}; snapshot {} is taken, by its sequence number {}", id,
                    newest->id, newest->sequence_number));
    metadata.current_snapshot_id = newest->id;
    return {};
}

Status parse_history(const json::object& root, TableMetadata& metadata) {
    SB_TRY(const auto snapshots, objects(root, "snapshots", ""));
    for (const json::object* object : snapshots) {
        SB_TRY(Snapshot snapshot, parse_snapshot(*object));
        metadata.snapshots.push_back(std::move(snapshot));
    }
    SB_TRY(SnapshotIndex index, SnapshotIndex::of(metadata.snapshots));
    SB_CHECK(parse_current(root, metadata, index));
    SB_CHECK(parse_refs(root, metadata, index));
    SB_CHECK(parse_log(root, metadata, index));
    for (Snapshot& snapshot : metadata.snapshots) {
        if (snapshot.parent_id) index.mend(*snapshot.parent_id);
    }
    if (index.mended() > 0) {
        metadata.notes.push_back(
            fmt::format("{} ids of snapshots had been rounded to doubles; the only snapshot that rounds to the same is "
                        "taken for each",
                        index.mended()));
    }
    return {};
}

}  // namespace

const PartitionSpec* TableMetadata::spec(std::int32_t id) const {
    const auto found = std::find_if(specs.begin(), specs.end(), [&](const PartitionSpec& s) { return s.id == id; });
    return found == specs.end() ? nullptr : &*found;
}

const Snapshot* TableMetadata::current_snapshot() const {
    return current_snapshot_id ? snapshot(*current_snapshot_id) : nullptr;
}

const Snapshot* TableMetadata::snapshot(std::int64_t id) const {
    const Snapshot* rounded = nullptr;
    bool several = false;
    for (const Snapshot& candidate : snapshots) {
        if (candidate.id == id) return &candidate;
        if (static_cast<double>(candidate.id) != static_cast<double>(id)) continue;
        several = rounded != nullptr;
        rounded = &candidate;
    }
    return several ? nullptr : rounded;
}

Result<TableMetadata> parse_table_metadata(std::string_view content) {
    SB_TRY(const json::value value, base::parse_json(content));
    if (!value.is_object()) return fail(ErrorKind::CorruptData, "table metadata is a JSON object; this is none");
    const json::object& root = value.get_object();
    TableMetadata metadata;
    SB_TRY(metadata.format_version, small_integer(root, "format-version", ""));
    if (metadata.format_version < 1) return wrong("", "format-version", "version");
    if (metadata.format_version > 3) {
        return fail(ErrorKind::NotSupported, "Iceberg format version {} is not supported; 1, 2 and 3 are",
                    metadata.format_version);
    }
    SB_TRY(metadata.location, text(root, "location", ""));
    SB_TRY(metadata.last_updated_ms, integer(root, "last-updated-ms", ""));
    if (find(root, "table-uuid") != nullptr) {
        SB_TRY(metadata.table_uuid, text(root, "table-uuid", ""));
    }
    if (metadata.format_version > 1) {
        SB_TRY(metadata.last_sequence_number, integer(root, "last-sequence-number", ""));
    }
    SB_TRY(metadata.properties, text_map(root, "properties", ""));
    SB_CHECK(parse_specs(root, metadata));
    SB_CHECK(parse_defaults(root, metadata));
    SB_CHECK(parse_history(root, metadata));
    return metadata;
}

}  // namespace signalbox::lake
