#pragma once
// A folder as a catalog, as Hadoop's catalog lays it out: WAREHOUSE/db/table/metadata, a table's state found by
// version-hint.text or the highest number. Also one table's own folder.

#include <atomic>
#include <map>
#include <mutex>
#include <string>

#include "adapters/iceberg/folder_walk.hpp"
#include "ports/table_catalog.hpp"

namespace signalbox::iceberg {

class FolderCatalog final : public ports::TableCatalog {
  public:
    explicit FolderCatalog(FolderConfig config) : config_(std::move(config)) {}

    const std::string& name() const override { return config_.name; }
    base::Result<ports::TableListing> list() override;
    // Three calls of stat() while nothing changes. A change that the file system's clock may not have told apart yet is
    // looked at in full.
    base::Result<ports::TableVersion> look(const std::string& table, const ports::TableVersion& known) override;
    base::Result<ports::TableMetadataText> metadata(const std::string& table,
                                                    const ports::TableVersion& version) override;
    base::Result<std::unique_ptr<ports::TableFiles>> files(const ports::TableVersion& version,
                                                           const std::string& location) override;
    ports::ReadCounters counters() const override { return {requests_, bytes_}; }

  private:
    base::Result<std::string> folder_of(const std::string& table) const;
    // The metadata file that is the table's state; of several with the same number the one that was updated last.
    base::Result<std::string> current_file(const std::string& table, const std::string& metadata_folder);
    base::Result<std::string> read_text(const std::string& file, std::uint64_t& bytes);

    const FolderConfig config_;
    mutable std::mutex mutex_;
    std::map<std::string, std::string> folders_;  // of the last listing, by table
    std::atomic<std::uint64_t> requests_{0};
    std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace signalbox::iceberg
