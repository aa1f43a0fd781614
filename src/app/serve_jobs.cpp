#include "app/serve_jobs.hpp"

#include <map>
#include <spdlog/spdlog.h>

#include "app/job_context.hpp"
#include "domain/jobs/job_json.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;

constexpr auto interval = std::chrono::seconds(1);

}  // namespace

base::Result<std::unique_ptr<RunDriver>> RunDriver::start(const Config& config) {
    if (!config.jobs.has_provider()) return std::unique_ptr<RunDriver>();
    SB_TRY(std::shared_ptr<JobContext> context, open_jobs(config));
    std::unique_ptr<RunDriver> driver(new RunDriver(config));
    SB_TRY(auto database, sqlite::Database::open(config.store));
    SB_TRY(driver->store_, sqlite::RunStore::open(std::move(database)));
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
        ending_.wait_for(lock, interval, [this] { return end_ || wake_; });
        if (end_) return;
        wake_ = false;
    }
}

void RunDriver::wake() {
    {
        const std::lock_guard guard(mutex_);
        wake_ = true;
    }
    ending_.notify_all();
}

void RunDriver::configure(const Config& config) {
    const std::lock_guard guard(config_mutex_);
    config_.jobs = config.jobs;
}

base::Result<jobs::Job> RunDriver::find(const std::string& job) {
    const std::lock_guard guard(config_mutex_);
    if (const jobs::Job* found = config_.jobs.find(job)) return *found;
    return base::fail(base::ErrorKind::NotFound, "there is no job '{}'", job);
}

json::array RunDriver::jobs() {
    const std::lock_guard guard(config_mutex_);
    json::array items;
    std::map<std::string, ports::JobPause> pauses;
    // A store that can't be read now is told by whatever is asked of it next.
    if (const auto standing = store_->paused())
        for (const ports::JobPause& pause : *standing) pauses.emplace(pause.job, pause);
    for (const jobs::Job& job : config_.jobs.jobs) {
        json::object item = jobs::to_json(job, jobs::Secrets::LeftOut);
        if (const auto pause = pauses.find(job.name); pause != pauses.end()) item["paused"] = pause_json(pause->second);
        items.push_back(std::move(item));
    }
    return items;
}

base::Result<json::array> RunDriver::runs(const std::string& job, std::size_t limit) {
    SB_CHECK(find(job));
    ports::RunQuery query;
    query.job = job;
    query.limit = limit;
    SB_TRY(const auto runs, store_->list(query));
    json::array items;
    for (const jobs::Run& run : runs) items.push_back(jobs::describe(run));
    return items;
}

base::Result<api::RunStarted> RunDriver::start_run(const api::RunRequest& request) {
    SB_TRY(const jobs::Job job, find(request.job));
    const std::string id = new_run_id();
    SB_TRY(const auto submitted,
           engine::submit_run(*store_,
                              {job, id, run_directory(config_, id), request.arguments, request.key, request.force},
                              wall_clock()));
    wake();
    return api::RunStarted{jobs::describe(submitted.run), submitted.created};
}

base::Result<json::object> RunDriver::run(const std::string& id) {
    SB_TRY(const jobs::Run run, store_->load(id));
    return jobs::describe(run);
}

base::Result<json::object> RunDriver::stop_run(const std::string& id) {
    SB_TRY(const jobs::Run run, engine::ask_to_stop(*store_, id, wall_clock()));
    if (jobs::is_final(run.state))
        return base::fail(base::ErrorKind::Conflict, "run {} has ended already: {}, {}", run.id,
                          jobs::to_string(run.state), run.reason);
    wake();
    return jobs::describe(run);
}

base::Result<json::object> RunDriver::pause_job(const std::string& job, const std::string& reason) {
    SB_CHECK(find(job));
    SB_TRY(const auto standing, store_->pause({job, "API", reason, wall_clock()}));
    return pause_json(standing);
}

base::Result<json::object> RunDriver::resume_job(const std::string& job) {
    SB_CHECK(find(job));
    SB_TRY(const auto ended, store_->resume(job, "API", wall_clock(), {}));
    if (!ended) return base::fail(base::ErrorKind::Conflict, "job '{}' is not paused", job);
    return pause_json(*ended);
}

}  // namespace signalbox::app
