#include "engine/table_manifests.hpp"

#include <algorithm>
#include <set>

#include "engine/table_snapshot.hpp"

namespace signalbox::engine {

using base::ErrorKind;
using base::fail;
using base::Result;
using base::Status;

std::vector<lake::ManifestFile> without(const ManifestList& a, const ManifestList& b) {
    std::vector<lake::ManifestFile> left;
    for (const auto& [key, manifest] : a) {
        if (b.count(key) == 0) left.push_back(manifest);
    }
    return left;
}

TableManifests::TableManifests(ports::LakeStore& store, std::string table, const lake::TableMetadata& metadata,
                               ports::TableReader& reader, std::function<void(const ports::ReadProgress&)> on_progress)
    : store_(store),
      table_(std::move(table)),
      metadata_(metadata),
      reader_(reader),
      on_progress_(std::move(on_progress)) {}

Result<const ManifestList*> TableManifests::list(const lake::Snapshot& snapshot) {
    const auto known =
        std::find_if(lists_.begin(), lists_.end(), [&](const auto& l) { return l.first == snapshot.id; });
    if (known != lists_.end()) {
        lists_.splice(lists_.end(), lists_, known);
        return &known->second;
    }
    SB_TRY(std::vector<lake::ManifestFile> manifests, reader_.manifests(metadata_, snapshot));
    ManifestList list;
    for (lake::ManifestFile& manifest : manifests) {
        lake::ManifestKey key = key_of(manifest);
        const auto [place, fresh] = list.emplace(std::move(key), std::move(manifest));
        if (fresh) continue;
        return fail(ErrorKind::CorruptData, "the manifest list of snapshot {} names '{}' twice", snapshot.id,
                    place->first.path.substr(0, 300));
    }
    constexpr std::size_t kept = 2;
    if (lists_.size() >= kept) lists_.pop_front();
    lists_.emplace_back(snapshot.id, std::move(list));
    return &lists_.back().second;
}

Result<Aggregates> TableManifests::fetch(const std::vector<lake::ManifestFile>& manifests) {
    Aggregates found;
    std::vector<lake::ManifestKey> keys;
    for (const lake::ManifestFile& manifest : manifests) {
        lake::ManifestKey key = key_of(manifest);
        const auto fresh = fresh_.find(key);
        if (fresh == fresh_.end()) {
            keys.push_back(std::move(key));
        } else {
            found.push_back(fresh->second);
        }
    }
    SB_TRY(std::vector<lake::ManifestAggregate> stored, store_.aggregates(table_, keys));
    known_ += stored.size();
    std::set<lake::ManifestKey> have;
    for (lake::ManifestAggregate& aggregate : stored) {
        have.insert(aggregate.key);
        found.push_back(std::make_shared<const lake::ManifestAggregate>(std::move(aggregate)));
    }
    for (const AggregatePtr& aggregate : found) have.insert(aggregate->key);
    std::vector<lake::ManifestFile> missing;
    for (const lake::ManifestFile& manifest : manifests) {
        if (have.count(key_of(manifest)) == 0) missing.push_back(manifest);
    }
    if (!missing.empty()) SB_CHECK(read(missing, found));
    return found;
}

Status TableManifests::read(const std::vector<lake::ManifestFile>& manifests, Aggregates& found) {
    std::size_t next = 0;
    const auto on_aggregate = [&](lake::ManifestAggregate aggregate) -> Status {
        aggregate.key = key_of(manifests[next++]);
        found.push_back(std::make_shared<const lake::ManifestAggregate>(std::move(aggregate)));
        fresh_.emplace(found.back()->key, found.back());
        return {};
    };
    SB_CHECK(reader_.read(metadata_, manifests, on_aggregate, on_progress_));
    read_ += manifests.size();
    return {};
}

Result<Aggregates> TableManifests::stored(const std::vector<lake::ManifestKey>& keys) {
    SB_TRY(auto aggregates, store_.aggregates(table_, keys));
    known_ += aggregates.size();
    if (aggregates.size() != keys.size()) {
        return fail(ErrorKind::NotFound, "the store has {} of {} aggregates of table '{}'", aggregates.size(),
                    keys.size(), table_);
    }
    Aggregates found;
    for (lake::ManifestAggregate& aggregate : aggregates) {
        found.push_back(std::make_shared<const lake::ManifestAggregate>(std::move(aggregate)));
    }
    return found;
}

Result<lake::Change> TableManifests::recount(const std::vector<lake::ManifestFile>& added,
                                             const std::vector<lake::ManifestFile>& gone) {
    read_ += added.size() + gone.size();
    return recount_change(reader_, metadata_, added, gone);
}

}  // namespace signalbox::engine
