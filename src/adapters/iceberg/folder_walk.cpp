#include "adapters/iceberg/folder_walk.hpp"

#include <algorithm>
#include <filesystem>
#include <set>
#include <sys/stat.h>
#include <vector>

#include "adapters/iceberg/metadata_folder.hpp"

namespace signalbox::iceberg {

using base::ErrorKind;
using base::Result;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t folders_max = 500'000;

// What a symlink may do, decided once per walk.
class Walk {
  public:
    Walk(const FolderConfig& config, const FolderVisitor& visitor) : config_(config), visitor_(visitor) {
        std::error_code error;
        root_ = fs::canonical(config.path, error).string();
    }

    void run(const std::string& relative) {
        std::vector<std::string> open = {relative};
        std::size_t seen = 0;
        while (!open.empty()) {
            const std::string next = std::move(open.back());
            open.pop_back();
            if (++seen > folders_max) {
                visitor_.fault(fmt::format("'{}' holds more than {} folders; the rest is not looked at", config_.path,
                                           folders_max));
                return;
            }
            visit(next, open);
        }
    }

  private:
    void visit(const std::string& relative, std::vector<std::string>& open) {
        const std::string path = relative.empty() ? config_.path : fmt::format("{}/{}", config_.path, relative);
        if (config_.allow_outside && !first_time(path)) return;
        visitor_.folder(path, relative);
        const std::string metadata = path + "/metadata";
        std::error_code error;
        if (fs::is_directory(metadata, error) && may_enter(fs::directory_entry(metadata, error), true)) {
            visitor_.metadata(metadata, relative);
            const auto found = holds_metadata(metadata);
            if (!found && found.error().kind != ErrorKind::NotFound) {
                visitor_.fault(found.error().text());
                return;
            }
            if (found && *found) {
                visitor_.table(path, relative);
                return;
            }
        }
        const auto depth = relative.empty() ? 0 : std::count(relative.begin(), relative.end(), '/') + 1;
        if (depth < config_.depth) list(path, relative, open);
    }

    void list(const std::string& path, const std::string& relative, std::vector<std::string>& open) {
        std::error_code error;
        for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
            const std::string name = entry->path().filename().string();
            if (name.starts_with('.') || name.starts_with('_')) continue;
            std::error_code unknown;
            const bool link = entry->is_symlink(unknown);
            if (link ? may_enter(*entry, false) : entry->is_directory(unknown))
                open.push_back(relative.empty() ? name : fmt::format("{}/{}", relative, name));
        }
        // A folder that was removed while it was read is no fault.
        if (error && error != std::errc::no_such_file_or_directory)
            visitor_.fault(fmt::format("{}: cannot list: {}", path, error.message()));
    }

    // A symlink to a folder inside the warehouse is entered only where `inside` says so.
    bool may_enter(const fs::directory_entry& entry, bool inside) {
        std::error_code error;
        if (!entry.is_symlink(error)) return true;
        const std::string shown = entry.path().string();
        const fs::path target = fs::canonical(entry.path(), error);
        if (error) {
            visitor_.fault(fmt::format("{}: a symlink that cannot be followed: {}", shown, error.message()));
            return false;
        }
        if (!fs::is_directory(target, error)) return false;
        if (target == root_ || target.string().starts_with(fmt::format("{}/", root_))) return inside;
        if (config_.allow_outside) return true;
        visitor_.fault(
            fmt::format("{}: a symlink that leaves the warehouse, to '{}'; it is not followed (allow_outside "
                        "would)",
                        shown, target.string()));
        return false;
    }

    bool first_time(const std::string& path) {
        struct stat status {};
        return ::stat(path.c_str(), &status) != 0 || seen_.emplace(status.st_dev, status.st_ino).second;
    }

    const FolderConfig& config_;
    const FolderVisitor& visitor_;
    std::string root_;
    std::set<std::pair<dev_t, ino_t>> seen_;
};

}  // namespace

void walk_folders(const FolderConfig& config, const std::string& relative, const FolderVisitor& visitor) {
    Walk(config, visitor).run(relative);
}

std::string table_name(const FolderConfig& config, const std::string& relative) {
    if (relative.empty()) {
        std::error_code error;
        const fs::path real = fs::canonical(config.path, error);
        return error ? fs::path(config.path).filename().string() : real.filename().string();
    }
    std::string name = relative;
    std::replace(name.begin(), name.end(), '/', '.');
    return name;
}

Result<bool> holds_metadata(const std::string& metadata_folder) {
    std::error_code error;
    for (fs::directory_iterator entry(metadata_folder, error), end; !error && entry != end; entry.increment(error)) {
        const std::string name = entry->path().filename().string();
        if (is_metadata_name(name)) return true;
    }
    if (error) return folder_error(metadata_folder, error);
    return false;
}

}  // namespace signalbox::iceberg
