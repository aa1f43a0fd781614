#include "adapters/iceberg/folder_catalog.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>
#include <sys/stat.h>
#include <vector>

#include "adapters/iceberg/local_files.hpp"
#include "adapters/iceberg/metadata_folder.hpp"
#include "base/text.hpp"
#include "domain/lake/metadata.hpp"

namespace signalbox::iceberg {

using base::ErrorKind;
using base::fail;
using base::in_context;
using base::Result;
using ports::TableListing;
using ports::TableMetadataText;
using ports::TableVersion;
namespace fs = std::filesystem;

namespace {

// File systems stamp times in steps of up to 2 s (FAT); within one step a second change looks like none.
constexpr std::int64_t step_max_ns = 2'500'000'000;

struct Stamp {
    std::string text;  // empty if the file is not there
    std::int64_t changed_ns = 0;
};

Result<Stamp> stamp_of(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) return Stamp{};
        return folder_error(path, std::error_code(errno, std::generic_category()));
    }
    const std::int64_t changed_ns = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
    return Stamp{fmt::format("{}.{}.{}", changed_ns, status.st_size, status.st_ino), changed_ns};
}

// What look() hands out as `etag`: the stamps of the metadata folder, the metadata file and the hint. The folder's is
// left out while a second change could look like the one that was seen.
struct Seen {
    Stamp folder;
    Stamp file;
    Stamp hint;

    bool settled() const {
        const auto now = std::chrono::system_clock::now().time_since_epoch();
        const std::int64_t now_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
        return now_ns - std::max(folder.changed_ns, hint.changed_ns) > step_max_ns;
    }
    std::string etag(bool folder_too) const {
        return fmt::format("{}|{}|{}", folder_too ? folder.text : std::string(), file.text, hint.text);
    }
};

bool same_file(std::string_view etag, const Stamp& file) {
    const auto parts = base::split(etag, '|');
    return parts.size() == 3 && !file.text.empty() && parts[1] == file.text;
}

}  // namespace

Result<TableListing> FolderCatalog::list() {
    std::error_code error;
    if (!fs::is_directory(config_.path, error)) {
        return fail(ErrorKind::Unavailable, "{}: {}", config_.path, error ? error.message() : "is no folder");
    }
    TableListing listing;
    std::map<std::string, std::string> folders;
    FolderVisitor visitor;
    visitor.folder = [&](const std::string&, const std::string&) { ++requests_; };
    visitor.metadata = [](const std::string&, const std::string&) {};
    visitor.fault = [&](std::string fault) { listing.faults.push_back(std::move(fault)); };
    visitor.table = [&](const std::string& path, const std::string& relative) {
        const std::string table = table_name(config_, relative);
        if (!config_.filter.passes(table)) return;
        const auto [known, fresh] = folders.emplace(table, path);
        if (!fresh) {
            listing.faults.push_back(
                fmt::format("'{}' and '{}' are both named '{}'; the first is taken", known->second, path, table));
        }
    };
    walk_folders(config_, "", visitor);
    if (folders.size() > tables_max) {
        return fail(ErrorKind::CorruptData, "{}: holds {} tables, more than {}: narrow it with include or exclude",
                    config_.path, folders.size(), tables_max);
    }
    for (const auto& [table, path] : folders) listing.tables.push_back({config_.name, table, ""});
    const std::lock_guard guard(mutex_);
    folders_ = std::move(folders);
    return listing;
}

Result<std::string> FolderCatalog::folder_of(const std::string& table) const {
    {
        const std::lock_guard guard(mutex_);
        if (const auto found = folders_.find(table); found != folders_.end()) return found->second;
    }
    std::error_code error;
    if (table == table_name(config_, "") && fs::is_directory(config_.path + "/metadata", error)) return config_.path;
    std::string path = config_.path;
    for (const std::string_view part : base::split(table, '.')) {
        if (part.empty() || part.find('/') != std::string_view::npos || part.find('\0') != std::string_view::npos)
            return fail(ErrorKind::NotFound, "catalog '{}' has no table '{}'", config_.name, table);
        path += fmt::format("/{}", part);
    }
    return path;
}

