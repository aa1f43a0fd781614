#include "app/job_context.hpp"

#include <filesystem>
#include <random>

#include "adapters/netfacts/file_facts.hpp"
#include "adapters/netfacts/host_facts.hpp"
#include "adapters/netfacts/lab_facts.hpp"
#include "adapters/process/host_launcher.hpp"
#include "adapters/process/lab_launcher.hpp"
#include "adapters/process/run_files.hpp"
#include "adapters/process/strategy_program.hpp"
#include "adapters/spark/spark_launcher.hpp"

namespace signalbox::app {

base::WallTime wall_clock() { return std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now()); }

base::json::object pause_json(const ports::JobPause& pause) {
    return {{"job", pause.job}, {"by", pause.by}, {"reason", pause.reason}, {"at", base::format_time(pause.at)}};
}

std::string new_run_id() {
    std::random_device device;
    std::string bytes;
    for (int i = 0; i < 32; ++i) bytes += static_cast<char>(device() & 0xFF);
    return jobs::run_id(bytes);
}

std::string runs_directory(const Config& config) {
    const auto store = std::filesystem::absolute(config.store).lexically_normal();
    return (store.parent_path() / "runs").string();
}

std::string run_directory(const Config& config, const std::string& run_id) {
    return runs_directory(config) + "/" + run_id;
}

std::unique_ptr<ports::NetworkFacts> open_facts(const JobsConfig& jobs) {
    if (jobs.lab) return std::make_unique<netfacts::LabFacts>(jobs.lab->socket);
    if (!jobs.host) return nullptr;
    if (jobs.host->facts.empty()) return std::make_unique<netfacts::HostFacts>();
    return std::make_unique<netfacts::FileFacts>(jobs.host->facts);
}

namespace {

std::unique_ptr<ports::RunLauncher> open_launcher(const Config& config) {
    std::error_code ignored;
    const std::string program = std::filesystem::read_symlink("/proc/self/exe", ignored).string();
    std::unique_ptr<ports::RunLauncher> nodes;
    if (config.jobs.lab) {
        nodes = std::make_unique<process::LabLauncher>(config.jobs.lab->socket, program);
    } else {
        nodes = std::make_unique<process::HostLauncher>(process::HostLauncherOptions{program, runs_directory(config)});
    }
    return std::make_unique<spark::SparkLauncher>(std::move(nodes), program);
}

}  // namespace

base::Result<std::unique_ptr<JobContext>> open_jobs(Config config) {
    if (!config.jobs.has_provider()) {
        return base::fail(base::ErrorKind::NotSupported,
                          "{}: there is no provider to run jobs on; add 'provider: {{lab: {{socket: PATH}}}}', or "
                          "'provider: {{host: {{}}}}' for plain processes on this host",
                          config.file);
    }
    auto context = std::make_unique<JobContext>();
    SB_TRY(auto database, sqlite::Database::open(config.store));
    SB_TRY(context->journal, sqlite::JournalStore::open(database));
    SB_TRY(context->store, sqlite::RunStore::open(std::move(database)));
    context->facts = open_facts(config.jobs);
    context->launcher = open_launcher(config);
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
