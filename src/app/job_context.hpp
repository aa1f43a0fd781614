#pragma once
// The parts that drive runs, wired from a configuration: the store, the provider's adapters and the loop over them.

#include <memory>
#include <string>

#include "adapters/sqlite/journal.hpp"
#include "adapters/sqlite/run_store.hpp"
#include "app/config.hpp"
#include "engine/run_loop.hpp"
#include "ports/network_facts.hpp"
#include "ports/run_launcher.hpp"

namespace signalbox::app {

struct JobContext {
    Config config;
    std::unique_ptr<sqlite::RunStore> store;
    std::unique_ptr<ports::NetworkFacts> facts;
    std::unique_ptr<ports::RunLauncher> launcher;
    std::unique_ptr<ports::RunFiles> files;
    std::unique_ptr<ports::StrategyProgram> program;
    std::unique_ptr<sqlite::JournalStore> journal;
    std::unique_ptr<engine::RunLoop> loop;
};

// Opens the store. Errors: the store's; NotSupported if the configuration has no provider.
base::Result<std::unique_ptr<JobContext>> open_jobs(Config config);

// What the provider says of its networks; null if there is no provider.
std::unique_ptr<ports::NetworkFacts> open_facts(const JobsConfig& jobs);

base::WallTime wall_clock();

// {"job", "by", "reason", "at"}, as commands and the API show a pause.
base::json::object pause_json(const ports::JobPause& pause);

// "jr_…", drawn at random.
std::string new_run_id();
// Where the logs and exit statuses of all runs go, beside the store, and of one run.
std::string runs_directory(const Config& config);
std::string run_directory(const Config& config, const std::string& run_id);

}  // namespace signalbox::app
