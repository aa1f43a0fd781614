#pragma once
// Manifest lists and manifests: Avro bytes → the values of domain/lake, every field found by its id (Iceberg spec,
// "Manifests" and "Manifest Lists"). No input or output of its own.

#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "domain/lake/totals.hpp"

namespace signalbox::iceberg {

// Decodes a whole manifest list. Errors (CorruptData, NotSupported for encryption) name the byte, not the file.
base::Result<std::vector<lake::ManifestFile>> read_manifest_list(std::string_view file);

// Adds every entry of the manifest to the totals, with what it inherits from its line in the list, and compares the
// counts at the end. Memory: one block. After an error the totals are not to be used. Errors name the byte, not the
// file.
base::Status read_manifest(std::string_view file, const lake::ManifestFile& manifest,
                           const lake::TableMetadata& metadata, lake::TableTotals& totals);

}  // namespace signalbox::iceberg
