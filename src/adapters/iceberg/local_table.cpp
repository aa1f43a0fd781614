#include "adapters/iceberg/local_table.hpp"

#include <filesystem>
#include <optional>
#include <vector>

#include "adapters/iceberg/local_files.hpp"
#include "adapters/iceberg/metadata_folder.hpp"
#include "base/text.hpp"

namespace signalbox::iceberg {

using base::Error;
using base::ErrorKind;
using base::in_context;
using base::Result;
namespace fs = std::filesystem;

namespace {

// A file of the table that is missing is a fault of the table, not an answer.
Result<std::string> read(const std::string& path, std::uint64_t size_max_bytes) {
    auto content = base::read_file(path, size_max_bytes);
    if (!content && content.error().kind == ErrorKind::NotFound) content.error().kind = ErrorKind::Unavailable;
    return content;
}

Result<LocalTable> load(const std::string& file) {
    SB_TRY(std::string content, read(file, metadata_max_bytes));
    const auto text = metadata_text(std::move(content));
    if (!text) return in_context(text.error(), file);
    auto metadata = lake::parse_table_metadata(*text);
    if (!metadata) return in_context(metadata.error(), file);
    LocalTable table;
    table.metadata_file = file;
    table.metadata_folder = fs::path(file).parent_path().string();
    if (table.metadata_folder.empty()) table.metadata_folder = ".";
    table.metadata = std::move(*metadata);
    return table;
}

Result<LocalTable> open_folder(const std::string& folder) {
    SB_TRY(const std::vector<std::string> files, newest_metadata(folder));
    if (files.empty()) {
        return in_context(Error{ErrorKind::Unavailable,
                                "holds no Iceberg metadata: expected vN.metadata.json or NNNNN-….metadata.json",
                                {},
                                0},
                          folder);
    }
    std::optional<LocalTable> newest;
    for (const std::string& file : files) {
        SB_TRY(LocalTable table, load(file));
        if (!newest || table.metadata.last_updated_ms > newest->metadata.last_updated_ms) newest = std::move(table);
    }
    if (files.size() > 1) {
        newest->metadata.notes.push_back(fmt::format(
            "{} metadata files share the highest version; the one that was updated last is taken", files.size()));
    }
    return std::move(*newest);
}

}  // namespace

Result<LocalTable> open_table(const std::string& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (status.type() == fs::file_type::not_found || status.type() == fs::file_type::none) {
        return in_context(Error{ErrorKind::Unavailable, "there is no such file or folder", {}, error.value()}, path);
    }
    if (!fs::is_directory(status)) return load(path);
    const std::string inner = (fs::path(path) / "metadata").string();
    return open_folder(fs::is_directory(inner, error) ? inner : fs::path(path).lexically_normal().string());
}

std::unique_ptr<ports::TableFiles> files_of(const LocalTable& table) {
    std::string folder = fs::absolute(table.metadata_folder).lexically_normal().parent_path().string();
    return std::make_unique<LocalFiles>(TablePlace{table.metadata.location, std::move(folder), table.metadata_folder},
                                        false);
}

}  // namespace signalbox::iceberg
