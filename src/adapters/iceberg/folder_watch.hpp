#pragma once
// Notices commits in folders by inotify: a hint some milliseconds after the rename. Tables that other hosts write (NFS)
// are not noticed; polling finds them.

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "adapters/iceberg/folder_walk.hpp"
#include "ports/table_changes.hpp"

namespace signalbox::iceberg {

class FolderWatch final : public ports::TableChanges {
  public:
    // Watches the metadata folders of all tables, and the folders in which tables or namespaces may be made; without
    // any catalog it only hands on the hints that come another way. What can't be watched (the kernel's limit, no
    // permission, a warehouse that is not there yet) is named in state() and tried again each minute.
    explicit FolderWatch(std::vector<FolderConfig> catalogs);
    ~FolderWatch() override;
    FolderWatch(const FolderWatch&) = delete;
    FolderWatch& operator=(const FolderWatch&) = delete;

    std::vector<ports::TableHint> wait(base::Duration max) override;
    void hint(ports::TableHint hint) override;
    void interrupt() override;
    ports::WatchState state() const override;

  private:
    struct Watched {
        std::size_t catalog = 0;
        bool metadata = false;  // a table's metadata folder; else a folder that may hold tables
        std::string path;
        std::string relative;  // of the folder that is the table, or may hold some
    };

    void scan(std::size_t catalog, const std::string& relative, bool hint_tables);
    void scan_all();
    void watch(const Watched& watched);
    void unwatch(const std::string& path);
    // Of the folder and all below it.
    void forget(const std::string& path);
    void read_events();
    void take_event(int descriptor, std::uint32_t what, const std::string& name);
    void take_folder_event(const Watched& watched, std::uint32_t what, const std::string& name);
    void take_metadata_event(const Watched& watched, std::uint32_t what, const std::string& name);
    void hint_table(std::size_t catalog, const std::string& relative);
    void warn(std::string warning);
    void publish();

    const std::vector<FolderConfig> catalogs_;
    int inotify_ = -1;
    int wake_ = -1;
    // By the waiting thread alone.
    std::unordered_map<int, Watched> watched_;
    std::map<std::string, int> descriptors_;  // by path
    std::uint64_t unwatched_ = 0;
    std::vector<std::string> warnings_;
    std::int64_t scanned_ns_ = 0;

    mutable std::mutex mutex_;
    std::map<std::string, std::set<std::string>> hints_;  // by catalog; an empty name stands for all
    ports::WatchState state_;
};

}  // namespace signalbox::iceberg
