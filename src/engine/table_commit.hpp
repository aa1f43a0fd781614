#pragma once
// What one commit did, and how the table's state follows it (docs/adr/0013).

#include <string>
#include <vector>

#include "base/error.hpp"
#include "domain/lake/history.hpp"
#include "domain/lake/metrics.hpp"
#include "domain/lake/state.hpp"
#include "engine/table_manifests.hpp"

namespace signalbox::engine {

// The change of that commit: against its parent where that is known, else by what its own manifests claim. `state`: the
// table's before it; where that is the parent's, no list but the commit's own is read. An error is one of reading;
// whatever can't be known is a Change of Truth::Unknown with a note.
base::Result<lake::Change> change_of_commit(const lake::CommitStep& step, const lake::Snapshot& snapshot,
                                            const lake::TableState& state, TableManifests& manifests);

// How a state moved to another snapshot: what the store must follow.
struct StateMove {
    std::vector<std::string> partitions;  // keys that changed
    Aggregates put;                       // live now, and not before
    std::vector<lake::ManifestKey> gone;
    bool rebuilt = false;  // from nothing: what was stored is to be forgotten
};

// Makes `state` the one of that snapshot, by the difference of the manifests. After an error it is not to be used.
base::Result<StateMove> move_state(lake::TableState& state, const lake::Snapshot& snapshot, TableManifests& manifests);

}  // namespace signalbox::engine
