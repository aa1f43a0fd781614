#include "app/serve_jobs.hpp"

#include <spdlog/spdlog.h>

#include "app/job_context.hpp"

namespace signalbox::app {
namespace {

constexpr auto interval = std::chrono::seconds(1);

}  // namespace

base::Result<std::unique_ptr<RunDriver>> RunDriver::start(const Config& config) {
    if (!config.jobs.has_provider()) return std::unique_ptr<RunDriver>();
    SB_TRY(std::shared_ptr<JobContext> context, open_jobs(config));
    std::unique_ptr<RunDriver> driver(new RunDriver());
    driver->thread_ = std::thread([self = driver.get(), context] { self->drive(*context); });
    return driver;
}

RunDriver::~RunDriver() {
    {
        const std::lock_guard guard(mutex_);
        end_ = true;
    }
    ending_.notify_all();
    if (thread_.joinable()) thread_.join();
}

void RunDriver::drive(JobContext& context) {
    std::string last;
    for (;;) {
        const auto status = context.loop->reconcile_all();
        const std::string trouble = status ? context.loop->trouble() : status.error().text();
        if (trouble != last && !trouble.empty()) spdlog::warn("job runs: {}", trouble);
        if (trouble != last && trouble.empty()) spdlog::info("job runs: the provider answers again");
        last = trouble;
        std::unique_lock lock(mutex_);
        if (ending_.wait_for(lock, interval, [this] { return end_; })) return;
    }
}

}  // namespace signalbox::app
