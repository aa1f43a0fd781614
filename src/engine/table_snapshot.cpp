#include "engine/table_snapshot.hpp"

#include <algorithm>
#include <set>

namespace signalbox::engine {

using base::Result;
using base::Status;
using lake::ManifestFile;

namespace {

std::set<lake::ManifestKey> keys_of(const std::vector<ManifestFile>& list) {
    std::set<lake::ManifestKey> keys;
    for (const ManifestFile& manifest : list) keys.insert(lake::key_of(manifest));
    return keys;
}

// What the lists say of the number of live files; 0 where they say nothing.
std::int64_t claimed_files(const std::vector<ManifestFile>& manifests) {
    std::int64_t files = 0;
    for (const ManifestFile& manifest : manifests) {
        for (const lake::EntryStatus status : {lake::EntryStatus::Existing, lake::EntryStatus::Added}) {
            const auto claimed = manifest.claimed[static_cast<std::size_t>(status)].files;
            files += std::clamp<std::int64_t>(claimed.value_or(0), 0, INT32_MAX);
        }
    }
    return files;
}

// The parent's list and the manifests of it that are gone; nullopt, with a note, where they can't be had.
class ParentReading {
  public:
    ParentReading(ports::TableReader& reader, const lake::TableMetadata& metadata, const lake::Snapshot& snapshot)
        : reader_(reader), metadata_(metadata), snapshot_(snapshot) {}

    std::optional<ManifestDifference> compare(const std::vector<ManifestFile>& list) {
        if (!snapshot_.parent_id) {
            if (!parent_left_out(snapshot_, list)) return compare_lists(list, {});
            note_ = "the snapshot names no parent and carries files of others";
            return std::nullopt;
        }
        const lake::Snapshot* parent = metadata_.snapshot(*snapshot_.parent_id);
        if (parent == nullptr) {
            note_ = fmt::format("the parent snapshot {} has expired", *snapshot_.parent_id);
            return std::nullopt;
        }
        const auto parent_list = reader_.manifests(metadata_, *parent);
        if (!parent_list) {
            note_ = fmt::format("the parent snapshot {} can't be read ({})", parent->id, parent_list.error().message);
            return std::nullopt;
        }
        return compare_lists(list, *parent_list);
    }

    Result<lake::Change> change(const ManifestDifference& difference, lake::ChangeBuilder& builder) {
        const Status gone = reader_.read(metadata_, difference.gone,
                                         [&](const lake::ManifestAggregate& aggregate) -> Status {
                                             builder.take(aggregate);
                                             return {};
                                         },
                                         {});
        if (!gone) {
            note_ = fmt::format("a manifest of the parent snapshot {} can't be read ({})", *snapshot_.parent_id,
                                gone.error().message);
            return claims(builder);
        }
        if (auto change = builder.difference()) return *change;
        return recount_change(reader_, metadata_, difference.added, difference.gone);
    }

    lake::Change claims(const lake::ChangeBuilder& builder) const {
        lake::Change change = builder.claims();
        change.notes.push_back(note_ + "; what it changed is what the statuses of its files claim");
        return change;
    }

  private:
    ports::TableReader& reader_;
    const lake::TableMetadata& metadata_;
    const lake::Snapshot& snapshot_;
    std::string note_;
};

}  // namespace

ManifestDifference compare_lists(const std::vector<ManifestFile>& list, const std::vector<ManifestFile>& parent_list) {
    ManifestDifference difference;
    const auto parent_keys = keys_of(parent_list);
    for (const ManifestFile& manifest : list) {
        (parent_keys.count(lake::key_of(manifest)) > 0 ? difference.kept : difference.added).push_back(manifest);
    }
    const auto keys = keys_of(list);
    for (const ManifestFile& manifest : parent_list) {
        if (keys.count(lake::key_of(manifest)) == 0) difference.gone.push_back(manifest);
    }
    return difference;
}

bool parent_left_out(const lake::Snapshot& snapshot, const std::vector<ManifestFile>& list) {
    return !snapshot.parent_id && std::any_of(list.begin(), list.end(), [&](const ManifestFile& manifest) {
        return manifest.added_snapshot_id && *manifest.added_snapshot_id != snapshot.id;
    });
}

Result<lake::Change> recount_change(ports::TableReader& reader, const lake::TableMetadata& metadata,
                                    const std::vector<ManifestFile>& added, const std::vector<ManifestFile>& gone) {
    const std::int64_t files = claimed_files(added) + claimed_files(gone);
    if (files > static_cast<std::int64_t>(lake::compared_files_max)) {
        lake::Change unknown;
        unknown.notes.push_back(
            fmt::format("the statuses disagree with the live files, and {} files are too many to compare", files));
        return unknown;
    }
    std::vector<lake::LiveFile> added_files;
    std::vector<lake::LiveFile> gone_files;
    for (const ManifestFile& manifest : added) SB_CHECK(reader.read_files(metadata, manifest, added_files));
    for (const ManifestFile& manifest : gone) SB_CHECK(reader.read_files(metadata, manifest, gone_files));
    return lake::change_of_paths(std::move(added_files), std::move(gone_files));
}

Result<SnapshotReading> read_snapshot(ports::TableReader& reader, const lake::TableMetadata& metadata,
                                      const lake::Snapshot& snapshot, const OnProgress& on_progress) {
    SB_TRY(const std::vector<ManifestFile> list, reader.manifests(metadata, snapshot));
    ParentReading parent(reader, metadata, snapshot);
    const auto difference = parent.compare(list);
    const auto kept = keys_of(difference ? difference->kept : std::vector<ManifestFile>());
    lake::ChangeBuilder builder(snapshot.id);
    SnapshotReading reading;
    SB_CHECK(reader.read(
        metadata, list,
        [&](const lake::ManifestAggregate& aggregate) {
            if (kept.count(aggregate.key) == 0) builder.add(aggregate);
            return reading.state.add(aggregate);
        },
        on_progress));
    reading.state.snapshot_id = snapshot.id;
    if (!difference) {
        reading.change = parent.claims(builder);
        return reading;
    }
    SB_TRY(reading.change, parent.change(*difference, builder));
    return reading;
}

}  // namespace signalbox::engine
