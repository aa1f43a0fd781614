#include "domain/lake/metrics.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "base/text.hpp"

namespace signalbox::lake {
namespace {

constexpr std::int64_t default_target_bytes = std::int64_t{512} << 20;

MetricValue from(std::optional<double> value) { return value ? MetricValue(*value) : MetricValue(); }
MetricValue from(std::optional<std::int64_t> value) { return value ? MetricValue(*value) : MetricValue(); }
MetricValue from(std::optional<std::int32_t> value) {
    return value ? MetricValue(std::int64_t{*value}) : MetricValue();
}

MetricValue ratio(std::int64_t part, std::int64_t whole) {
    return whole == 0 ? MetricValue() : MetricValue(static_cast<double>(part) / static_cast<double>(whole));
}

const FileSum& data(const ContentSums& sums) { return sums[0]; }
const FileSum& position(const ContentSums& sums) { return sums[1]; }
const FileSum& equality(const ContentSums& sums) { return sums[2]; }
std::int64_t delete_files(const ContentSums& sums) { return position(sums).files + equality(sums).files; }
std::int64_t delete_records(const ContentSums& sums) { return position(sums).records + equality(sums).records; }
// As the summary's …-files-size has it: data and delete files together.
std::int64_t all_bytes(const ContentSums& sums) {
    return data(sums).size_bytes + position(sums).size_bytes + equality(sums).size_bytes;
}

struct Distribution {
    PowerSums sums;
    Extremes extremes;
    void add(std::int64_t value) {
        sums.add(value);
        extremes.add(value);
    }
};

// {avg,max,min,deviation,skew}_WHAT
void describe(std::vector<Metric>& out, std::string_view group, std::string_view what, const PowerSums& sums,
              const Extremes& extremes) {
    const auto name = [&](std::string_view kind) { return fmt::format("{}.{}_{}", group, kind, what); };
    out.push_back({name("avg"), from(sums.mean())});
    out.push_back({name("max"), from(extremes.max)});
    out.push_back({name("min"), from(extremes.min)});
    out.push_back({name("deviation"), from(sums.deviation())});
    out.push_back({name("skew"), from(sums.skew())});
}

void snapshot_metrics(std::vector<Metric>& out, const ContentSums& live, const Change& change) {
    const auto of = [&](std::int64_t value) {
        return change.truth == Truth::Unknown ? MetricValue() : MetricValue(value);
    };
    const ContentSums& added = change.added;
    const ContentSums& removed = change.removed;
    out = {{"snapshot.added_data_files", of(data(added).files)},
           {"snapshot.added_records", of(data(added).records)},
           {"snapshot.changed_partition_count", of(static_cast<std::int64_t>(change.partitions.size()))},
           {"snapshot.total_records", data(live).records},
           {"snapshot.total_data_files", data(live).files},
           {"snapshot.total_delete_files", delete_files(live)},
           {"snapshot.added_files_size", of(all_bytes(added))},
           {"snapshot.total_files_size", all_bytes(live)},
           {"snapshot.added_position_deletes", of(position(added).records)},
           {"snapshot.deleted_data_files", of(data(removed).files)},
           {"snapshot.deleted_records", of(data(removed).records)},
           {"snapshot.removed_files_size", of(all_bytes(removed))},
           {"snapshot.added_delete_files", of(delete_files(added))},
           {"snapshot.removed_delete_files", of(delete_files(removed))},
           {"snapshot.added_equality_deletes", of(equality(added).records)},
           {"snapshot.removed_position_deletes", of(position(removed).records)},
           {"snapshot.removed_equality_deletes", of(equality(removed).records)},
           {"snapshot.total_position_deletes", position(live).records},
           {"snapshot.total_equality_deletes", equality(live).records}};
}

void manifest_metrics(std::vector<Metric>& out, const ManifestCounts& counts) {
    const std::int64_t all = counts.data_manifests + counts.delete_manifests;
    out.push_back({"manifests.data_count", counts.data_manifests});
    out.push_back({"manifests.delete_count", counts.delete_manifests});
    out.push_back({"manifests.total_size", from(counts.size_bytes)});
    out.push_back({"manifests.avg_size", counts.size_bytes ? ratio(*counts.size_bytes, all) : MetricValue()});
    out.push_back({"manifests.max_size", from(counts.size_bytes_max)});
}

void small_file_metrics(std::vector<Metric>& out, const TableState& state, std::int64_t target_bytes) {
    const SizeBucket small = state.data_size_histogram().below(target_bytes);
    out.push_back({"files.small_file_count", small.files});
    out.push_back({"files.small_file_share", ratio(small.files, data(state.live()).files)});
    out.push_back({"files.small_size_share", ratio(small.size_bytes, data(state.live()).size_bytes)});
    out.push_back({"files.target_size", target_bytes});
}

void delete_metrics(std::vector<Metric>& out, const TableState& state, std::int64_t dangling) {
    const ContentSums& live = state.live();
    out.push_back({"deletes.position_file_count", position(live).files});
    out.push_back({"deletes.equality_file_count", equality(live).files});
    out.push_back({"deletes.vector_count", state.deletion_vectors()});
    out.push_back({"deletes.file_ratio", ratio(delete_files(live), data(live).files)});
    out.push_back({"deletes.record_ratio", ratio(delete_records(live), data(live).records)});
    out.push_back({"deletes.dangling_file_count", dangling});
}

void history_metrics(std::vector<Metric>& out, const TableMetadata& metadata, const Snapshot* snapshot) {
    out.push_back({"history.snapshot_count", static_cast<std::int64_t>(metadata.snapshots.size())});
    // The metadata file itself and those that its log names.
    out.push_back({"history.metadata_file_count", metadata.metadata_log_count + 1});
    out.push_back({"history.ref_count", static_cast<std::int64_t>(metadata.refs.size())});
    out.push_back({"table.schema_id", from(metadata.current_schema_id)});
    out.push_back({"table.spec_id", from(metadata.default_spec_id)});
    out.push_back({"table.sort_order_id", from(metadata.default_sort_order_id)});
    out.push_back({"table.last_commit_timestamp",
                   snapshot == nullptr ? MetricValue() : static_cast<double>(snapshot->timestamp_ms) / 1000});
}

std::vector<Drift> find_drift(const Snapshot& snapshot, const TableState& state, const Change& change) {
    std::vector<Drift> drift;
    const auto compare = [&](std::string_view field, std::int64_t found, bool claimed) {
        const auto summary = snapshot.summary.find(field);
        if (summary == snapshot.summary.end() || base::parse_int(summary->second) == found) return;
        drift.push_back({std::string(field), summary->second, found, claimed});
    };
    if (change.truth != Truth::Unknown) {
        const bool claimed = change.truth == Truth::Claims;
        const ContentSums& added = change.added;
        const ContentSums& removed = change.removed;
        compare("added-data-files", data(added).files, claimed);
        compare("added-records", data(added).records, claimed);
        compare("added-delete-files", delete_files(added), claimed);
        compare("added-files-size", all_bytes(added), claimed);
        compare("added-position-deletes", position(added).records, claimed);
        compare("added-equality-deletes", equality(added).records, claimed);
        compare("deleted-data-files", data(removed).files, claimed);
        compare("deleted-records", data(removed).records, claimed);
        compare("removed-delete-files", delete_files(removed), claimed);
        compare("removed-files-size", all_bytes(removed), claimed);
        compare("removed-position-deletes", position(removed).records, claimed);
        compare("removed-equality-deletes", equality(removed).records, claimed);
        compare("changed-partition-count", static_cast<std::int64_t>(change.partitions.size()), claimed);
    }
    const ContentSums& live = state.live();
    compare("total-data-files", data(live).files, false);
    compare("total-records", data(live).records, false);
    compare("total-delete-files", delete_files(live), false);
    compare("total-files-size", all_bytes(live), false);
    compare("total-position-deletes", position(live).records, false);
    compare("total-equality-deletes", equality(live).records, false);
    return drift;
}

std::vector<PartitionMetrics> list_partitions(const TableMetadata& metadata, const TableState& state,
                                              std::int64_t& dangling) {
    const DeleteScope scope(metadata, state);
    const std::int64_t target_bytes = target_size_bytes(metadata);
    std::vector<PartitionMetrics> partitions;
    for (const auto& [key, partition] : state.partitions()) {
        const std::int64_t dangling_here = dangling_deletes(partition, scope.data_sequence_min, scope.global(key));
        dangling += dangling_here;
        if (data(partition.live).files == 0) continue;
        PartitionMetrics metrics;
        metrics.name = partition_name(metadata, key, partition);
        metrics.record_count = data(partition.live).records;
        metrics.file_count = data(partition.live).files;
        metrics.data_size_bytes = data(partition.live).size_bytes;
        metrics.small_file_count = partition.data_sizes.below(target_bytes).files;
        metrics.delete_file_count = delete_files(partition.live);
        metrics.dangling_delete_count = dangling_here;
        partitions.push_back(std::move(metrics));
    }
    std::sort(partitions.begin(), partitions.end(), [](const PartitionMetrics& a, const PartitionMetrics& b) {
        return a.record_count != b.record_count ? a.record_count > b.record_count : a.name < b.name;
    });
    return partitions;
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

bool ends_with(std::string_view text, std::string_view end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

std::string partition_name(const TableMetadata& metadata, const std::string& key, const PartitionState& partition) {
    const PartitionSpec* spec = metadata.spec(partition.spec_id);
    return spec == nullptr ? fmt::format("spec-{}/{}", partition.spec_id, base::to_hex(key))
                           : partition_name(key, *spec);
}

std::string_view unit_of(std::string_view metric) {
    if (ends_with(metric, "_share") || ends_with(metric, "_ratio")) return "Ratio";
    if (ends_with(metric, "_timestamp") || ends_with(metric, "_age")) return "Seconds";
    if (ends_with(metric, "_id")) return "None";
    return contains(metric, "size") ? "Bytes" : "Count";
}

ManifestCounts count_manifests(const TableState& state) {
    ManifestCounts counts;
    counts.size_bytes = 0;
    for (const auto& [key, manifest] : state.manifests()) {
        ++(manifest.holds_deletes ? counts.delete_manifests : counts.data_manifests);
        if (key.length_bytes < 0 || !counts.size_bytes ||
            __builtin_add_overflow(*counts.size_bytes, key.length_bytes, &*counts.size_bytes)) {
            counts.size_bytes.reset();
        }
        counts.size_bytes_max = std::max(counts.size_bytes_max.value_or(0), key.length_bytes);
    }
    if (!counts.size_bytes) counts.size_bytes_max.reset();
    return counts;
}

std::int64_t target_size_bytes(const TableMetadata& metadata) {
    const auto property = metadata.properties.find("write.target-file-size-bytes");
    const auto target = property == metadata.properties.end() ? std::nullopt : base::parse_int(property->second);
    return target && *target > 0 ? *target : default_target_bytes;
}

DeleteScope::DeleteScope(const TableMetadata& metadata, const TableState& state)
    : data_sequence_min(state.data_sequence_min()) {
    const auto no_fields = [](const PartitionSpec& spec) {
        return std::all_of(spec.fields.begin(), spec.fields.end(),
                           [](const PartitionField& field) { return field.transform == "void"; });
    };
    any_unpartitioned = std::any_of(metadata.specs.begin(), metadata.specs.end(), no_fields);
}

std::array<std::int64_t, 3> dangling_by_content(const PartitionState& partition,
                                                std::optional<std::int64_t> table_sequence_min, bool global) {
    std::array<std::int64_t, 3> files{};
    for (const DeleteGroup& group : partition.deletes) {
        const bool by_equality = group.content == FileContent::EqualityDeletes;
        const auto minimum = by_equality && global ? table_sequence_min : partition.data_sequence_min;
        const bool applies =
            minimum && (by_equality ? *minimum < group.data_sequence : *minimum <= group.data_sequence);
        if (!applies) files[static_cast<std::size_t>(group.content)] += group.files;
    }
    return files;
}

std::int64_t dangling_deletes(const PartitionState& partition, std::optional<std::int64_t> table_sequence_min,
                              bool global) {
    const auto files = dangling_by_content(partition, table_sequence_min, global);
    return files[1] + files[2];
}

TableMetrics compute_metrics(const TableMetadata& metadata, const Snapshot* snapshot, const TableState& state,
                             const Change& change) {
    TableMetrics result;
    std::int64_t dangling = 0;
    result.partitions = list_partitions(metadata, state, dangling);
    if (snapshot != nullptr) result.drift = find_drift(*snapshot, state, change);
    snapshot_metrics(result.metrics, state.live(), snapshot == nullptr ? Change() : change);
    Distribution records;
    Distribution files;
    for (const PartitionMetrics& partition : result.partitions) {
        records.add(partition.record_count);
        files.add(partition.file_count);
    }
    describe(result.metrics, "partitions", "record_count", records.sums, records.extremes);
    describe(result.metrics, "partitions", "file_count", files.sums, files.extremes);
    describe(result.metrics, "files", "record_count", state.data_records(), state.data_records_extremes());
    describe(result.metrics, "files", "file_size", state.data_sizes(), state.data_size_extremes());
    small_file_metrics(result.metrics, state, target_size_bytes(metadata));
    manifest_metrics(result.metrics, count_manifests(state));
    delete_metrics(result.metrics, state, dangling);
    history_metrics(result.metrics, metadata, snapshot);
    return result;
}

}  // namespace signalbox::lake
