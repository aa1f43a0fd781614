#pragma once
// The manifests of snapshots and their aggregates, from the store where they are kept and from the table's files else.

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "domain/lake/state.hpp"
#include "ports/lake_store.hpp"
#include "ports/table_reader.hpp"

namespace signalbox::engine {

using AggregatePtr = std::shared_ptr<const lake::ManifestAggregate>;
using Aggregates = std::vector<AggregatePtr>;
using ManifestList = std::map<lake::ManifestKey, lake::ManifestFile>;

// Of one table, for one look. Remembers the lists that it has read and counts what it had to read.
class TableManifests {
  public:
    TableManifests(ports::LakeStore& store, std::string table, const lake::TableMetadata& metadata,
                   ports::TableReader& reader, std::function<void(const ports::ReadProgress&)> on_progress);

    // CorruptData if the list names a manifest twice. It lives until two others were asked for.
    base::Result<const ManifestList*> list(const lake::Snapshot& snapshot);
    // The aggregates of these manifests, in any order. Errors: the reader's.
    base::Result<Aggregates> fetch(const std::vector<lake::ManifestFile>& manifests);
    // Forgets the aggregates that were read for the commit before; the store has them now.
    void next_commit() { fresh_.clear(); }
    // Those that the store keeps; NotFound if it lacks one.
    base::Result<Aggregates> stored(const std::vector<lake::ManifestKey>& keys);
    // The change by comparing the paths of live files.
    base::Result<lake::Change> recount(const std::vector<lake::ManifestFile>& added,
                                       const std::vector<lake::ManifestFile>& gone);

    const lake::TableMetadata& metadata() const { return metadata_; }
    std::size_t manifests_read() const { return read_; }
    std::size_t manifests_known() const { return known_; }
    ports::ReadCounters counters() const { return reader_.counters(); }

  private:
    base::Status read(const std::vector<lake::ManifestFile>& manifests, Aggregates& found);

    ports::LakeStore& store_;
    std::string table_;
    const lake::TableMetadata& metadata_;
    ports::TableReader& reader_;
    std::function<void(const ports::ReadProgress&)> on_progress_;
    // The two that were asked for last, since a commit's list is its child's parent list.
    std::list<std::pair<std::int64_t, ManifestList>> lists_;
    std::map<lake::ManifestKey, AggregatePtr> fresh_;  // read for this commit, and not stored yet
    std::size_t read_ = 0;
    std::size_t known_ = 0;
};

// Manifests of `a` that are not in `b`.
std::vector<lake::ManifestFile> without(const ManifestList& a, const ManifestList& b);

}  // namespace signalbox::engine
