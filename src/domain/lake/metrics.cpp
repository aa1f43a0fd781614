#include "domain/lake/metrics.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "base/text.hpp"

namespace signalbox::lake {
namespace {

MetricValue from(std::optional<double> value) { return value ? MetricValue(*value) : MetricValue(); }
MetricValue from(std::optional<std::int64_t> value) { return value ? MetricValue(*value) : MetricValue(); }

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

std::int64_t changed_partitions(const TableTotals& totals) {
    return std::count_if(totals.partitions().begin(), totals.partitions().end(),
                         [](const auto& partition) { return partition.second.changed; });
}

std::int64_t delete_files(const TableTotals& totals) {
    return totals.position_deletes().files + totals.equality_deletes().files;
}

// As the summary's total-files-size has it: data and delete files together.
std::int64_t all_bytes(const TableTotals& totals) {
    return totals.data().size_bytes + totals.position_deletes().size_bytes + totals.equality_deletes().size_bytes;
}

void snapshot_metrics(std::vector<Metric>& out, const TableTotals& totals) {
    const CommitTotals& commit = totals.commit();
    const auto change = [&](std::int64_t value) { return commit.known ? MetricValue(value) : MetricValue(); };
    out = {{"snapshot.added_data_files", change(commit.added_data.files)},
           {"snapshot.added_records", change(commit.added_data.records)},
           {"snapshot.changed_partition_count", change(changed_partitions(totals))},
           {"snapshot.total_records", totals.data().records},
           {"snapshot.total_data_files", totals.data().files},
           {"snapshot.total_delete_files", delete_files(totals)},
           {"snapshot.added_files_size", change(commit.added_data.size_bytes + commit.added_deletes.size_bytes)},
           {"snapshot.total_files_size", all_bytes(totals)},
           {"snapshot.added_position_deletes", change(commit.added_position_deletes)},
           {"snapshot.deleted_data_files", change(commit.removed_data.files)},
           {"snapshot.deleted_records", change(commit.removed_data.records)},
           {"snapshot.removed_files_size", change(commit.removed_data.size_bytes + commit.removed_deletes.size_bytes)}};
}

void no_snapshot_metrics(std::vector<Metric>& out) {
    snapshot_metrics(out, TableTotals(0));
    for (Metric& metric : out) {
        if (metric.name.rfind("snapshot.total_", 0) != 0) metric.value = {};
    }
}

std::vector<Drift> find_drift(const Snapshot& snapshot, const TableTotals& totals) {
    std::vector<Drift> drift;
    const auto compare = [&](std::string_view field, std::int64_t found) {
        const auto claimed = snapshot.summary.find(field);
        if (claimed == snapshot.summary.end() || base::parse_int(claimed->second) == found) return;
        drift.push_back({std::string(field), claimed->second, found});
    };
    const CommitTotals& commit = totals.commit();
    if (commit.known) {
        compare("added-data-files", commit.added_data.files);
        compare("added-records", commit.added_data.records);
        compare("added-delete-files", commit.added_deletes.files);
        compare("added-files-size", commit.added_data.size_bytes + commit.added_deletes.size_bytes);
        compare("added-position-deletes", commit.added_position_deletes);
        compare("deleted-data-files", commit.removed_data.files);
        compare("deleted-records", commit.removed_data.records);
        compare("removed-delete-files", commit.removed_deletes.files);
        compare("removed-files-size", commit.removed_data.size_bytes + commit.removed_deletes.size_bytes);
        compare("changed-partition-count", changed_partitions(totals));
    }
    compare("total-data-files", totals.data().files);
    compare("total-records", totals.data().records);
    compare("total-delete-files", delete_files(totals));
    compare("total-files-size", all_bytes(totals));
    compare("total-position-deletes", totals.position_deletes().records);
    compare("total-equality-deletes", totals.equality_deletes().records);
    return drift;
}

std::vector<PartitionMetrics> list_partitions(const TableMetadata& metadata, const TableTotals& totals) {
    std::vector<PartitionMetrics> partitions;
    for (const auto& [key, partition] : totals.partitions()) {
        if (partition.data.files == 0) continue;
        const PartitionSpec* spec = metadata.spec(partition.spec_id);
        SB_ASSERT(spec != nullptr, "a manifest's spec was looked up before its entries were added");
        partitions.push_back({partition_name(key, *spec), partition.data.records, partition.data.files});
    }
    std::sort(partitions.begin(), partitions.end(), [](const PartitionMetrics& a, const PartitionMetrics& b) {
        return a.record_count != b.record_count ? a.record_count > b.record_count : a.name < b.name;
    });
    return partitions;
}

}  // namespace

std::string_view unit_of(std::string_view metric) {
    return metric.find("size") == std::string_view::npos ? "Count" : "Bytes";
}

TableMetrics compute_metrics(const TableMetadata& metadata, const Snapshot* snapshot, const TableTotals* totals) {
    SB_ASSERT((snapshot == nullptr) == (totals == nullptr), "a snapshot comes with its totals");
    TableMetrics result;
    const TableTotals nothing(0);
    if (snapshot == nullptr) {
        no_snapshot_metrics(result.metrics);
        totals = &nothing;
    } else {
        snapshot_metrics(result.metrics, *totals);
        result.drift = find_drift(*snapshot, *totals);
        result.partitions = list_partitions(metadata, *totals);
    }
    Distribution records;
    Distribution files;
    for (const PartitionMetrics& partition : result.partitions) {
        records.add(partition.record_count);
        files.add(partition.file_count);
    }
    describe(result.metrics, "partitions", "record_count", records.sums, records.extremes);
    describe(result.metrics, "partitions", "file_count", files.sums, files.extremes);
    describe(result.metrics, "files", "record_count", totals->data_records(), totals->data_records_extremes());
    describe(result.metrics, "files", "file_size", totals->data_sizes(), totals->data_size_extremes());
    return result;
}

}  // namespace signalbox::lake
