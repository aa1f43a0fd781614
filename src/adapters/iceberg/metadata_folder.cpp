#include "adapters/iceberg/metadata_folder.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/text.hpp"
#include "wire/avro/compression.hpp"

namespace signalbox::iceberg {

using base::Error;
using base::ErrorKind;
using base::fail;
using base::Result;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t candidates_max = 16;

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
    if (error) return folder_error(folder, error);
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
}  // namespace

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

tl::unexpected<Error> folder_error(const std::string& folder, const std::error_code& error) {
    ErrorKind kind = ErrorKind::Unavailable;
    if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory)
        kind = ErrorKind::NotFound;
    if (error == std::errc::permission_denied) kind = ErrorKind::PermissionDenied;
    return tl::unexpected<Error>(Error{kind, fmt::format("cannot list: {}", error.message()), folder, error.value()});
}

bool is_metadata_name(std::string_view name) {
    return name.ends_with(".metadata.json") || name.ends_with(".metadata.json.gz") ||
           name.ends_with(".metadata.json.zst") || name.ends_with(".metadata.json.zstd");
}

Result<std::string> metadata_text(std::string content) {
    std::optional<avro::Codec> codec;
    if (content.starts_with("\x1f\x8b")) codec = avro::Codec::Gzip;
    if (content.starts_with("\x28\xb5\x2f\xfd")) codec = avro::Codec::Zstandard;
    if (!codec) return content;
    avro::Decompressor decompressor(metadata_max_bytes);
    SB_TRY(const std::string_view text, decompressor.decompress(*codec, content));
    return std::string(text);
}

Result<std::vector<std::string>> newest_metadata(const std::string& folder) {
    if (const auto file = hinted(folder)) return std::vector<std::string>{*file};
    return highest_versions(folder);
}

Result<std::string> path_of_uri(std::string_view uri) {
    const std::string plain = plain_uri(uri);
    if (plain.starts_with('/') && plain.find('\0') == std::string::npos) return plain;
    const std::string shown(uri.substr(0, 300));
    const std::size_t colon = plain.find(':');
    if (colon == std::string::npos || colon > plain.find('/'))
        return fail(ErrorKind::CorruptData, "'{}' is neither an absolute path nor a URI", shown);
    return fail(ErrorKind::NotSupported,
                "'{}' lies in {}://, a storage that is not supported: only local files are read", shown,
                plain.substr(0, colon));
}

}  // namespace signalbox::iceberg
