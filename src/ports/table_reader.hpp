#pragma once
// The manifests of one table as values of domain/lake. Never opens a data file.

#include <functional>
#include <vector>

#include "base/error.hpp"
#include "domain/lake/aggregate.hpp"
#include "domain/lake/metadata.hpp"
#include "domain/lake/state.hpp"
#include "ports/table_files.hpp"

namespace signalbox::ports {

// Progress of a long read. Called from the reading thread.
struct ReadProgress {
    std::size_t done = 0;
    std::size_t total = 0;    // manifests
    std::uint64_t bytes = 0;  // read by now
};

class TableReader {
  public:
    virtual ~TableReader() = default;
    // The manifests of a snapshot, inline ones too. Errors name the file and the byte: CorruptData, NotSupported,
    // Unavailable; NotFound if the list is not there any more.
    virtual base::Result<std::vector<lake::ManifestFile>> manifests(const lake::TableMetadata& metadata,
                                                                    const lake::Snapshot& snapshot) = 0;
    // Reads all of them, several at once where that helps, and calls on_aggregate for each in their order, on the
    // calling thread. The first error in that order ends it.
    virtual base::Status read(const lake::TableMetadata& metadata, const std::vector<lake::ManifestFile>& manifests,
                              const std::function<base::Status(lake::ManifestAggregate)>& on_aggregate,
                              const std::function<void(const ReadProgress&)>& on_progress) = 0;
    // Every live file of a manifest.
    virtual base::Status read_files(const lake::TableMetadata& metadata, const lake::ManifestFile& manifest,
                                    std::vector<lake::LiveFile>& files) = 0;
    virtual ReadCounters counters() const = 0;
};

}  // namespace signalbox::ports
