#pragma once
// A table as plain sets of files, with writers of many habits: the truth that sums are compared with.

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/prng.hpp"
#include "domain/lake/metrics.hpp"

namespace signalbox::test {

struct ModelFile {
    std::string path;
    lake::FileContent content = lake::FileContent::Data;
    bool vector = false;
    std::int64_t records = 0;
    std::int64_t bytes = 0;
    std::int64_t sequence = 0;
    std::int32_t spec_id = 0;
    std::int64_t day = 0;
    std::string region;
    std::int64_t added_by = 0;  // snapshot id

    std::vector<lake::PartitionValue> partition() const;
    std::string key() const;
};

struct ModelEntry {
    lake::EntryStatus status = lake::EntryStatus::Existing;
    std::optional<std::int64_t> snapshot_id;  // as written: null is inherited
    const ModelFile* file = nullptr;
};

struct ModelManifest {
    lake::ManifestFile list_entry;
    std::int32_t spec_id = 0;
    std::vector<ModelEntry> entries;
    lake::ManifestAggregate aggregate;

    std::vector<lake::LiveFile> live_files() const;
};

struct ModelSnapshot {
    std::int64_t id = 0;
    std::int64_t sequence = 0;
    const ModelSnapshot* parent = nullptr;
    std::vector<const ModelManifest*> manifests;

    std::set<const ModelFile*> live() const;
};

class TableModel {
  public:
    explicit TableModel(std::uint64_t seed) : prng_(seed) {}

    const ModelSnapshot* main() const { return main_; }
    // A commit to main, a rollback of it, or a commit to a branch, which is returned without moving main.
    const ModelSnapshot* step();

  private:
    const ModelSnapshot* commit(const ModelSnapshot* parent);
    void append(ModelSnapshot& snapshot);
    void remove(ModelSnapshot& snapshot, bool compact);
    void add_deletes(ModelSnapshot& snapshot);
    void merge_manifests(ModelSnapshot& snapshot);
    void split_manifest(ModelSnapshot& snapshot);
    ModelFile* make_file(const ModelSnapshot& snapshot, lake::FileContent content);
    void write(ModelSnapshot& snapshot, std::vector<ModelEntry> entries, bool names_writer = true);
    std::vector<ModelEntry> carried(const ModelManifest& manifest) const;
    bool chance(std::uint64_t one_in) { return prng_.below(one_in) == 0; }

    base::Prng prng_;
    std::deque<ModelFile> files_;
    std::deque<ModelManifest> manifests_;
    std::deque<ModelSnapshot> snapshots_;
    const ModelSnapshot* main_ = nullptr;
    std::int32_t spec_id_ = 0;
    std::int64_t next_id_ = 1000;
};

}  // namespace signalbox::test
