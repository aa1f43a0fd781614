#include "adapters/catalogs/uri_tables.hpp"

#include "adapters/iceberg/local_files.hpp"
#include "adapters/iceberg/metadata_folder.hpp"

namespace signalbox::catalogs {

using base::ErrorKind;
using base::fail;
using base::Result;

Result<ports::TableMetadataText> UriTables::metadata(const std::string& metadata_location) {
    SB_TRY(const std::string path, iceberg::path_of_uri(metadata_location));
    if (!iceberg::is_metadata_name(path)) {
        return fail(ErrorKind::CorruptData, "'{}' is not the name of a metadata file; it is not read",
                    metadata_location.substr(0, 300));
    }
    ++requests_;
    SB_TRY(std::string content, iceberg::read_local(path, iceberg::metadata_max_bytes, {}));
    ports::TableMetadataText result{metadata_location, {}, content.size()};
    bytes_ += content.size();
    auto text = iceberg::metadata_text(std::move(content));
    if (!text) return base::in_context(text.error(), path);
    result.text = std::move(*text);
    return result;
}

Result<std::unique_ptr<ports::TableFiles>> UriTables::files(const std::string& location) const {
    SB_TRY(const std::string folder, iceberg::path_of_uri(location));
    return std::make_unique<iceberg::LocalFiles>(iceberg::TablePlace{location, folder, folder + "/metadata"},
                                                 allow_outside_);
}

}  // namespace signalbox::catalogs
