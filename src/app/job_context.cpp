#include "app/job_context.hpp"

#include <filesystem>
#include <random>

#include "adapters/netfacts/lab_facts.hpp"
#include "adapters/process/lab_launcher.hpp"
#include "adapters/process/run_files.hpp"
#include "adapters/process/strategy_program.hpp"

namespace signalbox::app {

base::WallTime wall_clock() { return std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now()); }

std::string new_run_id() {
    std::random_device device;
    std::string bytes;
    for (int i = 0; i < 32; ++i) bytes += static_cast<char>(device() & 0xFF);
    return jobs::run_id(bytes);
}

std::string run_directory(const Config& config, const std::string& run_id) {
    const auto store = std::filesystem::absolute(config.store).lexically_normal();
    return (store.parent_path() / "runs" / run_id).string();
}

base::Result<std::unique_ptr<JobContext>> open_jobs(Config config) {
    if (!config.jobs.lab) {
        return base::fail(base::ErrorKind::NotSupported,
                          "{}: there is no provider to run jobs on; add 'provider: {{lab: {{socket: PATH}}}}' (jobs as "
                          "plain processes, without a lab, are not supported yet)",
                          config.file);
    }
    auto context = std::make_unique<JobContext>();
    SB_TRY(auto database, sqlite::Database::open(config.store));
    SB_TRY(context->journal, sqlite::JournalStore::open(database));
    SB_TRY(context->store, sqlite::RunStore::open(std::move(database)));
    std::error_code ignored;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", ignored);
    const std::string& socket = config.jobs.lab->socket;
    context->facts = std::make_unique<netfacts::LabFacts>(socket);
    context->launcher = std::make_unique<process::LabLauncher>(socket, program.string());
    context->files = std::make_unique<process::RunFiles>();
    const auto folder = std::filesystem::absolute(config.file).parent_path();
    context->program = std::make_unique<process::StrategyProgram>(folder.string());
    engine::RunLoopConfig loop;
    loop.owner = sqlite::lease_owner();
    context->loop = std::make_unique<engine::RunLoop>(
        engine::RunPorts{*context->store, *context->facts, *context->launcher, *context->files, *context->program},
        loop, &wall_clock);
    context->config = std::move(config);
    return context;
}

}  // namespace signalbox::app
