#pragma once
// What leaves the watcher: alarms' actions and metrics for sinks, each driven by a thread of its own, since a receiver
// may take long.

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "adapters/prometheus/text.hpp"
#include "adapters/sqlite/action_queue.hpp"
#include "adapters/sqlite/lake_store.hpp"
#include "adapters/sqlite/run_store.hpp"
#include "app/config.hpp"
#include "engine/action_loop.hpp"
#include "engine/sink_loop.hpp"

namespace signalbox::app {

class Outputs {
  public:
    // Starts the threads. Errors: the store's.
    static base::Result<std::unique_ptr<Outputs>> start(const Config& config);
    // Ends them: a command that runs is ended, too, and its action is tried again by the next daemon.
    ~Outputs();
    Outputs(const Outputs&) = delete;
    Outputs& operator=(const Outputs&) = delete;

    // The actions of a configuration that was read again. Sinks change at a restart only.
    void configure(const Config& config);
    void add_metrics(prometheus_text::Page& page);

  private:
    Outputs() = default;
    base::Status open(const Config& config);
    std::vector<engine::ConfiguredAction> make_actions(const Config& config);
    void run_actions();
    void feed_sinks();
    bool wait();

    std::unique_ptr<sqlite::ActionQueue> queue_;
    std::unique_ptr<sqlite::RunStore> runs_;
    std::unique_ptr<sqlite::LakeStore> sink_store_;
    std::unique_ptr<engine::SinkLoop> sinks_;
    std::mutex mutex_;
    std::condition_variable ending_;
    std::atomic<bool> end_{false};
    Config config_;
    bool fresh_ = false;  // config_ is newer than what the loop has
    std::atomic<std::uint64_t> actions_done_{0};
    std::atomic<std::uint64_t> actions_failed_{0};
    std::atomic<std::uint64_t> commits_written_{0};
    std::thread actions_thread_;
    std::thread sinks_thread_;
};

}  // namespace signalbox::app
