#pragma once
// What the files of one manifest add up to, per partition. A manifest never changes, so its aggregate is a constant
// that can be kept, added to a table's state and taken away again (docs/adr/0013). Grows with partitions, not with
// files.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "domain/lake/manifest.hpp"
#include "domain/lake/power_sums.hpp"

namespace signalbox::lake {

// A 128-bit hash of what makes a file another one: its path, and for a deletion vector also its offset. Sums of hashes
// wrap around; equal sums of equal counts mean equal sets, but for chance.
struct PathHash {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    PathHash& operator+=(const PathHash& other);
    PathHash& operator-=(const PathHash& other);
    friend bool operator==(const PathHash&, const PathHash&) = default;
};
PathHash hash_path(std::string_view path, std::optional<std::int64_t> content_offset);

// A sum over files that can be taken away again. May go below zero as a difference; wraps around instead of
// overflowing.
struct FileSum {
    std::int64_t files = 0;
    std::int64_t records = 0;
    std::int64_t size_bytes = 0;
    PathHash hash;
    FileSum& operator+=(const FileSum& other);
    FileSum& operator-=(const FileSum& other);
    friend bool operator==(const FileSum&, const FileSum&) = default;
};
// By FileContent: data, position deletes (deletion vectors too), equality deletes.
using ContentSums = std::array<FileSum, 3>;

// Files by size: bucket b holds sizes of [2^b, 2^(b+1)) bytes, bucket 0 also empty files. Only buckets in use.
struct SizeBucket {
    std::int64_t files = 0;
    std::int64_t size_bytes = 0;
    friend bool operator==(const SizeBucket&, const SizeBucket&) = default;
};
class SizeHistogram {
  public:
    static constexpr int buckets_max = 63;
    void add(std::int64_t size_bytes);
    void add(const SizeHistogram& other);
    void subtract(const SizeHistogram& other);
    // In use, by their number, ascending.
    const std::vector<std::pair<std::uint8_t, SizeBucket>>& buckets() const { return buckets_; }
    SizeBucket bucket(std::uint8_t number) const;
    // Files and bytes in buckets that lie wholly below the target: a file counts as small if its bucket ends at or
    // below target_bytes. With a power of two as target it is exact.
    SizeBucket below(std::int64_t target_bytes) const;
    void put(std::uint8_t bucket, SizeBucket value);  // for decoding
    friend bool operator==(const SizeHistogram&, const SizeHistogram&) = default;

  private:
    SizeBucket& own(std::uint8_t number);

    // Few, and looked at for every file: together in memory.
    std::vector<std::pair<std::uint8_t, SizeBucket>> buckets_;
};

// The smallest and largest value seen; nothing before the first.
struct Extremes {
    std::optional<std::int64_t> min;
    std::optional<std::int64_t> max;
    void add(std::int64_t value);
    void add(const Extremes& other);
    friend bool operator==(const Extremes&, const Extremes&) = default;
};

// Live delete files by the data sequence number that they apply up to.
struct DeleteGroup {
    FileContent content = FileContent::PositionDeletes;
    std::int64_t data_sequence = 0;  // the largest number there is where it is unknown: it may apply to anything
    std::int64_t files = 0;
    std::int64_t records = 0;
    std::int64_t size_bytes = 0;
    friend bool operator==(const DeleteGroup&, const DeleteGroup&) = default;
};
// Adds the groups, or takes them away; both are ascending by (content, data_sequence). Groups without files vanish.
void add_groups(std::vector<DeleteGroup>& groups, const std::vector<DeleteGroup>& others);
void subtract_groups(std::vector<DeleteGroup>& groups, const std::vector<DeleteGroup>& others);

// The files of one partition in one manifest.
struct PartitionPart {
    std::int32_t spec_id = 0;
    ContentSums live;
    ContentSums added;    // entries of status ADDED, but those that say that another snapshot added them
    ContentSums removed;  // entries of status DELETED
    SizeHistogram data_sizes;
    std::optional<std::int64_t> data_sequence_min;  // of live data files; nullopt without one; 0 for an unknown one
    std::vector<DeleteGroup> deletes;               // live, by (content, data_sequence) ascending
};

struct ManifestKey {
    std::string path;                // as the list has it
    std::int64_t length_bytes = -1;  // -1: the list does not tell, or there is none
    friend auto operator<=>(const ManifestKey&,
                            const ManifestKey&) = default;  // NOLINT(modernize-use-nullptr): a false finding
};

ManifestKey key_of(const ManifestFile& manifest);

struct ManifestAggregate {
    ManifestKey key;
    bool holds_deletes = false;
    // As the list has it. Without a list: the one that all ADDED entries name, or without those all DELETED ones.
    std::optional<std::int64_t> added_snapshot_id;
    std::map<std::string, PartitionPart, std::less<>> partitions;  // by partition_key
    // Over live data files.
    PowerSums data_records;
    PowerSums data_sizes;
    Extremes data_records_extremes;
    Extremes data_size_extremes;
    std::int64_t deletion_vectors = 0;  // live
    std::string encode() const;
};
// Inverse of encode(). CorruptData for anything that encode() did not write.
base::Result<ManifestAggregate> decode_aggregate(std::string_view text);

// Builds an aggregate entry by entry.
class AggregateBuilder {
  public:
    explicit AggregateBuilder(const ManifestFile& manifest);
    // Whether an entry was added before whose partition was written as these bytes; then the next entry may leave its
    // partition's values out. Most of the work per entry is saved by this.
    bool knows(std::string_view partition_bytes);
    // May sort the entry's partition values. CorruptData for an entry that can't be true (negative counts, a delete
    // file in a manifest of data files) or sums past 64 bits; NotSupported past partitions_max partitions.
    base::Status add(ManifestEntry& entry, std::int32_t spec_id);
    // Compares with what the list claims, where it does: CorruptData names the first difference.
    base::Result<ManifestAggregate> finish();

    static constexpr std::size_t partitions_max = 10'000'000;

  private:
    // What the entries of one status say of who wrote them, for a manifest that no list tells of.
    struct Writers {
        std::optional<std::int64_t> snapshot_id;
        bool unclear = false;
        void add(std::optional<std::int64_t> id);
    };
    base::Status check(const ManifestEntry& entry) const;
    base::Result<PartitionPart*> find_part(ManifestEntry& entry, std::int32_t spec_id);
    void add_live(const ManifestEntry& entry, const FileSum& file, PartitionPart& part);

    const ManifestFile& manifest_;
    ManifestAggregate aggregate_;
    std::int64_t everything_records_ = 0;  // live or not: when these sums fit 64 bits, so does every part
    std::int64_t everything_bytes_ = 0;
    std::array<FileSum, 3> by_status_;
    Writers added_by_;
    Writers removed_by_;
    struct BytesHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view bytes) const;
    };
    std::unordered_map<std::string, PartitionPart*, BytesHash, std::equal_to<>> parts_by_bytes_;
    // What knows() was asked last, and what it found. Entries of a partition tend to follow one another.
    std::string bytes_;
    PartitionPart* part_ = nullptr;
    bool asked_ = false;  // for the entry that comes next
    std::string key_;
};

}  // namespace signalbox::lake
