#pragma once
// What a table's live files add up to, and what one snapshot changed. Grows with partitions, not with files.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.hpp"
#include "domain/lake/manifest.hpp"
#include "domain/lake/power_sums.hpp"

namespace signalbox::lake {

struct FileTotals {
    std::int64_t files = 0;
    std::int64_t records = 0;
    std::int64_t size_bytes = 0;
};

struct PartitionTotals {
    FileTotals data;           // live data files
    FileTotals deletes;        // live delete files of both kinds
    std::int32_t spec_id = 0;  // the newest spec that a file of it was written under
    bool changed = false;      // by the snapshot
};

// What one snapshot added and removed, as the entries' statuses say.
struct CommitTotals {
    FileTotals added_data;
    FileTotals added_deletes;
    FileTotals removed_data;
    FileTotals removed_deletes;
    std::int64_t added_position_deletes = 0;  // records
    // false once an added or removed entry did not tell its snapshot: the above are then too small, not known.
    bool known = true;
};

// The smallest and largest value seen; nothing before the first.
struct Extremes {
    std::optional<std::int64_t> min;
    std::optional<std::int64_t> max;
    void add(std::int64_t value);
};

class TableTotals {
  public:
    // snapshot_id is the one whose changes are counted apart.
    explicit TableTotals(std::int64_t snapshot_id) : snapshot_id_(snapshot_id) {}
    TableTotals(TableTotals&&) = default;
    TableTotals& operator=(TableTotals&&) = default;
    TableTotals(const TableTotals&) = delete;
    TableTotals& operator=(const TableTotals&) = delete;

    // To be called before a manifest's entries. CorruptData if the manifest was added before: it would count twice.
    base::Status begin_manifest(const ManifestFile& manifest);
    // May sort the entry's partition values. CorruptData for an entry that can't be true (negative counts, a delete
    // file in a manifest of data files) or sums past 64 bits; NotSupported past partitions_max partitions.
    base::Status add(ManifestEntry& entry, std::int32_t spec_id);
    // To be called after a manifest's entries: compares them with what the list claims, where it does. CorruptData
    // names the first difference.
    base::Status end_manifest();

    const std::unordered_map<std::string, PartitionTotals>& partitions() const { return partitions_; }
    const CommitTotals& commit() const { return commit_; }
    const FileTotals& data() const { return data_; }
    const FileTotals& position_deletes() const { return position_deletes_; }
    const FileTotals& equality_deletes() const { return equality_deletes_; }
    const PowerSums& data_records() const { return data_records_; }
    const PowerSums& data_sizes() const { return data_sizes_; }
    const Extremes& data_records_extremes() const { return data_records_extremes_; }
    const Extremes& data_size_extremes() const { return data_size_extremes_; }
    std::int64_t manifests() const { return manifests_; }

    static constexpr std::size_t partitions_max = 10'000'000;

  private:
    base::Status check(const ManifestEntry& entry) const;
    base::Status add_live(const ManifestEntry& entry, PartitionTotals& partition);
    base::Status add_change(const ManifestEntry& entry, PartitionTotals& partition);
    base::Result<PartitionTotals*> partition_of(ManifestEntry& entry, std::int32_t spec_id);

    std::int64_t snapshot_id_;
    std::unordered_map<std::string, PartitionTotals> partitions_;
    std::unordered_map<std::string, bool> seen_manifests_;
    CommitTotals commit_;
    FileTotals everything_;  // live or not
    FileTotals data_;
    FileTotals position_deletes_;
    FileTotals equality_deletes_;
    PowerSums data_records_;
    PowerSums data_sizes_;
    Extremes data_records_extremes_;
    Extremes data_size_extremes_;
    std::int64_t manifests_ = 0;
    const ManifestFile* manifest_ = nullptr;
    FileTotals found_[3];  // by EntryStatus, in the manifest at hand
    std::string key_;
    PartitionTotals* last_partition_ = nullptr;  // entries of a partition tend to follow one another
    std::string last_key_;
};

}  // namespace signalbox::lake
