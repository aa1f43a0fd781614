#include "app/job_context.hpp"

#include <filesystem>

#include "adapters/netfacts/host_facts.hpp"
#include "adapters/netfacts/lab_facts.hpp"
#include "adapters/process/host_launcher.hpp"
#include "adapters/process/lab_launcher.hpp"
#include "adapters/spark/spark_launcher.hpp"

namespace signalbox::app {

base::WallTime wall_clock() { return std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now()); }

std::string JobContext::runs_directory() const {
    const auto store = std::filesystem::absolute(config.store).lexically_normal();
    return (store.parent_path() / "runs").string();
}

std::string JobContext::run_directory(const std::string& run_id) const { return runs_directory() + "/" + run_id; }

namespace {

void open_provider(JobContext& context) {
    std::error_code ignored;
    const std::string program = std::filesystem::read_symlink("/proc/self/exe", ignored).string();
    std::unique_ptr<ports::RunLauncher> nodes;
    const JobsConfig& jobs = context.config.jobs;
    if (jobs.lab) {
        context.facts = std::make_unique<netfacts::LabFacts>(jobs.lab->socket);
        nodes = std::make_unique<process::LabLauncher>(jobs.lab->socket, program);
    } else {
        context.facts = std::make_unique<netfacts::HostFacts>();
        nodes = std::make_unique<process::HostLauncher>(
            process::HostLauncherOptions{program, context.runs_directory()});
    }
    context.launcher = std::make_unique<spark::SparkLauncher>(std::move(nodes), program);
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
    SB_TRY(context->store, sqlite::RunStore::open(std::move(database)));
    context->config = std::move(config);
    open_provider(*context);
    engine::RunLoopConfig loop;
    loop.owner = sqlite::lease_owner();
    context->loop =
        std::make_unique<engine::RunLoop>(*context->store, *context->facts, *context->launcher, loop, &wall_clock);
    return context;
}

}  // namespace signalbox::app
