#pragma once
// An Iceberg table in a local folder: finds its metadata and reads it, and its other files. Never opens a data file.
// The table may have been moved since it was written.

#include <atomic>
#include <string>

#include "base/error.hpp"
#include "domain/lake/metadata.hpp"
#include "ports/table_files.hpp"

namespace signalbox::iceberg {

struct LocalTable {
    std::string metadata_file;    // its path here
    std::string metadata_folder;  // the folder that holds it
    lake::TableMetadata metadata;
};

// `path` is a table's folder (with its metadata in metadata/, chosen by version-hint.text, else by the highest number),
// the metadata folder itself, or one metadata file; plain, gzip or zstd. Errors name the file: Unavailable if there is
// none, CorruptData, NotSupported.
base::Result<LocalTable> open_table(const std::string& path);

// Where a file of the table lies here: `uri` is as the metadata has it, from where the table was written.
// InvalidArgument becomes CorruptData for a path that is not below the table's location, or leaves it by "..".
base::Result<std::string> local_path(const LocalTable& table, const std::string& uri);

// The table's files, from where they lie here. `table` must outlive it.
class LocalFiles : public ports::TableFiles {
  public:
    explicit LocalFiles(const LocalTable& table) : table_(table) {}
    base::Result<std::string> read(const std::string& uri, std::uint64_t size_max_bytes) override;
    base::Result<std::string_view> read_into(const std::string& uri, std::uint64_t size_max_bytes,
                                             std::string& room) override;
    std::string place(const std::string& uri) const override;
    ports::ReadCounters counters() const override;

  private:
    const LocalTable& table_;
    std::atomic<std::uint64_t> requests_{0};
    std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace signalbox::iceberg
