#pragma once
// The daemon's part in job runs: a thread that reconciles all active runs each second, so that queued runs start and
// ended ones are noted without anybody's command. Make one when the configuration has a provider.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "app/config.hpp"

namespace signalbox::app {

class RunDriver {
  public:
    // Starts the thread, with a connection of its own to the store. Errors: the store's. Null if the configuration has
    // no provider. What goes wrong later is logged, once per change.
    static base::Result<std::unique_ptr<RunDriver>> start(const Config& config);
    // Ends the thread after the pass under way.
    ~RunDriver();
    RunDriver(const RunDriver&) = delete;
    RunDriver& operator=(const RunDriver&) = delete;

  private:
    RunDriver() = default;
    void drive(struct JobContext& context);

    std::mutex mutex_;
    std::condition_variable ending_;
    bool end_ = false;
    std::thread thread_;
};

}  // namespace signalbox::app
