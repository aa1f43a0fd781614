#pragma once
// Which file of a metadata folder is the table's state, and what URIs mean on this machine.

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/error.hpp"

namespace signalbox::iceberg {

constexpr std::uint64_t metadata_max_bytes = std::uint64_t{1} << 30;

// "file:///a/b/" and "file:/a//b" are "/a/b"; s3a and s3n are s3.
std::string plain_uri(std::string_view uri);
// The path on this machine that a URI or a plain absolute path names. NotSupported for any other storage, by its name;
// CorruptData for what is neither.
base::Result<std::string> path_of_uri(std::string_view uri);

// Whether a file of that name is a table's metadata: "….metadata.json", also compressed.
bool is_metadata_name(std::string_view name);

// The text of a metadata file's content: plain, gzip or zstd. CorruptData if it can't be decompressed.
base::Result<std::string> metadata_text(std::string content);

// The files that may be the table's state: the one that version-hint.text leads to, or a later one that follows it
// without a gap; without a hint, those with the highest version: several when two writers tried the same number, then
// sorted by name and at most 16. Empty if the folder holds no metadata. Errors: NotFound (there is no such folder),
// PermissionDenied, Unavailable; they name the folder.
base::Result<std::vector<std::string>> newest_metadata(const std::string& folder);

// NotFound, PermissionDenied or Unavailable: a folder that could not be listed.
tl::unexpected<base::Error> folder_error(const std::string& folder, const std::error_code& error);

}  // namespace signalbox::iceberg
