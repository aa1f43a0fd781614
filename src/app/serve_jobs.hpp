#pragma once
// The daemon's part in job runs: a thread that reconciles all active runs each second, so that queued runs start,
// failed ones are tried again and ended ones are noted without anybody's command; and the API's questions about them.
// Make one when the configuration has a provider.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "adapters/sqlite/run_store.hpp"
#include "api/api.hpp"
#include "app/config.hpp"

namespace signalbox::app {

class RunDriver final : public api::JobSource {
  public:
    // Starts the thread, with a connection of its own to the store. Errors: the store's. Null if the configuration has
    // no provider. What goes wrong later is logged, once per change.
    static base::Result<std::unique_ptr<RunDriver>> start(const Config& config);
    // Ends the thread after the pass under way.
    ~RunDriver() override;
    RunDriver(const RunDriver&) = delete;
    RunDriver& operator=(const RunDriver&) = delete;

    // The jobs of a configuration that was read again, for submissions from now on. The provider and the store stay.
    void configure(const Config& config);

    // For the API's threads: what is asked for is stored, and the thread is woken to do it.
    base::json::array jobs() override;
    base::Result<base::json::array> runs(const std::string& job, std::size_t limit) override;
    base::Result<api::RunStarted> start_run(const api::RunRequest& request) override;
    base::Result<base::json::object> run(const std::string& id) override;
    base::Result<base::json::object> stop_run(const std::string& id) override;
    base::Result<base::json::object> pause_job(const std::string& job, const std::string& reason) override;
    base::Result<base::json::object> resume_job(const std::string& job) override;

  private:
    explicit RunDriver(Config config) : config_(std::move(config)) {}
    void drive(struct JobContext& context);
    void wake();
    base::Result<jobs::Job> find(const std::string& job);

    std::mutex config_mutex_;
    Config config_;
    std::unique_ptr<sqlite::RunStore> store_;  // the API's own connection, safe from several threads
    std::mutex mutex_;
    std::condition_variable ending_;
    bool end_ = false;
    bool wake_ = false;
    std::thread thread_;
};

}  // namespace signalbox::app
