#pragma once
// The watcher of tables at work: one thread that knows which table is to be looked at next, a few that look, one that
// feeds sinks and runs actions. Apart from the follower's threads, so that nothing here can delay a switch.

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "adapters/prometheus/lake_page.hpp"
#include "adapters/sqlite/lake_store.hpp"
#include "api/api.hpp"
#include "app/catalogs.hpp"
#include "app/config.hpp"
#include "base/time.hpp"
#include "domain/lake/poll_plan.hpp"
#include "engine/table_loop.hpp"

namespace signalbox::app {

// What was done since the start.
struct WatchFigures {
    std::uint64_t looks = 0;
    std::uint64_t looks_failed = 0;
    std::uint64_t unchanged = 0;
    std::uint64_t commits = 0;
    std::uint64_t requests = 0;  // of tables' files
    std::uint64_t bytes = 0;
    std::uint64_t manifests_read = 0;
    std::uint64_t manifests_known = 0;
    prometheus_text::Histogram look_s{
        {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30}};  // that found something new
    prometheus_text::Histogram latency_s{{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}};  // commit → reported
};

class TableWatcher final : public api::TableSource {
  public:
    // Starts the threads. Null if the configuration has no catalogs. Errors: the store's, a catalog's that can't be
    // made. What goes wrong later is kept with its table, and logged once per change.
    static base::Result<std::unique_ptr<TableWatcher>> start(const Config& config);
    // Ends the threads after the looks under way.
    ~TableWatcher() override;
    TableWatcher(const TableWatcher&) = delete;
    TableWatcher& operator=(const TableWatcher&) = delete;

    // Alarms of a configuration that was read again, for looks from now on. Catalogs and sinks change at a restart
    // only.
    void configure(const Config& config);
    void add_metrics(prometheus_text::Page& page);

    // For the API's threads.
    base::Result<base::json::array> tables() override;
    base::Result<base::json::object> table(const std::string& name) override;
    base::Result<base::json::array> commits(const ports::CommitQuery& query) override;
    base::Status look(const std::string& catalog, const std::string& table) override;
    base::Result<base::json::array> alarms() override;
    base::Status acknowledge(const std::string& alarm, const std::string& table, const std::string& by,
                             const std::string& note) override;

  private:
    // A connection to the store of its own.
    struct Books {
        std::unique_ptr<sqlite::LakeStore> store;
        std::unique_ptr<sqlite::JournalStore> journal;
    };
    // A catalog with what its configuration says of it.
    struct Catalog {
        CatalogConfig config;
        std::unique_ptr<ports::TableCatalog> port;
        base::MonoTime list_at{};  // under the lock
        std::string trouble;       // of the last listing
    };

    explicit TableWatcher(const Config& config);
    static base::Result<Books> open_books(const std::string& store);
    base::Status open();
    void schedule();
    void list_catalogs();
    void list_catalog(Catalog& catalog);
    void take_hints(const std::vector<ports::TableHint>& hints, base::MonoTime now);
    base::Duration hand_out(base::MonoTime now);
    void work(Books& books);
    void look_at(Books& books, const lake::PollTable& table);
    base::Status try_look(engine::TableLoop& loop, const lake::PollTable& table, std::string& trouble);
    base::Status look_once(engine::TableLoop& loop, Catalog& catalog, const lake::PollTable& table,
                           std::string& trouble);
    base::Status read_table(engine::TableLoop& loop, Catalog& catalog, const lake::PollTable& table,
                            ports::TableVersion version, std::string& trouble);
    base::Status tick(engine::TableLoop& loop, const std::string& name);
    bool is_stepped(const std::string& name);
    void note(engine::TableLoop& loop, const std::string& name, const std::string& trouble);
    base::Status show_alarms(const std::string& name);
    void set_tick(const std::string& name, std::optional<base::WallTime> at);
    void tell(const engine::TableLook& look, const std::string& name, base::WallTime now);
    void tell_alarms(const engine::TableLook& look, const std::string& name);
    Catalog* catalog_of(const std::string& name);
    std::shared_ptr<const engine::TableLoopConfig> loop_config();

    const std::string store_path_;
    std::vector<Catalog> catalogs_;  // as they are from the start on
    std::unique_ptr<ports::TableChanges> changes_;
    Books api_books_;
    std::vector<Books> books_;  // by looking thread
    prometheus_text::LakePage page_;

    std::mutex mutex_;
    std::condition_variable work_ready_;
    std::condition_variable list_due_;
    bool end_ = false;
    std::shared_ptr<const engine::TableLoopConfig> loop_config_;
    lake::PollPlan plan_;
    std::deque<lake::PollTable> queue_;
    std::map<std::string, ports::TableVersion> known_;  // what was worked off, by the table's whole name
    std::map<std::string, base::WallTime> tick_at_;     // when an alarm of the table waits for time
    std::set<std::string> stepped_;             // tables whose alarms were stepped, and wait for nothing that is due
    std::map<std::string, std::string> noted_;  // trouble that is stored already
    std::map<std::string, std::string> part_trouble_;         // of the newest state that was read
    std::set<std::pair<base::WallTime, std::string>> ticks_;  // the same, the next first
    WatchFigures figures_;
    std::vector<std::thread> threads_;
};

}  // namespace signalbox::app
