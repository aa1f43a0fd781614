#pragma once
// Nodes of runs as processes in the lab (docs/reference/lab-api.md): each command is wrapped in `signalbox supervise`,
// which keeps its exit status in the run's folder whatever becomes of us.

#include <string>
#include <vector>

#include "adapters/http/client.hpp"
#include "ports/run_launcher.hpp"

namespace signalbox::process {

class LabLauncher final : public ports::RunLauncher {
  public:
    // socket: the path of the lab's API socket. program: the signalbox that supervises.
    LabLauncher(const std::string& socket, std::string program)
        : base_url_("unix:" + socket), program_(std::move(program)) {}

    jobs::LaunchResult launch(const ports::NodeLaunch& node) override;
    base::Result<std::vector<jobs::NodeProcess>> list(const jobs::Run& run) override;
    base::Result<std::vector<jobs::NodeProcess>> list_all() override;
    base::Status stop(const std::vector<std::string>& processes, base::Duration grace) override;

  private:
    std::string base_url_;
    std::string program_;
};

}  // namespace signalbox::process
