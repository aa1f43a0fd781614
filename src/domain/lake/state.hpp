#pragma once
// A table's state: the sum of the aggregates of one snapshot's manifests; and what a commit changed, as the difference
// of two such sums (docs/adr/0013).

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/error.hpp"
#include "domain/lake/aggregate.hpp"

namespace signalbox::lake {

// The live files of one partition.
struct PartitionState {
    std::int32_t spec_id = 0;  // the newest spec that a file of it was seen under
    ContentSums live;
    SizeHistogram data_sizes;
    std::optional<std::int64_t> data_sequence_min;
    bool sequence_is_bound = false;  // the true minimum may be higher: the manifest that held it has left
    std::vector<DeleteGroup> deletes;
    bool empty() const;
    std::string encode() const;
    friend bool operator==(const PartitionState&, const PartitionState&) = default;
};
base::Result<PartitionState> decode_partition_state(std::string_view text);

// What is remembered of each live manifest, to know which ones are new or gone, and the extremes.
struct LiveManifest {
    bool holds_deletes = false;
    Extremes data_records;
    Extremes data_sizes;
    friend bool operator==(const LiveManifest&, const LiveManifest&) = default;
};

class TableState {
  public:
    std::optional<std::int64_t> snapshot_id;  // nothing was committed yet

    // CorruptData if the manifest is there already (it would count twice), or a sum outgrows 64 bits; NotSupported past
    // AggregateBuilder::partitions_max partitions. After an error of add or remove the state is what it was.
    base::Status add(const ManifestAggregate& manifest);
    // Takes away what was added before. CorruptData if it is not there, or something would go below zero: the aggregate
    // is not the one that was added.
    base::Status remove(const ManifestAggregate& manifest);
    // Counts the lowest data sequence number again where it is a bound: `all` are the aggregates of all live manifests.
    void recount_sequences(const std::vector<const ManifestAggregate*>& all);
    // Whether a lower bound stands where the lowest data sequence number would tell of dangling deletes.
    bool wants_recount() const;
    // Of all live data files, as far as it is known: the least of the partitions', which may be bounds.
    std::optional<std::int64_t> data_sequence_min() const;

    const std::unordered_map<std::string, PartitionState>& partitions() const { return partitions_; }
    const std::map<ManifestKey, LiveManifest>& manifests() const { return manifests_; }
    const ContentSums& live() const { return live_; }
    const PowerSums& data_records() const { return data_records_; }
    const PowerSums& data_sizes() const { return data_sizes_; }
    const SizeHistogram& data_size_histogram() const { return data_size_histogram_; }
    std::int64_t deletion_vectors() const { return deletion_vectors_; }
    // Over all live manifests; O(manifests).
    Extremes data_records_extremes() const;
    Extremes data_size_extremes() const;

    // For the store. The scalars as text (partitions and manifests are rows of their own).
    std::string encode_scalars() const;
    static base::Result<TableState> decode(std::string_view scalars,
                                           std::unordered_map<std::string, PartitionState> partitions,
                                           std::map<ManifestKey, LiveManifest> manifests);
    // Equal in all figures; a bound agrees with each minimum that it is a bound of. For tests and checks.
    bool same_as(const TableState& other) const;

  private:
    base::Status check_removable(const ManifestAggregate& manifest) const;

    std::unordered_map<std::string, PartitionState> partitions_;  // without empty ones
    std::map<ManifestKey, LiveManifest> manifests_;
    ContentSums live_;
    PowerSums data_records_;
    PowerSums data_sizes_;
    SizeHistogram data_size_histogram_;
    std::int64_t deletion_vectors_ = 0;
};

// How a commit's figures are known.
enum class Truth {
    Difference,  // the difference of the live sets, and the statuses agree with it
    Recounted,   // they did not agree: paths were compared
    Claims,      // the parent is not known any more: what the statuses say
    Unknown,
};
std::string_view to_string(Truth truth);  // "difference", "recounted", "claims", "unknown"

struct Change {
    Truth truth = Truth::Unknown;
    ContentSums added;
    ContentSums removed;
    std::int64_t added_position_deletes = 0;  // records
    std::set<std::string> partitions;         // keys of those that a file was added to or removed from
    // Data records added and removed per partition, for whoever looks where it happened.
    std::map<std::string, ContentSums> added_by_partition;
    std::map<std::string, ContentSums> removed_by_partition;
    std::vector<std::string> notes;  // e.g. that N added files were marked existing
};

// Adds up what a commit changed, manifest by manifest; grows with the partitions that they touch.
class ChangeBuilder {
  public:
    // Whose statuses count as claims.
    explicit ChangeBuilder(std::int64_t snapshot_id) : snapshot_id_(snapshot_id) {}
    void add(const ManifestAggregate& manifest);   // in the snapshot's list, not in its parent's
    void take(const ManifestAggregate& manifest);  // the other way round
    // By the difference; nullopt if the statuses disagree with it.
    std::optional<Change> difference() const;
    // By the statuses; unknown if a manifest does not tell which snapshot wrote it.
    Change claims() const;

  private:
    struct Part {
        ContentSums net;
        ContentSums added;
        ContentSums removed;
    };
    bool sums_fit(const ManifestAggregate& manifest);
    Change gross(Truth truth) const;

    std::int64_t snapshot_id_;
    std::map<std::string, Part, std::less<>> parts_;
    std::int64_t unnamed_ = 0;  // manifests with added or removed files of nobody knows whom
    FileSum everything_;
    bool outgrown_ = false;
};

// The change of a commit from the aggregates of its new manifests (in its list, not in its parent's) and of the gone
// ones (the other way round). `snapshot_id`: whose statuses count as claims. nullopt: the statuses disagree with the
// difference; the caller reads the paths and calls change_of_paths.
std::optional<Change> change_of(std::int64_t snapshot_id, const std::vector<const ManifestAggregate*>& added,
                                const std::vector<const ManifestAggregate*>& gone);
// With the parent unknown: by the statuses of the manifests that this snapshot wrote.
Change change_by_claims(std::int64_t snapshot_id, const std::vector<const ManifestAggregate*>& manifests);

// A live file of a manifest, as far as a comparison of sets needs it.
struct LiveFile {
    PathHash hash;
    FileContent content = FileContent::Data;
    std::int64_t records = 0;
    std::int64_t size_bytes = 0;
    std::string partition;  // key
};
// At most this many files are compared; past it the change is Unknown.
inline constexpr std::size_t compared_files_max = 2'000'000;
Change change_of_paths(std::vector<LiveFile> added, std::vector<LiveFile> gone);

}  // namespace signalbox::lake