Result<std::string> FolderCatalog::read_text(const std::string& file, std::uint64_t& bytes) {
    ++requests_;
    const std::vector<std::string> roots = {config_.path};
    SB_TRY(std::string content,
           read_local(file, metadata_max_bytes, config_.allow_outside ? std::vector<std::string>{} : roots));
    bytes = content.size();
    bytes_ += bytes;
    auto text = metadata_text(std::move(content));
    if (!text) return in_context(text.error(), file);
    return text;
}

Result<std::string> FolderCatalog::current_file(const std::string& table, const std::string& metadata_folder) {
    ++requests_;
    SB_TRY(const std::vector<std::string> candidates, newest_metadata(metadata_folder));
    if (candidates.size() == 1) return candidates.front();
    std::optional<std::string> newest;
    std::int64_t newest_ms = 0;
    for (const std::string& file : candidates) {
        std::uint64_t bytes = 0;
        SB_TRY(const std::string text, read_text(file, bytes));
        auto parsed = lake::parse_table_metadata(text);
        if (!parsed) return in_context(parsed.error(), file);
        if (newest && parsed->last_updated_ms <= newest_ms) continue;
        newest = file;
        newest_ms = parsed->last_updated_ms;
    }
    if (newest) return *newest;
    return fail(ErrorKind::NotFound, "catalog '{}' has no table '{}': {} holds no metadata", config_.name, table,
                metadata_folder);
}

Result<TableVersion> FolderCatalog::look(const std::string& table, const TableVersion& known) {
    SB_TRY(const std::string folder, folder_of(table));
    const std::string metadata_folder = folder + "/metadata";
    const auto absent = [&] {
        return fail(ErrorKind::NotFound, "catalog '{}' has no table '{}': there is no {}", config_.name, table,
                    metadata_folder);
    };
    // Stamped before it is read: a change in between is seen by the next look.
    Seen seen;
    SB_TRY(seen.folder, stamp_of(metadata_folder));
    if (seen.folder.text.empty()) {
        // A disk that is not there makes every table look dropped.
        std::error_code error;
        if (!fs::is_directory(config_.path, error))
            return fail(ErrorKind::Unavailable, "{}: {}", config_.path, error ? error.message() : "is no folder");
        return absent();
    }
    SB_TRY(seen.hint, stamp_of(metadata_folder + "/version-hint.text"));
    TableVersion version = known;
    version.metadata_text.clear();
    version.unchanged = false;
    if (!known.metadata_location.empty()) {
        SB_TRY(seen.file, stamp_of(known.metadata_location));
        version.unchanged = !seen.file.text.empty() && known.etag == seen.etag(true);
        if (version.unchanged) return version;
    }
    auto file = current_file(table, metadata_folder);
    if (!file) return tl::unexpected<base::Error>(std::move(file.error()));
    SB_TRY(seen.file, stamp_of(*file));
    if (seen.file.text.empty()) {
        return fail(ErrorKind::Unavailable, "{}: was removed while it was looked at; the next look tells more", *file);
    }
    version.unchanged = *file == known.metadata_location && same_file(known.etag, seen.file);
    version.metadata_location = *file;
    version.etag = seen.etag(seen.settled());
    return version;
}

Result<TableMetadataText> FolderCatalog::metadata(const std::string&, const TableVersion& version) {
    TableMetadataText result;
    result.metadata_location = version.metadata_location;
    SB_TRY(result.text, read_text(version.metadata_location, result.bytes));
    return result;
}

Result<std::unique_ptr<ports::TableFiles>> FolderCatalog::files(const TableVersion& version,
                                                                const std::string& location) {
    const fs::path metadata_folder = fs::path(version.metadata_location).parent_path();
    TablePlace place{location, metadata_folder.parent_path().string(), metadata_folder.string()};
    return std::make_unique<LocalFiles>(std::move(place), config_.allow_outside);
}

}  // namespace signalbox::iceberg
