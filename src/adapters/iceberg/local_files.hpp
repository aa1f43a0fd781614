#pragma once
// The files of a table that lie on this machine, perhaps elsewhere than where they were written.

#include <atomic>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "ports/table_files.hpp"

namespace signalbox::iceberg {

// Where a table lies here.
struct TablePlace {
    std::string location;         // as its metadata has it
    std::string folder;           // the folder here that the location means
    std::string metadata_folder;  // the same of location/metadata
};

// Where a file of the table lies here: `uri` is as the metadata has it, from where the table was written. CorruptData
// for a path that is not below the table's location, or leaves it by "..".
base::Result<std::string> local_path(const TablePlace& place, const std::string& uri);

// The whole content of a regular file, without waiting for a pipe's or a device's. Unless `roots` is empty, the file
// that was really opened, behind any symlink, must lie below one of them. Errors as in ports::TableFiles::read.
base::Result<std::string> read_local(const std::string& path, std::uint64_t size_max_bytes,
                                     const std::vector<std::string>& roots);
// The same into memory that is used again, see ports::TableFiles::read_into.
base::Result<std::string_view> read_local_into(const std::string& path, std::uint64_t size_max_bytes,
                                               const std::vector<std::string>& roots, std::string& room);

class LocalFiles final : public ports::TableFiles {
  public:
    // allow_outside: files that are not below the table's location are read where their URI says.
    LocalFiles(TablePlace place, bool allow_outside) : place_(std::move(place)), allow_outside_(allow_outside) {}
    base::Result<std::string> read(const std::string& uri, std::uint64_t size_max_bytes) override;
    base::Result<std::string_view> read_into(const std::string& uri, std::uint64_t size_max_bytes,
                                             std::string& room) override;
    std::string place(const std::string& uri) const override { return path_of(uri).value_or(uri); }
    ports::ReadCounters counters() const override { return {requests_, bytes_}; }

  private:
    base::Result<std::string> path_of(const std::string& uri) const;

    const TablePlace place_;
    const bool allow_outside_;
    std::atomic<std::uint64_t> requests_{0};
    std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace signalbox::iceberg
