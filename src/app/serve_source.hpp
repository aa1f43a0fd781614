#pragma once
// What the daemon's API knows: the follower's snapshot, the endpoints' figures, the journal.

#include <atomic>
#include <mutex>

#include "api/api.hpp"
#include "api/event.hpp"
#include "app/serve_channels.hpp"
#include "app/serve_follower.hpp"
#include "app/serve_outputs.hpp"
#include "app/serve_tables.hpp"

namespace signalbox::app {

class DaemonSource final : public api::Source {
  public:
    DaemonSource(Follower& follower, Channels& channels, ports::Journal& journal, base::WallTime started_at)
        : follower_(follower), channels_(channels), journal_(journal), started_at_(started_at) {}

    base::json::object status() override;
    std::string metrics() override;
    base::Result<std::vector<ports::JournalEntry>> journal(const ports::JournalQuery& query) override {
        return journal_.read(query);
    }
    base::Result<bool> event(const ports::ExternalEvent& event) override;
    base::Status switchover(const ports::SwitchoverRequest& request) override;
    base::Status acknowledge_channel(const std::string& channel) override { return channels_.acknowledge(channel); }
    api::JobSource* job_source() override { return runs_.load(); }
    // Known only once it runs; outlives the API.
    void set_runs(api::JobSource* runs) { runs_ = runs; }
    api::TableSource* table_source() override { return tables_.load(); }
    void set_tables(TableWatcher* tables, Outputs* outputs) {
        tables_ = tables;
        outputs_ = outputs;
    }
    void count_reload(bool good) { ++(good ? reloads_ : reloads_failed_); }

  private:
    Follower& follower_;
    Channels& channels_;
    ports::Journal& journal_;
    const base::WallTime started_at_;
    std::atomic<api::JobSource*> runs_{nullptr};
    std::atomic<TableWatcher*> tables_{nullptr};
    std::atomic<Outputs*> outputs_{nullptr};
    std::mutex limit_mutex_;
    api::EventLimit limit_;
    std::atomic<std::uint64_t> reloads_{0};
    std::atomic<std::uint64_t> reloads_failed_{0};
};

}  // namespace signalbox::app
