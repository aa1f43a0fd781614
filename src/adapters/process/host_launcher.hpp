#pragma once
// Nodes of runs as plain processes on this host, without a lab. Each command is wrapped in `signalbox supervise
// --detach`, a process of its own session that outlives whoever launched it. What runs and what ran is read from the
// run's folder alone, so any process, also after a crash, knows as much as the one that launched.

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "adapters/process/supervisor_files.hpp"
#include "ports/run_launcher.hpp"

namespace signalbox::process {

struct HostLauncherOptions {
    std::string program;                // the signalbox that supervises
    std::string runs_root;              // holds the runs' folders, for list_all; need not exist
    std::string address = "127.0.0.1";  // of every node
};

class HostLauncher final : public ports::RunLauncher {
  public:
    explicit HostLauncher(HostLauncherOptions options) : options_(std::move(options)) {}

    // Started once the supervisor holds the node, which it can do once per token. Unknown: neither its word nor the
    // folder tells. The node's environment is the launch's own and nothing of the caller's.
    jobs::LaunchResult launch(const ports::NodeLaunch& node) override;
    // A killed supervisor is listed as Lost, after what it left running was killed. The processes' ids are the paths of
    // their files without the ending, "RUN_DIRECTORY/rank-N". Errors: files that are there can't be read, or what a
    // killed supervisor left does not end.
    base::Result<std::vector<jobs::NodeProcess>> list(const jobs::Run& run) override;
    base::Result<std::vector<jobs::NodeProcess>> list_all() override;
    // Ends the command's whole offspring: what belongs to the node is told by the token in its environment.
    base::Status stop(const std::vector<std::string>& processes, base::Duration grace) override;

  private:
    struct Seen {  // a run's folder when all its nodes had ended
        base::WallTime changed_at{};
        std::vector<jobs::NodeProcess> processes;
    };
    base::Result<std::optional<jobs::NodeProcess>> find(const std::string& run_directory, int rank,
                                                        const std::string& token) const;
    jobs::NodeProcess describe(const std::string& run_directory, int rank, const NodeFiles& files) const;
    base::Result<std::vector<jobs::NodeProcess>> list_folder(const std::string& folder) const;

    HostLauncherOptions options_;
    std::mutex mutex_;
    std::map<std::string, Seen> ended_;  // a folder in which nothing changed since is not read again
};

}  // namespace signalbox::process
