#include "adapters/iceberg/local_table.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/text.hpp"
#include "wire/avro/compression.hpp"

namespace signalbox::iceberg {

using base::Error;
using base::ErrorKind;
using base::fail;
using base::in_context;
using base::Result;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t metadata_max_bytes = std::uint64_t{1} << 30;
constexpr std::size_t candidates_max = 16;

// A file of the table that is missing is a fault of the table, not an answer.
Result<std::string> read(const std::string& path, std::uint64_t size_max_bytes) {
    auto content = base::read_file(path, size_max_bytes);
    if (!content && content.error().kind == ErrorKind::NotFound) content.error().kind = ErrorKind::Unavailable;
    return content;
}

bool ends_with(std::string_view text, std::string_view end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool is_metadata_name(std::string_view name) {
    return ends_with(name, ".metadata.json") || ends_with(name, ".metadata.json.gz") ||
           ends_with(name, ".metadata.json.zst") || ends_with(name, ".metadata.json.zstd");
}

// "v12.metadata.json" and "00012-uuid.metadata.json" are version 12.
std::optional<std::uint64_t> version_of(std::string_view name) {
    if (!is_metadata_name(name)) return std::nullopt;
    if (!name.empty() && name.front() == 'v') {
        name.remove_prefix(1);
        return base::parse_uint(name.substr(0, name.find('.')));
    }
    const std::size_t dash = name.find('-');
    return dash == std::string_view::npos ? std::nullopt : base::parse_uint(name.substr(0, dash));
}

Result<std::string> read_metadata_text(const std::string& path) {
    auto content = read(path, metadata_max_bytes);
    if (!content) return content;
    std::optional<avro::Codec> codec;
    if (content->rfind("\x1f\x8b", 0) == 0) codec = avro::Codec::Gzip;
    if (content->rfind("\x28\xb5\x2f\xfd", 0) == 0) codec = avro::Codec::Zstandard;
    if (!codec) return content;
    avro::Decompressor decompressor(metadata_max_bytes);
    auto text = decompressor.decompress(*codec, *content);
    if (!text) return in_context(text.error(), path);
    return std::string(*text);
}

Result<LocalTable> load(const std::string& file) {
    SB_TRY(const std::string text, read_metadata_text(file));
    auto metadata = lake::parse_table_metadata(text);
    if (!metadata) return in_context(metadata.error(), file);
    LocalTable table;
    table.metadata_file = file;
    table.metadata_folder = fs::path(file).parent_path().string();
    if (table.metadata_folder.empty()) table.metadata_folder = ".";
    table.metadata = std::move(*metadata);
    return table;
}

// The metadata files of the folder with the highest version; several when two writers tried the same number.
Result<std::vector<std::string>> highest_versions(const std::string& folder) {
    std::vector<std::string> files;
    std::uint64_t highest = 0;
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
        const std::string name = entry->path().filename().string();
        const auto version = version_of(name);
        if (!version || (!files.empty() && *version < highest)) continue;
        if (*version > highest) files.clear();
        highest = *version;
        files.push_back(entry->path().string());
    }
    if (error) {
        return in_context(
            Error{ErrorKind::Unavailable, fmt::format("cannot list: {}", error.message()), {}, error.value()}, folder);
    }
    std::sort(files.begin(), files.end());
    if (files.size() > candidates_max) files.resize(candidates_max);
    return files;
}

// The file that version-hint.text leads to: the hint, or a version that was committed after it, since the hint is
// written last and may be late. nullopt without a hint, or if it leads nowhere.
std::optional<std::string> hinted(const std::string& folder) {
    const auto text = base::read_file(folder + "/version-hint.text", 4096);
    if (!text) return std::nullopt;
    const std::string hint(base::trim(*text));
    std::error_code error;
    const auto existing = [&](const std::string& stem) -> std::optional<std::string> {
        for (const char* end : {".metadata.json", ".gz.metadata.json", ".metadata.json.gz", ".zst.metadata.json", ""}) {
            const std::string name = stem + end;
            const fs::path file = fs::path(folder) / name;
            if (is_metadata_name(name) && fs::exists(file, error)) return file.string();
        }
        return std::nullopt;
    };
    if (hint.empty() || hint.find('/') != std::string::npos) return std::nullopt;
    auto version = base::parse_uint(hint);
    if (!version) return existing(hint);
    std::optional<std::string> found;
    for (auto next = existing("v" + hint); next; next = existing(fmt::format("v{}", ++*version))) found = next;
    return found;
}

Result<LocalTable> open_folder(const std::string& folder) {
    if (const auto file = hinted(folder)) return load(*file);
    SB_TRY(const std::vector<std::string> files, highest_versions(folder));
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

// "file:///a/b/" and "file:/a//b" are "/a/b"; s3a and s3n are s3.
std::string plain_uri(std::string_view uri) {
    std::string scheme;
    if (const std::size_t colon = uri.find(':'); colon != std::string_view::npos && colon < uri.find('/')) {
        scheme = std::string(uri.substr(0, colon));
        uri.remove_prefix(colon + 1);
    }
    if (scheme == "s3a" || scheme == "s3n") scheme = "s3";
    if (scheme == "file") scheme.clear();
    std::string path;
    for (const char c : uri) {
        if (c != '/' || path.empty() || path.back() != '/') path += c;
    }
    if (path.size() > 1 && path.back() == '/') path.pop_back();
    return scheme.empty() ? path : scheme + ":" + path;
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
    const std::string location = plain_uri(table.metadata.location);
    const std::string plain = plain_uri(uri);
    if (plain.rfind(location + "/", 0) != 0) {
        return fail(ErrorKind::CorruptData, "'{}' is not below the table's location '{}'; it is not read",
                    uri.substr(0, 300), table.metadata.location.substr(0, 300));
    }
    const std::string relative = plain.substr(location.size() + 1);
    for (const std::string_view part : base::split(relative, '/')) {
        if (part == ".." || part.find('\0') != std::string_view::npos) {
            return fail(ErrorKind::CorruptData, "'{}' leaves the table's folder; it is not read", uri.substr(0, 300));
        }
    }
    constexpr std::string_view own = "metadata/";
    const fs::path folder(table.metadata_folder);
    if (relative.rfind(own, 0) == 0) return (folder / relative.substr(own.size())).string();
    return (fs::absolute(folder).lexically_normal().parent_path() / relative).string();
}

Result<std::string> LocalFiles::read(const std::string& uri, std::uint64_t size_max_bytes) {
    std::string content;
    SB_TRY(const std::string_view bytes, read_into(uri, size_max_bytes, content));
    content.resize(bytes.size());
    return content;
}

Result<std::string_view> LocalFiles::read_into(const std::string& uri, std::uint64_t size_max_bytes,
                                               std::string& room) {
    auto path = local_path(table_, uri);
    if (!path) return in_context(path.error(), table_.metadata_file);
    requests_.fetch_add(1, std::memory_order_relaxed);
    auto content = base::read_file_into(*path, size_max_bytes, room);
    if (content) bytes_.fetch_add(content->size(), std::memory_order_relaxed);
    return content;
}

std::string LocalFiles::place(const std::string& uri) const { return local_path(table_, uri).value_or(uri); }

ports::ReadCounters LocalFiles::counters() const {
    return {requests_.load(std::memory_order_relaxed), bytes_.load(std::memory_order_relaxed)};
}

}  // namespace signalbox::iceberg
