#pragma once
// Manifest lists and manifests: Avro bytes → the values of domain/lake, every field found by its id (Iceberg spec,
// "Manifests" and "Manifest Lists"). No input or output of its own.

#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "domain/lake/metadata.hpp"
#include "domain/lake/state.hpp"

namespace signalbox::iceberg {

// Decodes a whole manifest list. Errors (CorruptData, NotSupported for encryption) name the byte, not the file.
base::Result<std::vector<lake::ManifestFile>> read_manifest_list(std::string_view file);

// Adds up every entry of the manifest, with what it inherits from its line in the list (Iceberg spec, "Sequence Number
// Inheritance"), and compares the counts at the end. Memory: one block and the partitions. Errors name the byte, not
// the file.
base::Result<lake::ManifestAggregate> read_manifest(std::string_view file, const lake::ManifestFile& manifest,
                                                    const lake::TableMetadata& metadata);

// Appends every live file of the manifest. CorruptData past lake::compared_files_max files in all.
base::Status read_live_files(std::string_view file, const lake::ManifestFile& manifest,
                             const lake::TableMetadata& metadata, std::vector<lake::LiveFile>& files);

}  // namespace signalbox::iceberg
