#include "domain/lake/aggregate.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <tuple>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace signalbox::lake {

using base::ErrorKind;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr std::array<std::string_view, 3> status_names{"existing", "added", "deleted"};

std::int64_t wrapping_add(std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
std::int64_t wrapping_subtract(std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

std::size_t index(EntryStatus status) { return static_cast<std::size_t>(status); }
std::size_t index(FileContent content) { return static_cast<std::size_t>(content); }

auto place(const DeleteGroup& group) { return std::tuple(group.content, group.data_sequence); }

template <typename Combine>
void merge_group(std::vector<DeleteGroup>& groups, const DeleteGroup& other, Combine combine) {
    auto at = std::lower_bound(groups.begin(), groups.end(), other,
                               [](const DeleteGroup& a, const DeleteGroup& b) { return place(a) < place(b); });
    if (at == groups.end() || place(*at) != place(other)) {
        at = groups.insert(at, {other.content, other.data_sequence, 0, 0, 0});
    }
    at->files = combine(at->files, other.files);
    at->records = combine(at->records, other.records);
    at->size_bytes = combine(at->size_bytes, other.size_bytes);
    if (at->files == 0) groups.erase(at);
}

}  // namespace

PathHash& PathHash::operator+=(const PathHash& other) {
    low += other.low;
    high += other.high;
    return *this;
}

PathHash& PathHash::operator-=(const PathHash& other) {
    low -= other.low;
    high -= other.high;
    return *this;
}

PathHash hash_path(std::string_view path, std::optional<std::int64_t> content_offset) {
    // Seed 0 is the plain hash; an offset of 0 must be another file than none.
    const auto seed = content_offset ? static_cast<std::uint64_t>(*content_offset) + 1 : 0;
    const XXH128_hash_t hash = XXH3_128bits_withSeed(path.data(), path.size(), seed);
    return {hash.low64, hash.high64};
}

FileSum& FileSum::operator+=(const FileSum& other) {
    files = wrapping_add(files, other.files);
    records = wrapping_add(records, other.records);
    size_bytes = wrapping_add(size_bytes, other.size_bytes);
    hash += other.hash;
    return *this;
}

FileSum& FileSum::operator-=(const FileSum& other) {
    files = wrapping_subtract(files, other.files);
    records = wrapping_subtract(records, other.records);
    size_bytes = wrapping_subtract(size_bytes, other.size_bytes);
    hash -= other.hash;
    return *this;
}

SizeBucket& SizeHistogram::own(std::uint8_t number) {
    auto at = buckets_.begin();
    while (at != buckets_.end() && at->first < number) ++at;
    if (at == buckets_.end() || at->first != number) at = buckets_.insert(at, {number, SizeBucket{}});
    return at->second;
}

SizeBucket SizeHistogram::bucket(std::uint8_t number) const {
    for (const auto& [place, bucket] : buckets_) {
        if (place == number) return bucket;
    }
    return {};
}

void SizeHistogram::add(std::int64_t size_bytes) {
    const auto magnitude = static_cast<std::uint64_t>(std::max<std::int64_t>(size_bytes, 1));
    SizeBucket& bucket = own(static_cast<std::uint8_t>(std::bit_width(magnitude) - 1));
    ++bucket.files;
    bucket.size_bytes += size_bytes;
}

void SizeHistogram::add(const SizeHistogram& other) {
    for (const auto& [place, bucket] : other.buckets_) {
        SizeBucket& sum = own(place);
        sum.files += bucket.files;
        sum.size_bytes += bucket.size_bytes;
    }
}

void SizeHistogram::subtract(const SizeHistogram& other) {
    for (const auto& [place, bucket] : other.buckets_) {
        SizeBucket& rest = own(place);
        rest.files -= bucket.files;
        rest.size_bytes -= bucket.size_bytes;
    }
    std::erase_if(buckets_, [](const auto& entry) { return entry.second.files == 0; });
}

SizeBucket SizeHistogram::below(std::int64_t target_bytes) const {
    SizeBucket sum;
    for (const auto& [place, bucket] : buckets_) {
        if (place >= buckets_max - 1 || (std::int64_t{2} << place) > target_bytes) break;
        sum.files += bucket.files;
        sum.size_bytes += bucket.size_bytes;
    }
    return sum;
}

void SizeHistogram::put(std::uint8_t bucket, SizeBucket value) { own(bucket) = value; }

void Extremes::add(std::int64_t value) {
    min = std::min(min.value_or(value), value);
    max = std::max(max.value_or(value), value);
}

void Extremes::add(const Extremes& other) {
    if (other.min) add(*other.min);
    if (other.max) add(*other.max);
}

void add_groups(std::vector<DeleteGroup>& groups, const std::vector<DeleteGroup>& others) {
    for (const DeleteGroup& other : others) merge_group(groups, other, wrapping_add);
}

void subtract_groups(std::vector<DeleteGroup>& groups, const std::vector<DeleteGroup>& others) {
    for (const DeleteGroup& other : others) merge_group(groups, other, wrapping_subtract);
}

ManifestKey key_of(const ManifestFile& manifest) { return {manifest.path, manifest.length_bytes.value_or(-1)}; }

AggregateBuilder::AggregateBuilder(const ManifestFile& manifest) : manifest_(manifest) {
    aggregate_.key = key_of(manifest);
    aggregate_.holds_deletes = manifest.holds_deletes;
    aggregate_.added_snapshot_id = manifest.added_snapshot_id;
}

void AggregateBuilder::Writers::add(std::optional<std::int64_t> id) {
    unclear = unclear || !id || (snapshot_id && snapshot_id != id);
    snapshot_id = id;
}

std::size_t AggregateBuilder::BytesHash::operator()(std::string_view bytes) const {
    return XXH3_64bits(bytes.data(), bytes.size());
}

bool AggregateBuilder::knows(std::string_view partition_bytes) {
    asked_ = true;
    if (part_ != nullptr && bytes_ == partition_bytes) return true;
    bytes_ = partition_bytes;
    const auto found = parts_by_bytes_.find(partition_bytes);
    part_ = found == parts_by_bytes_.end() ? nullptr : found->second;
    return part_ != nullptr;
}

Status AggregateBuilder::add(ManifestEntry& entry, std::int32_t spec_id) {
    SB_CHECK(check(entry));
    if (__builtin_add_overflow(everything_records_, entry.record_count, &everything_records_) ||
        __builtin_add_overflow(everything_bytes_, entry.size_bytes, &everything_bytes_)) {
        return fail(ErrorKind::CorruptData, "a total outgrows 64 bits: the counts can't be true");
    }
    PartitionPart* part = asked_ ? part_ : nullptr;
    if (part == nullptr) {
        SB_TRY(part, find_part(entry, spec_id));
    }
    asked_ = false;
    const FileSum file{1, entry.record_count, entry.size_bytes, hash_path(entry.path, entry.content_offset)};
    by_status_[index(entry.status)] += file;
    if (entry.status == EntryStatus::Deleted) {
        // The specification wants the deleting snapshot's id there, and pyiceberg leaves the adding one's. A snapshot
        // carries no deletions of earlier ones into the manifests that it writes, so they are its own anyway.
        part->removed[index(entry.content)] += file;
        if (!manifest_.added_snapshot_id) removed_by_.add(entry.snapshot_id);
        return {};
    }
    if (entry.status == EntryStatus::Added) {
        const bool foreign =
            manifest_.added_snapshot_id && entry.snapshot_id && *entry.snapshot_id != *manifest_.added_snapshot_id;
        if (!foreign) part->added[index(entry.content)] += file;
        if (!manifest_.added_snapshot_id) added_by_.add(entry.snapshot_id);
    }
    add_live(entry, file, *part);
    return {};
}

Status AggregateBuilder::check(const ManifestEntry& entry) const {
    if (entry.record_count < 0) {
        return fail(ErrorKind::CorruptData, "file '{}' has the impossible record count {}", entry.path.substr(0, 300),
                    entry.record_count);
    }
    if (entry.size_bytes < 0) {
        return fail(ErrorKind::CorruptData, "file '{}' has the impossible size {}", entry.path.substr(0, 300),
                    entry.size_bytes);
    }
    if (entry.data_sequence && *entry.data_sequence < 0) {
        return fail(ErrorKind::CorruptData, "file '{}' has the impossible sequence number {}",
                    entry.path.substr(0, 300), *entry.data_sequence);
    }
    if ((entry.content != FileContent::Data) != manifest_.holds_deletes) {
        return fail(ErrorKind::CorruptData,
                    "file '{}' is a {} file, and the manifest list says that this manifest holds {}",
                    entry.path.substr(0, 300), entry.content == FileContent::Data ? "data" : "delete",
                    manifest_.holds_deletes ? "delete files" : "data files");
    }
    return {};
}

Result<PartitionPart*> AggregateBuilder::find_part(ManifestEntry& entry, std::int32_t spec_id) {
    partition_key(entry.partition, key_);
    auto found = aggregate_.partitions.find(key_);
    if (found == aggregate_.partitions.end()) {
        if (aggregate_.partitions.size() >= partitions_max) {
            return fail(ErrorKind::NotSupported, "the manifest has more than {} partitions", partitions_max);
        }
        found = aggregate_.partitions.emplace(key_, PartitionPart{}).first;
    }
    PartitionPart* const part = &found->second;
    part->spec_id = std::max(part->spec_id, spec_id);
    if (asked_) {
        part_ = part;
        // A partition may be written in more than one way; so many ways are remembered, and no more.
        if (parts_by_bytes_.size() < partitions_max) parts_by_bytes_.emplace(bytes_, part);
    }
    return part;
}

void AggregateBuilder::add_live(const ManifestEntry& entry, const FileSum& file, PartitionPart& part) {
    part.live[index(entry.content)] += file;
    if (entry.content != FileContent::Data) {
        // A delete file of unknown age may apply to anything, a data file of unknown age may be deleted from by
        // anything.
        const std::int64_t sequence = entry.data_sequence.value_or(std::numeric_limits<std::int64_t>::max());
        merge_group(part.deletes, {entry.content, sequence, 1, entry.record_count, entry.size_bytes}, wrapping_add);
        if (entry.deletion_vector) ++aggregate_.deletion_vectors;
        return;
    }
    const std::int64_t sequence = entry.data_sequence.value_or(0);
    part.data_sequence_min = std::min(part.data_sequence_min.value_or(sequence), sequence);
    part.data_sizes.add(entry.size_bytes);
    aggregate_.data_records.add(entry.record_count);
    aggregate_.data_sizes.add(entry.size_bytes);
    aggregate_.data_records_extremes.add(entry.record_count);
    aggregate_.data_size_extremes.add(entry.size_bytes);
}

Result<ManifestAggregate> AggregateBuilder::finish() {
    const auto differs = [](std::optional<std::int64_t> claimed, std::int64_t found) {
        return claimed && *claimed != found;
    };
    for (std::size_t i = 0; i < status_names.size(); ++i) {
        const ClaimedCount& claimed = manifest_.claimed[i];
        if (differs(claimed.files, by_status_[i].files)) {
            return fail(ErrorKind::CorruptData, "the manifest list claims {} {} files, and the manifest holds {}",
                        *claimed.files, status_names[i], by_status_[i].files);
        }
        if (differs(claimed.rows, by_status_[i].records)) {
            return fail(ErrorKind::CorruptData,
                        "the manifest list claims {} rows in {} files, and the manifest holds {}", *claimed.rows,
                        status_names[i], by_status_[i].records);
        }
    }
    if (!manifest_.added_snapshot_id) {
        const Writers& writers = by_status_[index(EntryStatus::Added)].files > 0 ? added_by_ : removed_by_;
        if (!writers.unclear) aggregate_.added_snapshot_id = writers.snapshot_id;
    }
    part_ = nullptr;
    parts_by_bytes_.clear();
    return std::move(aggregate_);
}

}  // namespace signalbox::lake
