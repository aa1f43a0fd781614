#include "adapters/iceberg/folder_watch.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/iceberg/metadata_folder.hpp"

namespace signalbox::iceberg {

using ports::TableHint;

namespace {

constexpr std::uint32_t folder_mask =
    IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK;
constexpr std::uint32_t metadata_mask =
    IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK;
constexpr std::int64_t rescan_ns = 60'000'000'000;
constexpr std::size_t warnings_max = 20;
// Reads of one wait; a storm of events must not keep the hints from their reader.
constexpr int reads_max = 64;

std::int64_t now_ns() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

// A file that is made by link() is whole at once and never closed by a writer.
bool is_linked(const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && status.st_nlink > 1;
}

}  // namespace

FolderWatch::FolderWatch(std::vector<FolderConfig> catalogs)
    : catalogs_(std::move(catalogs)), wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (catalogs_.empty()) return;
    inotify_ = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (inotify_ < 0) {
        warn(fmt::format("folders are polled only: inotify cannot be used: {} (see fs.inotify.max_user_instances)",
                         std::strerror(errno)));
        publish();
        return;
    }
    scan_all();
}

FolderWatch::~FolderWatch() {
    if (inotify_ >= 0) ::close(inotify_);
    if (wake_ >= 0) ::close(wake_);
}

void FolderWatch::warn(std::string warning) {
    if (warnings_.size() < warnings_max && std::find(warnings_.begin(), warnings_.end(), warning) == warnings_.end())
        warnings_.push_back(std::move(warning));
}

void FolderWatch::publish() {
    const std::lock_guard guard(mutex_);
    state_ = {watched_.size(), unwatched_, warnings_};
}

void FolderWatch::scan_all() {
    unwatched_ = 0;
    warnings_.clear();
    for (std::size_t catalog = 0; catalog < catalogs_.size(); ++catalog) scan(catalog, "", false);
    scanned_ns_ = now_ns();
    publish();
}

void FolderWatch::scan(std::size_t catalog, const std::string& relative, bool hint_tables) {
    const FolderConfig& config = catalogs_[catalog];
    FolderVisitor visitor;
    visitor.folder = [&](const std::string& path, const std::string& below) { watch({catalog, false, path, below}); };
    visitor.metadata = [&](const std::string& path, const std::string& below) { watch({catalog, true, path, below}); };
    visitor.fault = [&](std::string fault) { warn(std::move(fault)); };
    visitor.table = [&](const std::string& path, const std::string& below) {
        // One watch a table: what else happens in its folder is data.
        unwatch(path);
        if (!config.filter.passes(table_name(config, below))) {
            unwatch(path + "/metadata");
        } else if (hint_tables) {
            hint_table(catalog, below);
        }
    };
    walk_folders(config, relative, visitor);
}

void FolderWatch::watch(const Watched& watched) {
    // A folder "metadata" that holds no metadata yet is walked as a namespace, too: the kernel keeps one watch of it,
    // and what matters is the first metadata file.
    const auto before = descriptors_.find(watched.path);
    if (!watched.metadata && before != descriptors_.end() && watched_[before->second].metadata) return;
    const int descriptor =
        ::inotify_add_watch(inotify_, watched.path.c_str(), watched.metadata ? metadata_mask : folder_mask);
    if (descriptor >= 0) {
        watched_[descriptor] = watched;
        descriptors_[watched.path] = descriptor;
        return;
    }
    const int code = errno;
    // The warehouse itself must be there; anything else may have gone since it was listed.
    if ((code == ENOENT || code == ENOTDIR) && !watched.relative.empty()) return;
    ++unwatched_;
    if (code == ENOSPC) {
        warn(
            fmt::format("the kernel's limit of watches is reached: folders from '{}' on are only polled; raise "
                        "fs.inotify.max_user_watches",
                        watched.path));
    } else {
        warn(fmt::format("{}: is only polled: {}", watched.path, std::strerror(code)));
    }
}

void FolderWatch::unwatch(const std::string& path) {
    const auto found = descriptors_.find(path);
    if (found == descriptors_.end()) return;
    ::inotify_rm_watch(inotify_, found->second);
    watched_.erase(found->second);
    descriptors_.erase(found);
}

void FolderWatch::forget(const std::string& path) {
    std::vector<std::string> gone;
    const std::string below = path + "/";
    for (auto found = descriptors_.lower_bound(path); found != descriptors_.end(); ++found) {
        if (!found->first.starts_with(path)) break;
        if (found->first == path || found->first.starts_with(below)) gone.push_back(found->first);
    }
    for (const std::string& each : gone) {
        const auto found = watched_.find(descriptors_[each]);
        if (found != watched_.end() && found->second.metadata)
            hint_table(found->second.catalog, found->second.relative);
        unwatch(each);
    }
}

void FolderWatch::hint_table(std::size_t catalog, const std::string& relative) {
    const FolderConfig& config = catalogs_[catalog];
    const std::string table = table_name(config, relative);
    if (config.filter.passes(table)) hint({config.name, table});
}

