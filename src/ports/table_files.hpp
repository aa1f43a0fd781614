#pragma once
// The files of one table (metadata, manifest lists, manifests), wherever they lie. Never data files.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace signalbox::ports {

// What was asked of the storage since the start. Metrics of their own: an incremental read is proved by them.
struct ReadCounters {
    std::uint64_t requests = 0;  // files asked for, answered or not
    std::uint64_t bytes = 0;     // as they lie in the storage, compressed or not
    ReadCounters& operator+=(const ReadCounters& other) {
        requests += other.requests;
        bytes += other.bytes;
        return *this;
    }
    friend bool operator==(const ReadCounters&, const ReadCounters&) = default;
};

class TableFiles {
  public:
    virtual ~TableFiles() = default;
    // The whole content of the file that the table's metadata names by this URI, byte for byte; at most size_max_bytes.
    // Blocking, within the storage's own deadline; safe from several threads. Errors name the file and the reason:
    // NotFound (expired, or dropped with its table), PermissionDenied, Unavailable and Timeout (try later), CorruptData
    // (leaves the table's location and that is not allowed; larger than allowed; no regular file), NotSupported (a
    // storage that this version can't read, such as s3://).
    virtual base::Result<std::string> read(const std::string& uri, std::uint64_t size_max_bytes) = 0;
    // The same, into memory that is used again for one file after another: the view points into `room`, which is only
    // made larger, and lives until its next use. Fresh memory for each of many files costs as much as reading them.
    virtual base::Result<std::string_view> read_into(const std::string& uri, std::uint64_t size_max_bytes,
                                                     std::string& room) {
        SB_TRY(room, read(uri, size_max_bytes));
        return std::string_view(room);
    }
    // What people call the file, for errors: its path where it has one.
    virtual std::string place(const std::string& uri) const { return uri; }
    // Of this object alone.
    virtual ReadCounters counters() const = 0;
};

}  // namespace signalbox::ports
