#pragma once
// Whole files, one after another, in one buffer that is kept: a table's manifests are many and of like size, and fresh
// memory for each costs more than the reading.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace signalbox::iceberg {

class FileBuffer {
  public:
    // The file's bytes; they live until the next call. Errors name the path: Unavailable if it is not there or can't be
    // read (a file that a table names and that is missing is a fault of the table, not an answer), InvalidArgument if it
    // has more than size_max_bytes.
    base::Result<std::string_view> read(const std::string& path, std::uint64_t size_max_bytes);

  private:
    void reserve(std::size_t size, std::size_t used);

    std::unique_ptr<char[]> bytes_;
    std::size_t capacity_ = 0;
};

}  // namespace signalbox::iceberg
