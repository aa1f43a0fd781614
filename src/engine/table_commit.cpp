#include "engine/table_commit.hpp"

#include <set>

#include "engine/table_snapshot.hpp"

namespace signalbox::engine {

using base::ErrorKind;
using base::Result;
using base::Status;

namespace {

std::vector<const lake::ManifestAggregate*> pointers(const Aggregates& aggregates) {
    std::vector<const lake::ManifestAggregate*> all;
    all.reserve(aggregates.size());
    for (const AggregatePtr& aggregate : aggregates) all.push_back(aggregate.get());
    return all;
}

Result<lake::Change> claims_of(const lake::Snapshot& snapshot, const ManifestList& list, TableManifests& manifests) {
    std::vector<lake::ManifestFile> own;
    for (const auto& [key, manifest] : list) {
        if (!manifest.added_snapshot_id || *manifest.added_snapshot_id == snapshot.id) own.push_back(manifest);
    }
    SB_TRY(const auto aggregates, manifests.fetch(own));
    return lake::change_by_claims(snapshot.id, pointers(aggregates));
}

Result<lake::Change> difference(const lake::Snapshot& snapshot, const ManifestList& list, const ManifestList& parent,
                                TableManifests& manifests) {
    const auto added = without(list, parent);
    const auto gone = without(parent, list);
    SB_TRY(const auto added_aggregates, manifests.fetch(added));
    SB_TRY(const auto gone_aggregates, manifests.fetch(gone));
    if (auto change = lake::change_of(snapshot.id, pointers(added_aggregates), pointers(gone_aggregates))) {
        return std::move(*change);
    }
    // The statuses disagree with the live sets: the paths tell.
    return manifests.recount(added, gone);
}

struct Difference {
    std::vector<lake::ManifestFile> added;
    std::vector<lake::ManifestKey> gone;
};

Difference difference_of(const lake::TableState& state, const ManifestList& list) {
    Difference found;
    for (const auto& [key, manifest] : list) {
        if (state.manifests().count(key) == 0) found.added.push_back(manifest);
    }
    for (const auto& [key, manifest] : state.manifests()) {
        if (list.count(key) == 0) found.gone.push_back(key);
    }
    return found;
}

// The state is the parent's: what the commit changed needs no list but its own, and the parent's may have expired
// since. Nothing if the statuses disagree with the difference, or the store lost something: then the lists tell.
Result<std::optional<lake::Change>> difference_to(const lake::TableState& state, const lake::Snapshot& snapshot,
                                                  const ManifestList& list, TableManifests& manifests) {
    const Difference difference = difference_of(state, list);
    const auto gone = manifests.stored(difference.gone);
    if (!gone && gone.error().kind == ErrorKind::NotFound) return std::optional<lake::Change>();
    if (!gone) return tl::unexpected<base::Error>(gone.error());
    SB_TRY(const auto added, manifests.fetch(difference.added));
    return lake::change_of(snapshot.id, pointers(added), pointers(*gone));
}

// A snapshot without a parent that carries manifests of others: its writer left the parent out.
bool left_out(const lake::Snapshot& snapshot, const ManifestList& list) {
    std::vector<lake::ManifestFile> manifests;
    for (const auto& [key, manifest] : list) manifests.push_back(manifest);
    return parent_left_out(snapshot, manifests);
}

// Whether a file of the parent is not there any more, or can't be understood: then its commit is judged without it.
bool is_lost(const base::Error& error) {
    return error.kind == ErrorKind::NotFound || error.kind == ErrorKind::CorruptData ||
           error.kind == ErrorKind::NotSupported;
}

}  // namespace

Result<lake::Change> change_of_commit(const lake::CommitStep& step, const lake::Snapshot& snapshot,
                                      const lake::TableState& state, TableManifests& manifests) {
    if (step.parent_id && state.snapshot_id == step.parent_id) {
        SB_TRY(const ManifestList* list, manifests.list(snapshot));
        SB_TRY(auto change, difference_to(state, snapshot, *list, manifests));
        if (change) return std::move(*change);
    }
    const lake::Snapshot* parent =
        step.parent_known && step.parent_id ? manifests.metadata().snapshot(*step.parent_id) : nullptr;
    std::string why = "its parent is not in the metadata any more";
    if (step.parent_known && !step.parent_id) {
        SB_TRY(const ManifestList* list, manifests.list(snapshot));
        if (!left_out(snapshot, *list)) return difference(snapshot, *list, {}, manifests);
        why = "it names no parent and carries files of others";
    }
    if (parent != nullptr) {
        const auto parent_list = manifests.list(*parent);
        SB_TRY(const ManifestList* list, manifests.list(snapshot));
        if (parent_list) {
            auto change = difference(snapshot, *list, **parent_list, manifests);
            if (change || !is_lost(change.error())) return change;
            why = "manifests of its parent can't be read: " + change.error().text();
        } else if (is_lost(parent_list.error())) {
            why = "its parent's manifest list can't be read: " + parent_list.error().text();
        } else {
            return tl::unexpected<base::Error>(parent_list.error());
        }
    }
    SB_TRY(const ManifestList* list, manifests.list(snapshot));
    SB_TRY(lake::Change change, claims_of(snapshot, *list, manifests));
    change.notes.push_back("by its own word: " + why);
    return change;
}

namespace {

void note_partitions(const lake::ManifestAggregate& aggregate, std::set<std::string>& keys) {
    for (const auto& [key, part] : aggregate.partitions) keys.insert(key);
}

// Lowest sequence numbers are bounds after a removal; where delete files wait, they are counted again.
Status recount(lake::TableState& state, const Aggregates& fresh, TableManifests& manifests) {
    if (!state.wants_recount()) return {};
    std::set<lake::ManifestKey> have;
    for (const AggregatePtr& aggregate : fresh) have.insert(aggregate->key);
    std::vector<lake::ManifestKey> keys;
    for (const auto& [key, manifest] : state.manifests()) {
        if (have.count(key) == 0) keys.push_back(key);
    }
    SB_TRY(const auto stored, manifests.stored(keys));
    std::vector<const lake::ManifestAggregate*> all = pointers(stored);
    for (const AggregatePtr& aggregate : fresh) all.push_back(aggregate.get());
    state.recount_sequences(all);
    return {};
}

}  // namespace

Result<StateMove> move_state(lake::TableState& state, const lake::Snapshot& snapshot, TableManifests& manifests) {
    SB_TRY(const ManifestList* list, manifests.list(snapshot));
    StateMove move;
    Difference change = difference_of(state, *list);
    auto gone = manifests.stored(change.gone);
    if (!gone) {
        // The store lost something: it is built again rather than believed.
        if (gone.error().kind != ErrorKind::NotFound) return tl::unexpected<base::Error>(gone.error());
        state = lake::TableState();
        move.rebuilt = true;
        change = difference_of(state, *list);
        gone = Aggregates();
    }
    SB_TRY(move.put, manifests.fetch(change.added));
    std::set<std::string> keys;
    for (const AggregatePtr& aggregate : *gone) {
        SB_CHECK(state.remove(*aggregate));
        note_partitions(*aggregate, keys);
    }
    for (const AggregatePtr& aggregate : move.put) {
        SB_CHECK(state.add(*aggregate));
        note_partitions(*aggregate, keys);
    }
    SB_CHECK(recount(state, move.put, manifests));
    state.snapshot_id = snapshot.id;
    move.gone = std::move(change.gone);
    move.partitions.assign(keys.begin(), keys.end());
    return move;
}

}  // namespace signalbox::engine
