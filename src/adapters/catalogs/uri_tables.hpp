#pragma once
// Tables whose catalog names their files by URI: reads the metadata file that it names, and opens the table's files.
// Only local files in this version; S3 comes here.

#include <atomic>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "ports/table_catalog.hpp"

namespace signalbox::catalogs {

class UriTables {
  public:
    explicit UriTables(bool allow_outside) : allow_outside_(allow_outside) {}
    // As ports::TableCatalog::metadata. A file whose name is no metadata file's is refused (CorruptData): a catalog
    // must not make us read anything else.
    base::Result<ports::TableMetadataText> metadata(const std::string& metadata_location);
    // As ports::TableCatalog::files.
    base::Result<std::unique_ptr<ports::TableFiles>> files(const std::string& location) const;
    ports::ReadCounters counters() const { return {requests_, bytes_}; }

  private:
    const bool allow_outside_;
    std::atomic<std::uint64_t> requests_{0};
    std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace signalbox::catalogs