void FolderWatch::take_folder_event(const Watched& watched, std::uint32_t what, const std::string& name) {
    if (name.empty()) {
        if ((what & IN_DELETE_SELF) != 0) unwatch(watched.path);
        return;
    }
    if (name.starts_with('.') || name.starts_with('_')) return;
    const std::string path = fmt::format("{}/{}", watched.path, name);
    if ((what & (IN_DELETE | IN_MOVED_FROM)) != 0) forget(path);
    if ((what & (IN_CREATE | IN_MOVED_TO)) == 0) return;
    // "metadata" makes the folder itself a table.
    const bool itself = name == "metadata";
    const std::string relative = itself                     ? watched.relative
                                 : watched.relative.empty() ? name
                                                            : fmt::format("{}/{}", watched.relative, name);
    const auto depth = relative.empty() ? 0 : std::count(relative.begin(), relative.end(), '/') + 1;
    if (depth <= catalogs_[watched.catalog].depth) scan(watched.catalog, relative, true);
}

void FolderWatch::take_metadata_event(const Watched& watched, std::uint32_t what, const std::string& name) {
    if ((what & (IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
        hint_table(watched.catalog, watched.relative);
        unwatch(watched.path);
        scan(watched.catalog, watched.relative, true);
        return;
    }
    if (!is_metadata_name(name) && name != "version-hint.text") return;
    // A file that was only just created is not whole yet.
    const bool complete = (what & (IN_MOVED_TO | IN_CLOSE_WRITE)) != 0;
    if (!complete && !is_linked(fmt::format("{}/{}", watched.path, name))) return;
    hint_table(watched.catalog, watched.relative);
}

void FolderWatch::take_event(int descriptor, std::uint32_t what, const std::string& name) {
    if ((what & IN_Q_OVERFLOW) != 0) {
        // Nobody knows what was lost.
        for (const FolderConfig& config : catalogs_) hint({config.name, ""});
        scan_all();
        return;
    }
    const auto found = watched_.find(descriptor);
    if (found == watched_.end()) return;
    const Watched watched = found->second;
    if ((what & IN_IGNORED) != 0) {
        watched_.erase(found);
        const auto known = descriptors_.find(watched.path);
        if (known != descriptors_.end() && known->second == descriptor) descriptors_.erase(known);
    } else if (watched.metadata) {
        take_metadata_event(watched, what, name);
    } else if ((what & (IN_ISDIR | IN_DELETE_SELF)) != 0) {
        take_folder_event(watched, what, name);
    }
}

void FolderWatch::read_events() {
    alignas(inotify_event) std::array<char, 64 * 1024> buffer;
    for (int reads = 0; reads < reads_max; ++reads) {
        const ssize_t size = ::read(inotify_, buffer.data(), buffer.size());
        if (size <= 0) break;
        for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(size);) {
            inotify_event event;
            std::memcpy(&event, buffer.data() + at, sizeof event);
            const char* name = buffer.data() + at + sizeof event;
            take_event(event.wd, event.mask, std::string(name, ::strnlen(name, event.len)));
            at += sizeof event + event.len;
        }
    }
    publish();
}

std::vector<TableHint> FolderWatch::wait(base::Duration max) {
    const std::int64_t until_ns = now_ns() + std::max<std::int64_t>(max.count(), 0);
    std::array<pollfd, 2> files = {pollfd{wake_, POLLIN, 0}, pollfd{inotify_, POLLIN, 0}};
    for (;;) {
        const std::int64_t left_ns = std::max<std::int64_t>(until_ns - now_ns(), 0);
        const auto left_ms = static_cast<int>(std::min<std::int64_t>((left_ns + 999'999) / 1'000'000, 60'000));
        const int ready = ::poll(files.data(), files.size(), left_ms);
        if (ready > 0 && files[1].revents != 0) read_events();
        if (inotify_ >= 0 && unwatched_ > 0 && now_ns() - scanned_ns_ > rescan_ns) scan_all();
        std::uint64_t count = 0;
        const bool interrupted = ::read(wake_, &count, sizeof count) > 0;
        std::vector<TableHint> hints;
        {
            const std::lock_guard guard(mutex_);
            for (const auto& [catalog, tables] : hints_)
                for (const std::string& table : tables) hints.push_back({catalog, table});
            hints_.clear();
        }
        if (!hints.empty() || interrupted || now_ns() >= until_ns) return hints;
    }
}

void FolderWatch::hint(TableHint hint) {
    {
        const std::lock_guard guard(mutex_);
        auto& tables = hints_[hint.catalog];
        // One hint for all stands for each.
        if (tables.size() == 1 && tables.begin()->empty()) return;
        if (hint.table.empty() || tables.size() >= hints_max)
            tables = {std::string()};
        else
            tables.insert(std::move(hint.table));
    }
    interrupt();
}

void FolderWatch::interrupt() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_, &one, sizeof one);
}

ports::WatchState FolderWatch::state() const {
    const std::lock_guard guard(mutex_);
    return state_;
}

}  // namespace signalbox::iceberg
