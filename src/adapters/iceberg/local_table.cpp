#include "adapters/iceberg/local_table.hpp"

#include <filesystem>
#include <optional>
#include <vector>

#include "adapters/iceberg/local_files.hpp"
#include "adapters/iceberg/manifest_reader.hpp"
#include "adapters/iceberg/metadata_folder.hpp"
#include "base/text.hpp"

namespace signalbox::iceberg {

using base::Error;
using base::ErrorKind;
using base::fail;
using base::in_context;
using base::Result;
using base::Status;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t manifest_max_bytes = std::uint64_t{4} << 30;

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

Status read_one(const LocalTable& table, const lake::ManifestFile& manifest, lake::TableTotals& totals) {
    SB_TRY(const std::string path, local_path(table, manifest.path));
    SB_TRY(const std::string content, read(path, manifest_max_bytes));
    auto status = read_manifest(content, manifest, table.metadata, totals);
    if (!status) return in_context(status.error(), path);
    return {};
}

// An Avro file that is cut right after its header looks like an empty one: only the summary can tell.
Status check_not_cut(const lake::Snapshot& snapshot, const std::vector<lake::ManifestFile>& manifests,
                     std::size_t list_bytes) {
    if (!manifests.empty()) return {};
    for (const char* field : {"total-data-files", "total-records", "total-delete-files", "added-data-files"}) {
        const auto claimed = snapshot.summary.find(field);
        if (claimed == snapshot.summary.end() || claimed->second == "0") continue;
        return fail(
            ErrorKind::CorruptData,
            "at byte {}: the list ends without naming a manifest, and the snapshot's summary says {} = {}: it is "
            "cut short",
            list_bytes, field, claimed->second);
    }
    return {};
}

Result<std::vector<lake::ManifestFile>> list_manifests(const LocalTable& table, const lake::Snapshot& snapshot) {
    if (snapshot.encrypted) {
        return fail(ErrorKind::NotSupported, "snapshot {} is encrypted, which is not supported", snapshot.id);
    }
    if (snapshot.manifest_list.empty()) {
        std::vector<lake::ManifestFile> manifests(snapshot.manifests.size());
        for (std::size_t i = 0; i < manifests.size(); ++i) manifests[i].path = snapshot.manifests[i];
        return manifests;
    }
    SB_TRY(const std::string path, local_path(table, snapshot.manifest_list));
    SB_TRY(const std::string content, read(path, manifest_max_bytes));
    auto manifests = read_manifest_list(content);
    if (!manifests) return in_context(manifests.error(), path);
    if (auto status = check_not_cut(snapshot, *manifests, content.size()); !status) {
        return in_context(status.error(), path);
    }
    return manifests;
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

Result<std::string> local_path(const LocalTable& table, const std::string& uri) {
    const std::string folder = fs::absolute(table.metadata_folder).lexically_normal().parent_path().string();
    return local_path(TablePlace{table.metadata.location, folder, table.metadata_folder}, uri);
}

Result<lake::TableTotals> read_snapshot(const LocalTable& table, const lake::Snapshot& snapshot) {
    auto manifests = list_manifests(table, snapshot);
    if (!manifests) {
        return manifests.error().context.empty() ? in_context(manifests.error(), table.metadata_file)
                                                 : tl::unexpected<Error>(manifests.error());
    }
    lake::TableTotals totals(snapshot.id);
    for (const lake::ManifestFile& manifest : *manifests) {
        if (auto status = read_one(table, manifest, totals); !status) {
            return status.error().context.empty() ? in_context(status.error(), table.metadata_file)
                                                  : tl::unexpected<Error>(status.error());
        }
    }
    return totals;
}

}  // namespace signalbox::iceberg
