#include "domain/lake/health.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/text.hpp"
#include "domain/lake/health_internal.hpp"
#include "domain/lake/metrics.hpp"
#include "domain/lake/partition_filter.hpp"

namespace signalbox::lake {

namespace {

// Iceberg's own: a compaction leaves groups of fewer files alone (min-input-files).
constexpr std::int64_t small_files_min = 5;
constexpr std::int64_t day_ms = 86'400'000;

std::int64_t property(const TableMetadata& metadata, std::string_view name, std::int64_t otherwise) {
    const auto found = metadata.properties.find(name);
    const auto value = found == metadata.properties.end() ? std::nullopt : base::parse_int(found->second);
    return value && *value > 0 ? *value : otherwise;
}

std::int64_t divide_up(std::int64_t value, std::int64_t by) { return value / by + (value % by != 0 ? 1 : 0); }

double share(std::int64_t part, std::int64_t whole) {
    return whole <= 0 ? 0.0 : std::clamp(static_cast<double>(part) / static_cast<double>(whole), 0.0, 1.0);
}

// Points that are left when that share of them is lost.
double points(double lost) { return 100 * (1 - std::clamp(lost, 0.0, 1.0)); }

// A file counts as small below three quarters of the target: where Iceberg's compaction begins (min-file-size-bytes).
std::int64_t small_limit(std::int64_t target_bytes) { return target_bytes - target_bytes / 4; }

PartitionTrouble trouble_of(const PartitionState& partition, std::int64_t target_bytes) {
    PartitionTrouble trouble;
    const FileSum& data = partition.live[0];
    const SizeBucket small = partition.data_sizes.below(small_limit(target_bytes));
    trouble.files = trouble.files_after = data.files;
    trouble.size_bytes = data.size_bytes;
    trouble.small_files = small.files;
    trouble.delete_files = partition.live[1].files + partition.live[2].files;
    if (small.files >= small_files_min) {
        const std::int64_t merged = std::max<std::int64_t>(1, divide_up(small.size_bytes, target_bytes));
        trouble.files_after = std::min(data.files, data.files - small.files + merged);
        if (trouble.files_after < data.files) trouble.bytes_to_rewrite = small.size_bytes;
    }
    // Which files its deletes hit is not known without reading them: all may have to be rewritten.
    if (trouble.delete_files > 0) trouble.bytes_to_rewrite = data.size_bytes;
    return trouble;
}

std::int64_t to_win(const PartitionTrouble& trouble) {
    return trouble.files - trouble.files_after + trouble.delete_files;
}

// Snapshots that no branch or tag keeps by Iceberg's rules: at least min-snapshots-to-keep of each branch, those that
// are young enough, and what references name.
std::int64_t count_expirable(const TableMetadata& metadata, std::int64_t age_max_ms, std::int64_t keep_min,
                             std::int64_t now_ms) {
    std::unordered_map<std::int64_t, const Snapshot*> by_id;
    for (const Snapshot& snapshot : metadata.snapshots) by_id.emplace(snapshot.id, &snapshot);
    const auto find = [&](std::int64_t id) {
        const auto found = by_id.find(id);
        return found == by_id.end() ? nullptr : found->second;
    };
    std::unordered_set<std::int64_t> kept;
    const auto keep_line = [&](std::int64_t head) {
        std::int64_t index = 0;
        // Bounded by the number of snapshots, also where parents lead around in a circle.
        const Snapshot* at = find(head);
        for (; at != nullptr && index < static_cast<std::int64_t>(metadata.snapshots.size()); ++index) {
            if (index >= keep_min && now_ms - at->timestamp_ms > age_max_ms) break;
            kept.insert(at->id);
            at = at->parent_id ? find(*at->parent_id) : nullptr;
        }
    };
    if (metadata.current_snapshot_id) keep_line(*metadata.current_snapshot_id);
    for (const SnapshotRef& ref : metadata.refs) {
        if (ref.tag) {
            kept.insert(ref.snapshot_id);
        } else {
            keep_line(ref.snapshot_id);
        }
    }
    return std::count_if(metadata.snapshots.begin(), metadata.snapshots.end(), [&](const Snapshot& snapshot) {
        return kept.count(snapshot.id) == 0 && now_ms - snapshot.timestamp_ms > age_max_ms;
    });
}

HealthPart deletes_part(const HealthFigures& f) {
    const std::int64_t all = f.delete_files;
    const double lost = std::max({share(all, f.data_files), share(f.deleted_records * 10, f.data_records * 3),
                                  share(f.dangling_position + f.dangling_equality, all) / 2});
    return {
        "deletes", 25, points(lost),
        fmt::format("{} delete files for {} data files; {} of {} records deleted; {} delete files apply to nothing",
                    all, f.data_files, f.deleted_records, f.data_records, f.dangling_position + f.dangling_equality)};
}

HealthPart manifests_part(const HealthFigures& f) {
    HealthPart part{"manifests", 15, std::nullopt, "the sizes of the manifests are not known"};
    if (!f.manifests_after) return part;
    part.score = points(share(f.manifests - *f.manifests_after, f.manifests_merge));
    part.text = fmt::format("{} manifests where {} would do", f.manifests, *f.manifests_after);
    return part;
}

HealthPart history_part(const HealthFigures& f) {
    const double lost = std::max(share(f.expirable, expirable_max), share(f.metadata_files - f.metadata_kept, 400));
    return {"history", 15, points(lost),
            fmt::format("{} snapshots, {} of them past their age; {} metadata files", f.snapshots, f.expirable,
                        f.metadata_files)};
}

}  // namespace

std::optional<double> health_score(const std::vector<HealthPart>& parts) {
    double weight = 0;
    double sum = 0;
    for (const HealthPart& part : parts) {
        if (!part.score) continue;
        weight += part.weight;
        sum += part.weight * *part.score;
    }
    return weight > 0 ? std::optional<double>(sum / weight) : std::nullopt;
}

std::vector<HealthPart> health_parts(const HealthFigures& f) {
    std::vector<HealthPart> parts;
    parts.push_back({"small-files", 35, points(share(f.avoidable_files, f.data_files)),
                     fmt::format("{} data files where {} would do", f.data_files, f.data_files - f.avoidable_files)});
    parts.push_back(deletes_part(f));
    parts.push_back(manifests_part(f));
    parts.push_back(history_part(f));
    HealthPart drift{"drift", 10, std::nullopt, "the summary was not compared"};
    if (f.drift) {
        drift.score = points(static_cast<double>(*f.drift) / 4);
        drift.text = fmt::format("{} fields of the last summary are wrong", *f.drift);
    }
    parts.push_back(std::move(drift));
    return parts;
}

namespace {

HealthFigures health_figures(const TableMetadata& metadata, const TableState& state, const HealthOptions& options,
                             std::vector<PartitionTrouble>& partitions) {
    HealthFigures f;
    const std::int64_t target_bytes = target_size_bytes(metadata);
    const DeleteScope scope(metadata, state);
    f.data_files = state.live()[0].files;
    f.data_records = std::min(state.live()[0].records, INT64_MAX / 10);
    f.delete_files = state.live()[1].files + state.live()[2].files;
    f.deleted_records =
        std::min(state.live()[1].records, INT64_MAX / 20) + std::min(state.live()[2].records, INT64_MAX / 20);
    for (const auto& [key, partition] : state.partitions()) {
        PartitionTrouble trouble = trouble_of(partition, target_bytes);
        const auto dangling = dangling_by_content(partition, scope.data_sequence_min, scope.global(key));
        f.dangling_position += dangling[1];
        f.dangling_equality += dangling[2];
        trouble.dangling_deletes = dangling[1] + dangling[2];
        f.avoidable_files += trouble.files - trouble.files_after;
        if (to_win(trouble) == 0) continue;
        trouble.name = partition_name(metadata, key, partition);
        const PartitionSpec* spec = metadata.spec(partition.spec_id);
        if (spec != nullptr) trouble.filter = partition_filter(key, *spec);
        partitions.push_back(std::move(trouble));
    }
    std::sort(partitions.begin(), partitions.end(), [](const PartitionTrouble& a, const PartitionTrouble& b) {
        return to_win(a) != to_win(b) ? to_win(a) > to_win(b) : a.name < b.name;
    });
    const ManifestCounts manifests = count_manifests(state);
    f.manifests = manifests.data_manifests + manifests.delete_manifests;
    if (manifests.size_bytes) {
        const std::int64_t target = property(metadata, "commit.manifest.target-size-bytes", std::int64_t{8} << 20);
        const std::int64_t kinds = (manifests.data_manifests > 0 ? 1 : 0) + (manifests.delete_manifests > 0 ? 1 : 0);
        f.manifests_after = std::min(f.manifests, std::max(kinds, divide_up(*manifests.size_bytes, target)));
    }
    f.manifests_merge = property(metadata, "commit.manifest.min-count-to-merge", 100);
    f.snapshots = static_cast<std::int64_t>(metadata.snapshots.size());
    f.age_max_ms = property(metadata, "history.expire.max-snapshot-age-ms", 5 * day_ms);
    f.keep_min = property(metadata, "history.expire.min-snapshots-to-keep", 1);
    f.expirable = count_expirable(metadata, f.age_max_ms, f.keep_min, options.now_ms);
    f.metadata_files = metadata.metadata_log_count + 1;
    f.metadata_kept = property(metadata, "write.metadata.previous-versions-max", 100) + 1;
    f.drift = options.drift;
    return f;
}

}  // namespace

Health assess(const TableMetadata& metadata, const TableState& state, const HealthOptions& options) {
    Health health;
    const HealthFigures figures = health_figures(metadata, state, options, health.partitions);
    health.parts = health_parts(figures);
    health.score = health_score(health.parts);
    health.advice = health_advice(figures, health.partitions, options);
    health.troubled_partitions = health.partitions.size();
    if (health.partitions.size() > options.partitions_max) health.partitions.resize(options.partitions_max);
    return health;
}

}  // namespace signalbox::lake
