#include <algorithm>
#include <tuple>

#include "domain/lake/state.hpp"

namespace signalbox::lake {
namespace {

bool any(const ContentSums& sums) {
    return std::any_of(sums.begin(), sums.end(), [](const FileSum& sum) { return sum.files != 0; });
}

std::size_t index(FileContent content) { return static_cast<std::size_t>(content); }

// Adds what happened in one partition to the change.
void note_partition(Change& change, const std::string& key, const ContentSums& added, const ContentSums& removed) {
    if (!any(added) && !any(removed)) return;
    change.partitions.insert(key);
    if (any(added)) change.added_by_partition.emplace(key, added);
    if (any(removed)) change.removed_by_partition.emplace(key, removed);
    for (std::size_t i = 0; i < added.size(); ++i) {
        change.added[i] += added[i];
        change.removed[i] += removed[i];
    }
    change.added_position_deletes = change.added[index(FileContent::PositionDeletes)].records;
}

Change unknown(std::string note) {
    Change change;
    change.notes.push_back(std::move(note));
    return change;
}

auto identity(const LiveFile& file) {
    return std::tie(file.hash.low, file.hash.high, file.content, file.records, file.size_bytes, file.partition);
}

void count_file(std::map<std::string, ContentSums>& partitions, const LiveFile& file) {
    partitions[file.partition][index(file.content)] += FileSum{1, file.records, file.size_bytes, file.hash};
}

}  // namespace

std::string_view to_string(Truth truth) {
    switch (truth) {
        case Truth::Difference:
            return "difference";
        case Truth::Recounted:
            return "recounted";
        case Truth::Claims:
            return "claims";
        case Truth::Unknown:
            break;
    }
    return "unknown";
}

bool ChangeBuilder::sums_fit(const ManifestAggregate& manifest) {
    for (const auto& [key, part] : manifest.partitions) {
        for (const ContentSums* sums : {&part.live, &part.removed}) {
            for (const FileSum& sum : *sums) {
                outgrown_ = outgrown_ || __builtin_add_overflow(everything_.files, sum.files, &everything_.files) ||
                            __builtin_add_overflow(everything_.records, sum.records, &everything_.records) ||
                            __builtin_add_overflow(everything_.size_bytes, sum.size_bytes, &everything_.size_bytes);
            }
        }
    }
    return !outgrown_;
}

void ChangeBuilder::add(const ManifestAggregate& manifest) {
    if (!sums_fit(manifest)) return;
    bool changes = false;
    const bool own = manifest.added_snapshot_id == snapshot_id_;
    for (const auto& [key, part] : manifest.partitions) {
        Part& sums = parts_[key];
        changes = changes || any(part.added) || any(part.removed);
        for (std::size_t i = 0; i < sums.net.size(); ++i) {
            sums.net[i] += part.live[i];
            if (!own) continue;
            sums.added[i] += part.added[i];
            sums.removed[i] += part.removed[i];
        }
    }
    if (changes && !manifest.added_snapshot_id) ++unnamed_;
}

void ChangeBuilder::take(const ManifestAggregate& manifest) {
    if (!sums_fit(manifest)) return;
    for (const auto& [key, part] : manifest.partitions) {
        Part& sums = parts_[key];
        for (std::size_t i = 0; i < sums.net.size(); ++i) sums.net[i] -= part.live[i];
    }
}

std::optional<Change> ChangeBuilder::difference() const {
    if (outgrown_) return unknown("the sums of this commit's files outgrow 64 bits");
    for (const auto& [key, part] : parts_) {
        for (std::size_t i = 0; i < part.net.size(); ++i) {
            FileSum claimed = part.added[i];
            claimed -= part.removed[i];
            if (claimed != part.net[i]) return std::nullopt;
        }
    }
    return gross(Truth::Difference);
}

Change ChangeBuilder::claims() const {
    if (outgrown_) return unknown("the sums of this commit's files outgrow 64 bits");
    if (unnamed_ > 0) {
        return unknown(fmt::format("{} manifests do not tell which snapshot added or removed their files", unnamed_));
    }
    return gross(Truth::Claims);
}

Change ChangeBuilder::gross(Truth truth) const {
    Change change;
    change.truth = truth;
    for (const auto& [key, part] : parts_) note_partition(change, key, part.added, part.removed);
    return change;
}

std::optional<Change> change_of(std::int64_t snapshot_id, const std::vector<const ManifestAggregate*>& added,
                                const std::vector<const ManifestAggregate*>& gone) {
    ChangeBuilder builder(snapshot_id);
    for (const ManifestAggregate* manifest : added) builder.add(*manifest);
    for (const ManifestAggregate* manifest : gone) builder.take(*manifest);
    return builder.difference();
}

Change change_by_claims(std::int64_t snapshot_id, const std::vector<const ManifestAggregate*>& manifests) {
    ChangeBuilder builder(snapshot_id);
    for (const ManifestAggregate* manifest : manifests) builder.add(*manifest);
    return builder.claims();
}

Change change_of_paths(std::vector<LiveFile> added, std::vector<LiveFile> gone) {
    if (added.size() + gone.size() > compared_files_max) {
        return unknown(fmt::format(
            "the statuses of the entries disagree with the difference of the live files, and {} files are too many to "
            "compare (at most {})",
            added.size() + gone.size(), compared_files_max));
    }
    const auto before = [](const LiveFile& a, const LiveFile& b) { return identity(a) < identity(b); };
    std::sort(added.begin(), added.end(), before);
    std::sort(gone.begin(), gone.end(), before);
    std::map<std::string, ContentSums> added_sums;
    std::map<std::string, ContentSums> removed_sums;
    auto left = gone.begin();
    for (const LiveFile& file : added) {
        for (; left != gone.end() && before(*left, file); ++left) count_file(removed_sums, *left);
        if (left != gone.end() && !before(file, *left)) {
            ++left;  // in both: it only moved to another manifest
        } else {
            count_file(added_sums, file);
        }
    }
    for (; left != gone.end(); ++left) count_file(removed_sums, *left);
    Change change;
    change.truth = Truth::Recounted;
    change.notes.emplace_back(
        "the statuses of the entries disagree with the difference of the live files; the files' paths were compared");
    for (const auto& [key, sums] : added_sums) {
        const auto removed = removed_sums.find(key);
        note_partition(change, key, sums, removed == removed_sums.end() ? ContentSums{} : removed->second);
    }
    for (const auto& [key, sums] : removed_sums) {
        if (added_sums.count(key) == 0) note_partition(change, key, {}, sums);
    }
    return change;
}

}  // namespace signalbox::lake
