#include "domain/lake/state.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace signalbox::lake {

using base::ErrorKind;
using base::fail;
using base::Status;

namespace {

tl::unexpected<base::Error> not_what_was_added(const ManifestAggregate& manifest) {
    return fail(ErrorKind::CorruptData, "manifest '{}' is taken away, and it is not as it was added",
                manifest.key.path.substr(0, 300));
}

bool covers(const FileSum& whole, const FileSum& part) {
    return whole.files >= part.files && whole.records >= part.records && whole.size_bytes >= part.size_bytes;
}

bool covers(const ContentSums& whole, const ContentSums& part) {
    return std::equal(whole.begin(), whole.end(), part.begin(),
                      [](const FileSum& a, const FileSum& b) { return covers(a, b); });
}

bool covers(const SizeHistogram& whole, const SizeHistogram& part) {
    for (const auto& [place, bucket] : part.buckets()) {
        const SizeBucket own = whole.bucket(place);
        if (own.files < bucket.files || own.size_bytes < bucket.size_bytes) return false;
    }
    return true;
}

bool before(const DeleteGroup& a, const DeleteGroup& b) {
    return std::tie(a.content, a.data_sequence) < std::tie(b.content, b.data_sequence);
}

bool covers(const std::vector<DeleteGroup>& whole, const std::vector<DeleteGroup>& part) {
    for (const DeleteGroup& group : part) {
        const auto own = std::lower_bound(whole.begin(), whole.end(), group, before);
        if (own == whole.end() || before(group, *own)) return false;
        if (own->files < group.files || own->records < group.records || own->size_bytes < group.size_bytes) {
            return false;
        }
    }
    return true;
}

bool any_live(const PartitionPart& part) {
    return std::any_of(part.live.begin(), part.live.end(), [](const FileSum& sum) { return sum.files > 0; });
}

ContentSums live_of(const ManifestAggregate& manifest) {
    ContentSums sums;
    for (const auto& [key, part] : manifest.partitions) {
        for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += part.live[i];
    }
    return sums;
}

void add_part(PartitionState& state, const PartitionPart& part) {
    state.spec_id = std::max(state.spec_id, part.spec_id);
    for (std::size_t i = 0; i < state.live.size(); ++i) state.live[i] += part.live[i];
    state.data_sizes.add(part.data_sizes);
    add_groups(state.deletes, part.deletes);
    // One that is not above the bound is the true minimum: all others are not below the bound.
    if (part.data_sequence_min && (!state.data_sequence_min || *part.data_sequence_min <= *state.data_sequence_min)) {
        state.data_sequence_min = part.data_sequence_min;
        state.sequence_is_bound = false;
    }
}

void take_part(PartitionState& state, const PartitionPart& part) {
    for (std::size_t i = 0; i < state.live.size(); ++i) state.live[i] -= part.live[i];
    state.data_sizes.subtract(part.data_sizes);
    subtract_groups(state.deletes, part.deletes);
    if (state.live[0].files == 0) {
        state.data_sequence_min.reset();
        state.sequence_is_bound = false;
    } else if (part.data_sequence_min && *part.data_sequence_min == *state.data_sequence_min) {
        state.sequence_is_bound = true;
    }
}

bool same_minimum(const PartitionState& a, const PartitionState& b) {
    if (a.data_sequence_min.has_value() != b.data_sequence_min.has_value()) return false;
    if (!a.data_sequence_min || (a.sequence_is_bound && b.sequence_is_bound)) return true;
    if (a.sequence_is_bound) return *a.data_sequence_min <= *b.data_sequence_min;
    if (b.sequence_is_bound) return *b.data_sequence_min <= *a.data_sequence_min;
    return *a.data_sequence_min == *b.data_sequence_min;
}

bool same_partition(const PartitionState& a, const PartitionState& b) {
    return a.live == b.live && a.data_sizes == b.data_sizes && a.deletes == b.deletes && same_minimum(a, b);
}

}  // namespace

bool PartitionState::empty() const {
    return std::all_of(live.begin(), live.end(), [](const FileSum& sum) { return sum.files == 0; });
}

Status TableState::add(const ManifestAggregate& manifest) {
    if (manifests_.count(manifest.key) > 0) {
        return fail(ErrorKind::CorruptData, "the manifest list names manifest '{}' twice",
                    manifest.key.path.substr(0, 300));
    }
    // When the sums over everything fit 64 bits, so do those of every part.
    const ContentSums sums = live_of(manifest);
    std::int64_t files = 0;
    std::int64_t records = 0;
    std::int64_t bytes = 0;
    for (const ContentSums* part : {&std::as_const(live_), &sums}) {
        for (const FileSum& sum : *part) {
            if (__builtin_add_overflow(files, sum.files, &files) ||
                __builtin_add_overflow(records, sum.records, &records) ||
                __builtin_add_overflow(bytes, sum.size_bytes, &bytes)) {
                return fail(ErrorKind::CorruptData, "a total outgrows 64 bits: the counts can't be true");
            }
        }
    }
    if (partitions_.size() > AggregateBuilder::partitions_max) {
        return fail(ErrorKind::NotSupported, "the table has more than {} partitions", AggregateBuilder::partitions_max);
    }
    for (const auto& [key, part] : manifest.partitions) {
        if (any_live(part)) add_part(partitions_[key], part);
        data_size_histogram_.add(part.data_sizes);
    }
    manifests_.emplace(manifest.key, LiveManifest{manifest.holds_deletes, manifest.data_records_extremes,
                                                  manifest.data_size_extremes});
    for (std::size_t i = 0; i < live_.size(); ++i) live_[i] += sums[i];
    data_records_.add(manifest.data_records);
    data_sizes_.add(manifest.data_sizes);
    deletion_vectors_ += manifest.deletion_vectors;
    return {};
}

