#include "domain/lake/totals.hpp"

#include <algorithm>
#include <array>

#include "base/assert.hpp"

namespace signalbox::lake {

using base::ErrorKind;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr std::array<std::string_view, 3> status_names{"existing", "added", "deleted"};

Status add_to(std::int64_t& sum, std::int64_t value) {
    if (!__builtin_add_overflow(sum, value, &sum)) return {};
    return fail(ErrorKind::CorruptData, "a total outgrows 64 bits: the counts can't be true");
}

Status add_to(FileTotals& totals, const ManifestEntry& entry) {
    ++totals.files;
    SB_CHECK(add_to(totals.records, entry.record_count));
    return add_to(totals.size_bytes, entry.size_bytes);
}

std::size_t index(EntryStatus status) { return static_cast<std::size_t>(status); }

}  // namespace

void Extremes::add(std::int64_t value) {
    min = std::min(min.value_or(value), value);
    max = std::max(max.value_or(value), value);
}

Status TableTotals::begin_manifest(const ManifestFile& manifest) {
    if (!seen_manifests_.emplace(manifest.path, true).second) {
        return fail(ErrorKind::CorruptData, "the manifest list names this manifest twice");
    }
    manifest_ = &manifest;
    std::fill(std::begin(found_), std::end(found_), FileTotals{});
    ++manifests_;
    return {};
}

Status TableTotals::add(ManifestEntry& entry, std::int32_t spec_id) {
    SB_ASSERT(manifest_ != nullptr, "entries come between begin_manifest and end_manifest");
    SB_CHECK(check(entry));
    // When the sum over everything fits 64 bits, so does every sum of a part.
    SB_CHECK(add_to(everything_, entry));
    SB_CHECK(add_to(found_[index(entry.status)], entry));
    SB_TRY(PartitionTotals* const partition, partition_of(entry, spec_id));
    if (entry.status != EntryStatus::Deleted) SB_CHECK(add_live(entry, *partition));
    if (entry.status != EntryStatus::Existing) SB_CHECK(add_change(entry, *partition));
    return {};
}

Status TableTotals::check(const ManifestEntry& entry) const {
    if (entry.record_count < 0) {
        return fail(ErrorKind::CorruptData, "file '{}' has the impossible record count {}", entry.path.substr(0, 300),
                    entry.record_count);
    }
    if (entry.size_bytes < 0) {
        return fail(ErrorKind::CorruptData, "file '{}' has the impossible size {}", entry.path.substr(0, 300),
                    entry.size_bytes);
    }
    if ((entry.content != FileContent::Data) != manifest_->holds_deletes) {
        return fail(ErrorKind::CorruptData,
                    "file '{}' is a {} file, and the manifest list says that this manifest holds {}",
                    entry.path.substr(0, 300), entry.content == FileContent::Data ? "data" : "delete",
                    manifest_->holds_deletes ? "delete files" : "data files");
    }
    return {};
}

Result<PartitionTotals*> TableTotals::partition_of(ManifestEntry& entry, std::int32_t spec_id) {
    partition_key(entry.partition, key_);
    if (last_partition_ == nullptr || key_ != last_key_) {
        auto found = partitions_.find(key_);
        if (found == partitions_.end()) {
            if (partitions_.size() >= partitions_max) {
                return fail(ErrorKind::NotSupported, "the table has more than {} partitions", partitions_max);
            }
            found = partitions_.emplace(key_, PartitionTotals{}).first;
        }
        last_partition_ = &found->second;
        last_key_ = key_;
    }
    last_partition_->spec_id = std::max(last_partition_->spec_id, spec_id);
    return last_partition_;
}

Status TableTotals::add_live(const ManifestEntry& entry, PartitionTotals& partition) {
    if (entry.content != FileContent::Data) {
        SB_CHECK(add_to(partition.deletes, entry));
        return add_to(entry.content == FileContent::PositionDeletes ? position_deletes_ : equality_deletes_, entry);
    }
    SB_CHECK(add_to(partition.data, entry));
    SB_CHECK(add_to(data_, entry));
    data_records_.add(entry.record_count);
    data_sizes_.add(entry.size_bytes);
    data_records_extremes_.add(entry.record_count);
    data_size_extremes_.add(entry.size_bytes);
    return {};
}

Status TableTotals::add_change(const ManifestEntry& entry, PartitionTotals& partition) {
    if (!entry.snapshot_id) commit_.known = false;
    // The specification wants the deleting snapshot's id in a DELETED entry, and pyiceberg leaves the adding one's. A
    // snapshot carries no deletions of earlier ones into the manifests that it writes, so those are its own anyway.
    const bool written_here = entry.status == EntryStatus::Deleted && manifest_->added_snapshot_id == snapshot_id_;
    if (entry.snapshot_id != snapshot_id_ && !written_here) return {};
    partition.changed = true;
    const bool added = entry.status == EntryStatus::Added;
    if (entry.content == FileContent::Data) return add_to(added ? commit_.added_data : commit_.removed_data, entry);
    if (added && entry.content == FileContent::PositionDeletes) {
        SB_CHECK(add_to(commit_.added_position_deletes, entry.record_count));
    }
    return add_to(added ? commit_.added_deletes : commit_.removed_deletes, entry);
}

Status TableTotals::end_manifest() {
    SB_ASSERT(manifest_ != nullptr, "begin_manifest comes first");
    const auto differs = [](std::optional<std::int64_t> claimed, std::int64_t found) {
        return claimed && *claimed != found;
    };
    for (std::size_t i = 0; i < status_names.size(); ++i) {
        const ClaimedCount& claimed = manifest_->claimed[i];
        if (differs(claimed.files, found_[i].files)) {
            return fail(ErrorKind::CorruptData, "the manifest list claims {} {} files, and the manifest holds {}",
                        *claimed.files, status_names[i], found_[i].files);
        }
        if (differs(claimed.rows, found_[i].records)) {
            return fail(ErrorKind::CorruptData,
                        "the manifest list claims {} rows in {} files, and the manifest holds {}", *claimed.rows,
                        status_names[i], found_[i].records);
        }
    }
    manifest_ = nullptr;
    return {};
}

}  // namespace signalbox::lake
