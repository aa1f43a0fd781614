#include "unit/watch/fake_table.hpp"

#include <algorithm>
#include <utility>

namespace signalbox::test {

using base::ErrorKind;
using base::fail;
using base::Result;
using base::Status;

FakeTable::FakeTable() {
    metadata_.format_version = 2;
    metadata_.table_uuid = "6a3f0c52-0000-4000-8000-000000000001";
    metadata_.location = "/warehouse/db/t";
    metadata_.specs = {{0, {{1000, 1, "day", "identity", "long"}}}};
    metadata_.current_schema_id = 0;
    metadata_.default_spec_id = 0;
}

std::vector<FakeTable::Entry> FakeTable::new_files(int count, std::int64_t records_each) {
    std::vector<Entry> entries;
    for (int i = 0; i < count; ++i) {
        const std::int64_t number = next_file_++;
        entries.push_back(
            {lake::EntryStatus::Added, {"data/" + std::to_string(number), records_each, 1000 + number, number % 3}});
    }
    return entries;
}

lake::ManifestFile FakeTable::write_manifest(std::vector<Entry> entries, std::int64_t snapshot_id) {
    lake::ManifestFile manifest;
    manifest.path = "metadata/m" + std::to_string(contents_.size()) + ".avro";
    manifest.length_bytes = 100 + static_cast<std::int64_t>(entries.size());
    manifest.spec_id = 0;
    manifest.sequence_number = metadata_.last_sequence_number + 1;
    manifest.added_snapshot_id = snapshot_id;
    contents_[manifest.path] = std::move(entries);
    return manifest;
}

std::optional<std::int64_t> FakeTable::head(const std::string& branch) const {
    if (branch == "main") return metadata_.current_snapshot_id;
    for (const lake::SnapshotRef& ref : metadata_.refs) {
        if (ref.name == branch) return ref.snapshot_id;
    }
    return metadata_.current_snapshot_id;
}

std::int64_t FakeTable::commit(Manifests manifests, std::int64_t snapshot_id, std::string operation,
                               std::optional<std::int64_t> parent,
                               const std::map<std::string, std::string, std::less<>>& summary) {
    lake::Snapshot snapshot;
    snapshot.id = snapshot_id;
    snapshot.parent_id = parent;
    snapshot.sequence_number = ++metadata_.last_sequence_number;
    snapshot.timestamp_ms = clock_ms_ += 60'000;
    snapshot.manifest_list = "metadata/snap-" + std::to_string(snapshot_id) + ".avro";
    snapshot.summary = summary;
    snapshot.summary["operation"] = std::move(operation);
    if (lie_) snapshot.summary["added-data-files"] = "4711";
    lie_ = false;
    metadata_.snapshots.push_back(snapshot);
    metadata_.last_updated_ms = clock_ms_;
    lists_[snapshot_id] = std::move(manifests);
    ++version_;
    return snapshot_id;
}

std::int64_t FakeTable::append(int files, std::int64_t records_each) {
    const std::int64_t id = next_id_++;
    Manifests manifests = metadata_.current_snapshot_id ? lists_[*metadata_.current_snapshot_id] : Manifests();
    manifests.push_back(write_manifest(new_files(files, records_each), id));
    commit(std::move(manifests), id, "append", metadata_.current_snapshot_id,
           {{"added-data-files", std::to_string(files)}});
    metadata_.current_snapshot_id = id;
    metadata_.snapshot_log.push_back({clock_ms_, id});
    return id;
}

std::int64_t FakeTable::compact() {
    const std::int64_t id = next_id_++;
    Manifests manifests = lists_[*metadata_.current_snapshot_id];
    const std::vector<Entry> old = contents_[manifests.front().path];
    FakeFile merged{"data/c" + std::to_string(next_file_++), 0, 0, old.front().file.day};
    std::vector<Entry> entries;
    int taken = 0;
    for (const Entry& entry : old) {
        if (entry.status == lake::EntryStatus::Deleted) continue;
        const bool take = taken < 2 && entry.file.day == merged.day;
        entries.push_back({take ? lake::EntryStatus::Deleted : lake::EntryStatus::Existing, entry.file});
        if (!take) continue;
        ++taken;
        merged.records += entry.file.records;
        merged.size_bytes += entry.file.size_bytes;
    }
    manifests.front() = write_manifest(std::move(entries), id);
    manifests.push_back(write_manifest({{lake::EntryStatus::Added, merged}}, id));
    commit(std::move(manifests), id, "replace", metadata_.current_snapshot_id, {});
    metadata_.current_snapshot_id = id;
    metadata_.snapshot_log.push_back({clock_ms_, id});
    return id;
}

void FakeTable::rollback(std::int64_t snapshot_id) {
    metadata_.current_snapshot_id = snapshot_id;
    metadata_.snapshot_log.push_back({clock_ms_ += 1000, snapshot_id});
    metadata_.last_updated_ms = clock_ms_;
    ++version_;
}

std::int64_t FakeTable::append_on_branch(const std::string& branch, int files) {
    const std::int64_t id = next_id_++;
    const std::optional<std::int64_t> parent = head(branch);
    Manifests manifests = lists_[*parent];
    manifests.push_back(write_manifest(new_files(files, 10), id));
    commit(std::move(manifests), id, "append", parent, {});
    std::erase_if(metadata_.refs, [&](const lake::SnapshotRef& ref) { return ref.name == branch; });
    metadata_.refs.push_back({branch, id, false});
    return id;
}

void FakeTable::expire(std::int64_t snapshot_id) {
    std::erase_if(metadata_.snapshots, [&](const lake::Snapshot& snapshot) { return snapshot.id == snapshot_id; });
    std::erase_if(metadata_.snapshot_log, [&](const auto& entry) { return entry.snapshot_id == snapshot_id; });
    lists_.erase(snapshot_id);
    ++version_;
}

void FakeTable::recreate() {
    const lake::TableMetadata before = std::exchange(metadata_, FakeTable().metadata_);
    metadata_.table_uuid = before.table_uuid + "1";
    metadata_.last_updated_ms = clock_ms_;
    ++version_;
}

Status FakeTable::call(std::string_view what) {
    counters_.requests += 1;
    if (++calls_ != fail_at_) return {};
    return fail(ErrorKind::Unavailable, "{} is away", what);
}

Result<std::vector<lake::ManifestFile>> FakeTable::manifests(const lake::TableMetadata&,
                                                             const lake::Snapshot& snapshot) {
    SB_CHECK(call("the list"));
    const auto found = lists_.find(snapshot.id);
    if (found == lists_.end()) return fail(ErrorKind::NotFound, "{} is gone", snapshot.manifest_list);
    return found->second;
}

Status FakeTable::read(const lake::TableMetadata&, const std::vector<lake::ManifestFile>& manifests,
                       const std::function<Status(lake::ManifestAggregate)>& on_aggregate,
                       const std::function<void(const ports::ReadProgress&)>&) {
    for (const lake::ManifestFile& manifest : manifests) {
        SB_CHECK(call("a manifest"));
        ++manifests_read_;
        lake::AggregateBuilder builder(manifest);
        for (const Entry& from : contents_.at(manifest.path)) {
            lake::ManifestEntry entry;
            entry.status = from.status;
            entry.snapshot_id = manifest.added_snapshot_id;
            entry.data_sequence = manifest.sequence_number;
            entry.path = from.file.path;
            entry.record_count = from.file.records;
            entry.size_bytes = from.file.size_bytes;
            entry.partition = {{1000, from.file.day}};
            SB_CHECK(builder.add(entry, 0));
        }
        SB_TRY(lake::ManifestAggregate aggregate, builder.finish());
        SB_CHECK(on_aggregate(std::move(aggregate)));
    }
    return {};
}

Status FakeTable::read_files(const lake::TableMetadata&, const lake::ManifestFile& manifest,
                             std::vector<lake::LiveFile>& files) {
    SB_CHECK(call("a manifest"));
    for (const Entry& entry : contents_.at(manifest.path)) {
        if (entry.status == lake::EntryStatus::Deleted) continue;
        files.push_back({lake::hash_path(entry.file.path, std::nullopt), lake::FileContent::Data, entry.file.records,
                         entry.file.size_bytes, "day" + std::to_string(entry.file.day)});
    }
    return {};
}

}  // namespace signalbox::test
