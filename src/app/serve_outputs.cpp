#include "app/serve_outputs.hpp"

#include <spdlog/spdlog.h>

#include "adapters/sinks/json_lines.hpp"
#include "adapters/sinks/otlp.hpp"
#include "app/action_runners.hpp"
#include "app/job_context.hpp"

namespace signalbox::app {
namespace {

using base::Result;
using base::Status;

constexpr auto interval = std::chrono::seconds(1);

}  // namespace

Result<std::unique_ptr<Outputs>> Outputs::start(const Config& config) {
    std::unique_ptr<Outputs> outputs(new Outputs());
    SB_CHECK(outputs->open(config));
    Outputs* const self = outputs.get();
    self->actions_thread_ = std::thread([self] { self->run_actions(); });
    self->sinks_thread_ = std::thread([self] { self->feed_sinks(); });
    return outputs;
}

Status Outputs::open(const Config& config) {
    config_ = config;
    fresh_ = true;
    SB_TRY(auto for_actions, sqlite::Database::open(config.store));
    SB_TRY(queue_, sqlite::ActionQueue::open(for_actions));
    SB_TRY(runs_, sqlite::RunStore::open(for_actions));
    SB_TRY(auto for_sinks, sqlite::Database::open(config.store));
    SB_TRY(sink_store_, sqlite::LakeStore::open(std::move(for_sinks)));
    sinks_ = std::make_unique<engine::SinkLoop>(*sink_store_);
    std::map<std::string, std::shared_ptr<ports::MetricSink>> sinks;
    if (config.sinks.json_lines) {
        const JsonLinesConfig& lines = *config.sinks.json_lines;
        sinks["json_lines"] = std::make_shared<sinks::JsonLines>(lines.path, lines.partitions_max);
    }
    if (config.sinks.otlp) sinks["otlp"] = std::make_shared<sinks::Otlp>(*config.sinks.otlp);
    return sinks_->configure(std::move(sinks));
}

Outputs::~Outputs() {
    {
        const std::lock_guard guard(mutex_);
        end_ = true;
    }
    ending_.notify_all();
    if (actions_thread_.joinable()) actions_thread_.join();
    if (sinks_thread_.joinable()) sinks_thread_.join();
}

void Outputs::configure(const Config& config) {
    const std::lock_guard guard(mutex_);
    config_ = config;
    fresh_ = true;
}

std::vector<engine::ConfiguredAction> Outputs::make_actions(const Config& config) {
    const engine::JobActionPorts jobs = job_action_ports(config, *runs_);
    std::vector<engine::ConfiguredAction> actions;
    for (const alarms::ActionConfig& action : config.watch.actions)
        actions.push_back({action, make_runner(action, jobs, [this] { return end_.load(); })});
    return actions;
}

bool Outputs::wait() {
    std::unique_lock lock(mutex_);
    ending_.wait_for(lock, interval, [this] { return end_.load(); });
    return !end_;
}

void Outputs::run_actions() {
    engine::ActionLoop loop(
        *queue_, {sqlite::lease_owner()}, [] { return wall_clock(); },
        static_cast<std::uint64_t>(wall_clock().time_since_epoch().count()));
    std::string last;
    do {
        {
            const std::lock_guard guard(mutex_);
            if (fresh_) loop.configure(make_actions(config_));
            fresh_ = false;
        }
        const auto pass = loop.run_due([this] { return end_.load(); });
        const std::string trouble = pass ? std::string() : pass.error().text();
        if (pass) {
            actions_done_ += pass->done;
            actions_failed_ += pass->again + pass->ended;
        }
        if (trouble != last && !trouble.empty()) spdlog::warn("actions: {}", trouble);
        last = trouble;
    } while (wait());
}

void Outputs::feed_sinks() {
    std::string last;
    do {
        for (;;) {
            const auto written = sinks_->run_once();
            const std::string trouble = written ? std::string() : written.error().text();
            if (trouble != last && !trouble.empty()) spdlog::warn("sinks: {}", trouble);
            if (trouble != last && trouble.empty()) spdlog::info("sinks take metrics again");
            last = trouble;
            if (written) commits_written_ += *written;
            if (!written || *written == 0 || end_) break;
        }
    } while (wait());
}

void Outputs::add_metrics(prometheus_text::Page& page) {
    page.counter("signalbox_actions_done_total", "Actions of alarms that were done", {},
                 static_cast<double>(actions_done_));
    page.counter("signalbox_actions_not_done_total", "Tries of actions that were put off, refused or given up", {},
                 static_cast<double>(actions_failed_));
    page.counter("signalbox_sink_commits_total", "Commits written to sinks, each sink's counted", {},
                 static_cast<double>(commits_written_));
}

}  // namespace signalbox::app
