#pragma once
// One snapshot read as a whole: the state that it leaves the table in, and what it changed (docs/adr/0013). Also the
// steps of it, for whoever knows the parent's state already.

#include <functional>
#include <string>
#include <vector>

#include "domain/lake/state.hpp"
#include "ports/table_reader.hpp"

namespace signalbox::engine {

struct ManifestDifference {
    std::vector<lake::ManifestFile> added;  // in the snapshot's list, not in its parent's
    std::vector<lake::ManifestFile> kept;
    std::vector<lake::ManifestFile> gone;
};
// By path and length.
ManifestDifference compare_lists(const std::vector<lake::ManifestFile>& list,
                                 const std::vector<lake::ManifestFile>& parent_list);

// Whether a snapshot without a parent carries manifests of other snapshots: then its writer left the parent out, and
// what it changed is only known by its statuses.
bool parent_left_out(const lake::Snapshot& snapshot, const std::vector<lake::ManifestFile>& list);

// The change by comparing the paths of live files. Unknown, with a note, where they are too many; the reader's errors.
base::Result<lake::Change> recount_change(ports::TableReader& reader, const lake::TableMetadata& metadata,
                                          const std::vector<lake::ManifestFile>& added,
                                          const std::vector<lake::ManifestFile>& gone);

struct SnapshotReading {
    lake::TableState state;
    lake::Change change;  // its notes say why it is less than a difference
};
using OnProgress = std::function<void(const ports::ReadProgress&)>;

// Reads all manifests of the snapshot, and those of its parent that are gone. Where the parent's can't be read
// (expired, damaged), the change is what statuses claim. Errors name file and byte; nothing partial is returned.
base::Result<SnapshotReading> read_snapshot(ports::TableReader& reader, const lake::TableMetadata& metadata,
                                            const lake::Snapshot& snapshot, const OnProgress& on_progress);

}  // namespace signalbox::engine