Status TableState::check_removable(const ManifestAggregate& manifest) const {
    if (manifests_.count(manifest.key) == 0) {
        return fail(ErrorKind::CorruptData, "manifest '{}' is taken away, and it was not there",
                    manifest.key.path.substr(0, 300));
    }
    if (deletion_vectors_ < manifest.deletion_vectors || data_records_.count() < manifest.data_records.count() ||
        data_sizes_.count() < manifest.data_sizes.count() || !covers(live_, live_of(manifest))) {
        return not_what_was_added(manifest);
    }
    for (const auto& [key, part] : manifest.partitions) {
        if (!any_live(part)) continue;
        const auto own = partitions_.find(key);
        if (own == partitions_.end() || !covers(own->second.live, part.live) ||
            !covers(own->second.data_sizes, part.data_sizes) || !covers(own->second.deletes, part.deletes) ||
            !covers(data_size_histogram_, part.data_sizes)) {
            return not_what_was_added(manifest);
        }
        if (part.data_sequence_min && own->second.data_sequence_min.value_or(INT64_MAX) > *part.data_sequence_min) {
            return not_what_was_added(manifest);
        }
    }
    return {};
}

Status TableState::remove(const ManifestAggregate& manifest) {
    SB_CHECK(check_removable(manifest));
    for (const auto& [key, part] : manifest.partitions) {
        if (!any_live(part)) continue;
        const auto own = partitions_.find(key);
        take_part(own->second, part);
        data_size_histogram_.subtract(part.data_sizes);
        for (std::size_t i = 0; i < live_.size(); ++i) live_[i] -= part.live[i];
        if (own->second.empty()) partitions_.erase(own);
    }
    manifests_.erase(manifest.key);
    data_records_.subtract(manifest.data_records);
    data_sizes_.subtract(manifest.data_sizes);
    deletion_vectors_ -= manifest.deletion_vectors;
    return {};
}

void TableState::recount_sequences(const std::vector<const ManifestAggregate*>& all) {
    std::unordered_map<PartitionState*, std::int64_t> minimums;
    for (const ManifestAggregate* manifest : all) {
        if (manifest->holds_deletes) continue;
        for (const auto& [key, part] : manifest->partitions) {
            if (!part.data_sequence_min) continue;
            const auto own = partitions_.find(key);
            if (own == partitions_.end() || !own->second.sequence_is_bound) continue;
            const auto [at, first] = minimums.emplace(&own->second, *part.data_sequence_min);
            at->second = std::min(at->second, *part.data_sequence_min);
        }
    }
    for (const auto& [state, minimum] : minimums) {
        state->data_sequence_min = minimum;
        state->sequence_is_bound = false;
    }
}

bool TableState::wants_recount() const {
    const auto global = partitions_.find(std::string());
    const bool global_deletes = global != partitions_.end() &&
                                global->second.live[static_cast<std::size_t>(FileContent::EqualityDeletes)].files > 0;
    return std::any_of(partitions_.begin(), partitions_.end(), [&](const auto& partition) {
        return partition.second.sequence_is_bound && (global_deletes || !partition.second.deletes.empty());
    });
}

std::optional<std::int64_t> TableState::data_sequence_min() const {
    Extremes extremes;
    for (const auto& [key, state] : partitions_) {
        if (state.data_sequence_min) extremes.add(*state.data_sequence_min);
    }
    return extremes.min;
}

Extremes TableState::data_records_extremes() const {
    Extremes extremes;
    for (const auto& [key, manifest] : manifests_) extremes.add(manifest.data_records);
    return extremes;
}

Extremes TableState::data_size_extremes() const {
    Extremes extremes;
    for (const auto& [key, manifest] : manifests_) extremes.add(manifest.data_sizes);
    return extremes;
}

bool TableState::same_as(const TableState& other) const {
    if (snapshot_id != other.snapshot_id || manifests_ != other.manifests_ || live_ != other.live_ ||
        data_records_ != other.data_records_ || data_sizes_ != other.data_sizes_ ||
        data_size_histogram_ != other.data_size_histogram_ || deletion_vectors_ != other.deletion_vectors_ ||
        partitions_.size() != other.partitions_.size()) {
        return false;
    }
    return std::all_of(partitions_.begin(), partitions_.end(), [&](const auto& partition) {
        const auto theirs = other.partitions_.find(partition.first);
        return theirs != other.partitions_.end() && same_partition(partition.second, theirs->second);
    });
}

}  // namespace signalbox::lake
