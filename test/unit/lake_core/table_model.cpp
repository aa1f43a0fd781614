#include "table_model.hpp"

#include <stdexcept>

namespace signalbox::test {

using lake::EntryStatus;
using lake::FileContent;

// Specs: 0 by day, 1 by day and region, 2 unpartitioned.
std::vector<lake::PartitionValue> ModelFile::partition() const {
    std::vector<lake::PartitionValue> values;
    if (spec_id != 2) values.push_back({1000, day});
    if (spec_id == 1 && !region.empty()) values.push_back({1001, std::string_view(region)});
    return values;
}

std::string ModelFile::key() const {
    auto values = partition();
    std::string key;
    lake::partition_key(values, key);
    return key;
}

std::vector<lake::LiveFile> ModelManifest::live_files() const {
    std::vector<lake::LiveFile> live;
    for (const ModelEntry& entry : entries) {
        if (entry.status == EntryStatus::Deleted) continue;
        const ModelFile& file = *entry.file;
        const auto offset = file.vector ? std::optional<std::int64_t>(4) : std::nullopt;
        live.push_back({lake::hash_path(file.path, offset), file.content, file.records, file.bytes, file.key()});
    }
    return live;
}

std::set<const ModelFile*> ModelSnapshot::live() const {
    std::set<const ModelFile*> live;
    for (const ModelManifest* manifest : manifests) {
        for (const ModelEntry& entry : manifest->entries) {
            if (entry.status != EntryStatus::Deleted) live.insert(entry.file);
        }
    }
    return live;
}

const ModelSnapshot* TableModel::step() {
    if (chance(12)) spec_id_ = static_cast<std::int32_t>(prng_.below(3));
    if (main_ != nullptr && chance(10)) {
        const ModelSnapshot* to = main_;
        for (std::uint64_t back = 1 + prng_.below(3); back > 0 && to->parent != nullptr; --back) to = to->parent;
        return main_ = to;
    }
    if (main_ != nullptr && chance(8)) return commit(main_->parent != nullptr ? main_->parent : main_);
    return main_ = commit(main_);
}

const ModelSnapshot* TableModel::commit(const ModelSnapshot* parent) {
    ModelSnapshot& snapshot = snapshots_.emplace_back();
    snapshot.id = next_id_ += 7;
    snapshot.sequence = static_cast<std::int64_t>(snapshots_.size());
    snapshot.parent = parent;
    if (parent != nullptr) snapshot.manifests = parent->manifests;
    switch (prng_.below(8)) {
        case 0:
            remove(snapshot, false);
            break;
        case 1:
            remove(snapshot, true);
            break;
        case 2:
            add_deletes(snapshot);
            break;
        case 3:
            merge_manifests(snapshot);
            break;
        case 4:
            split_manifest(snapshot);
            break;
        case 5:
            remove(snapshot, false);
            append(snapshot);
            break;
        default:
            append(snapshot);
    }
    return &snapshot;
}

ModelFile* TableModel::make_file(const ModelSnapshot& snapshot, FileContent content) {
    ModelFile& file = files_.emplace_back();
    file.path = "s3://b/t/data/" + std::to_string(files_.size()) + ".parquet";
    file.content = content;
    file.records = static_cast<std::int64_t>(prng_.below(1000));
    file.bytes = static_cast<std::int64_t>(prng_.below(1 + prng_.below(1 << 20)));
    file.sequence = snapshot.sequence;
    file.spec_id = spec_id_;
    file.day = static_cast<std::int64_t>(prng_.below(3));
    file.region = std::string(prng_.below(3), 'r');
    file.added_by = snapshot.id;
    return &file;
}

void TableModel::append(ModelSnapshot& snapshot) {
    const bool marks_existing = chance(10);  // seen in the wild
    const bool writes_id = chance(2);
    const bool names_writer = !chance(15);
    std::vector<ModelEntry> entries;
    for (std::uint64_t left = 1 + prng_.below(4); left > 0; --left) {
        ModelEntry entry;
        entry.status = marks_existing ? EntryStatus::Existing : EntryStatus::Added;
        if (writes_id || marks_existing) entry.snapshot_id = snapshot.id;
        entry.file = make_file(snapshot, FileContent::Data);
        entries.push_back(entry);
    }
    write(snapshot, std::move(entries), names_writer);
}

std::vector<ModelEntry> TableModel::carried(const ModelManifest& manifest) const {
    std::vector<ModelEntry> entries;
    for (const ModelEntry& entry : manifest.entries) {
        if (entry.status == EntryStatus::Deleted) continue;
        entries.push_back({EntryStatus::Existing, entry.file->added_by, entry.file});
    }
    return entries;
}

// Rewrites the manifests of what goes: DELETED entries with our id, with the adding one's (as pyiceberg), or none at
// all.
void TableModel::remove(ModelSnapshot& snapshot, bool compact) {
    const std::uint64_t habit = prng_.below(6);
    std::vector<const ModelManifest*> kept;
    std::vector<std::vector<ModelEntry>> rewritten;
    std::int64_t oldest_sequence = snapshot.sequence;
    bool any = false;
    for (const ModelManifest* manifest : snapshot.manifests) {
        std::vector<ModelEntry> entries;
        bool touched = false;
        for (ModelEntry entry : carried(*manifest)) {
            if (chance(3)) {
                touched = any = true;
                oldest_sequence = std::min(oldest_sequence, entry.file->sequence);
                if (habit == 0) continue;
                entry.status = EntryStatus::Deleted;
                entry.snapshot_id = habit == 1 ? entry.file->added_by : snapshot.id;
            }
            entries.push_back(entry);
        }
        if (touched) {
            if (!entries.empty()) rewritten.push_back(std::move(entries));
        } else {
            kept.push_back(manifest);
        }
    }
    snapshot.manifests = std::move(kept);
    for (auto& entries : rewritten) write(snapshot, std::move(entries));
    if (!compact || !any) return;
    ModelFile& file = *make_file(snapshot, FileContent::Data);
    if (chance(2)) file.sequence = oldest_sequence;  // a compaction that keeps the deletes' order
    write(snapshot, {{EntryStatus::Added, std::nullopt, &file}});
}

void TableModel::add_deletes(ModelSnapshot& snapshot) {
    std::vector<ModelEntry> entries;
    for (std::uint64_t left = 1 + prng_.below(3); left > 0; --left) {
        const bool equality = chance(3);
        ModelFile& file = *make_file(snapshot, equality ? FileContent::EqualityDeletes : FileContent::PositionDeletes);
        file.vector = !equality && chance(2);
        entries.push_back({EntryStatus::Added, std::nullopt, &file});
    }
    write(snapshot, std::move(entries));
}

void TableModel::merge_manifests(ModelSnapshot& snapshot) {
    std::vector<const ModelManifest*> kept;
    std::map<std::pair<bool, std::int32_t>, std::vector<ModelEntry>> merged;
    for (const ModelManifest* manifest : snapshot.manifests) {
        if (chance(2)) {
            kept.push_back(manifest);
            continue;
        }
        auto& entries = merged[{manifest->list_entry.holds_deletes, manifest->spec_id}];
        for (const ModelEntry& entry : carried(*manifest)) entries.push_back(entry);
    }
    if (chance(2)) {
        const ModelFile* file = make_file(snapshot, FileContent::Data);
        merged[{false, file->spec_id}].push_back({EntryStatus::Added, snapshot.id, file});
    }
    snapshot.manifests = std::move(kept);
    for (auto& [kind, entries] : merged) {
        if (!entries.empty()) write(snapshot, std::move(entries));
    }
}

void TableModel::split_manifest(ModelSnapshot& snapshot) {
    if (snapshot.manifests.empty()) return append(snapshot);
    const std::size_t at = prng_.below(snapshot.manifests.size());
    const std::vector<ModelEntry> entries = carried(*snapshot.manifests[at]);
    snapshot.manifests.erase(snapshot.manifests.begin() + static_cast<std::ptrdiff_t>(at));
    const auto middle = entries.begin() + static_cast<std::ptrdiff_t>(entries.size() / 2);
    if (middle != entries.begin()) write(snapshot, {entries.begin(), middle});
    if (middle != entries.end()) write(snapshot, {middle, entries.end()});
}

void TableModel::write(ModelSnapshot& snapshot, std::vector<ModelEntry> entries, bool names_writer) {
    ModelManifest& manifest = manifests_.emplace_back();
    manifest.entries = std::move(entries);
    const ModelFile& first = *manifest.entries.front().file;
    manifest.spec_id = first.spec_id;
    lake::ManifestFile& line = manifest.list_entry;
    line.path = "s3://b/t/metadata/m" + std::to_string(manifests_.size()) + ".avro";
    line.length_bytes = 4000 + static_cast<std::int64_t>(prng_.below(4000));
    line.spec_id = manifest.spec_id;
    line.holds_deletes = first.content != FileContent::Data;
    line.sequence_number = snapshot.sequence;
    if (names_writer) line.added_snapshot_id = snapshot.id;
    lake::AggregateBuilder builder(line);
    for (const ModelEntry& written : manifest.entries) {
        const ModelFile& file = *written.file;
        lake::ManifestEntry entry;
        entry.status = written.status;
        entry.snapshot_id = written.snapshot_id ? written.snapshot_id : line.added_snapshot_id;
        entry.data_sequence = file.sequence;
        entry.content = file.content;
        entry.path = file.path;
        entry.record_count = file.records;
        entry.size_bytes = file.bytes;
        entry.deletion_vector = file.vector;
        if (file.vector) entry.content_offset = 4;
        entry.partition = file.partition();
        if (const auto added = builder.add(entry, manifest.spec_id); !added)
            throw std::runtime_error(added.error().text());
    }
    auto aggregate = builder.finish();
    if (!aggregate) throw std::runtime_error(aggregate.error().text());
    manifest.aggregate = std::move(*aggregate);
    snapshot.manifests.push_back(&manifest);
}

}  // namespace signalbox::test
