#pragma once
// The parts that drive runs, wired from a configuration: the store, the provider's adapters and the loop over them.

#include <memory>
#include <string>

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
    std::unique_ptr<engine::RunLoop> loop;

    // Beside the store.
    std::string runs_directory() const;
    // Where the logs and exit statuses of a new run go.
    std::string run_directory(const std::string& run_id) const;
};

// Opens the store. Errors: the store's; NotSupported if the configuration has no provider.
base::Result<std::unique_ptr<JobContext>> open_jobs(Config config);

base::WallTime wall_clock();

}  // namespace signalbox::app
