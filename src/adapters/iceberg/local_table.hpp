#pragma once
// An Iceberg table in a local folder: finds its metadata, reads it, and reads the manifests of a snapshot. Never opens
// a data file. The table may have been moved since it was written.

#include <string>

#include "base/error.hpp"
#include "domain/lake/metadata.hpp"
#include "domain/lake/totals.hpp"

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

// Reads all manifests of that snapshot. Errors name the file and the byte in it; nothing partial is returned.
base::Result<lake::TableTotals> read_snapshot(const LocalTable& table, const lake::Snapshot& snapshot);

}  // namespace signalbox::iceberg
