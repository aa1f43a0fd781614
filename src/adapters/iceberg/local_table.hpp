#pragma once
// An Iceberg table in a local folder: finds its metadata and reads it. Never opens a data file. The table may have been
// moved since it was written.

#include <memory>
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

// The table's files, from where they lie here.
std::unique_ptr<ports::TableFiles> files_of(const LocalTable& table);

}  // namespace signalbox::iceberg
