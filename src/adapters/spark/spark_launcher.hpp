#pragma once
// Spark applications over any other launcher: each node runs `signalbox spark-node`, which takes the node's part in a
// standalone cluster of the run's own nodes. Everything that is no Spark application is passed on.

#include <memory>
#include <string>

#include "ports/run_launcher.hpp"

namespace signalbox::spark {

class SparkLauncher final : public ports::RunLauncher {
  public:
    // program: the signalbox that nodes run.
    SparkLauncher(std::unique_ptr<ports::RunLauncher> nodes, std::string program)
        : nodes_(std::move(nodes)), program_(std::move(program)) {}

    // Refused if the node's part can't be written into the run's folder.
    jobs::LaunchResult launch(const ports::NodeLaunch& node) override;
    base::Result<std::vector<jobs::NodeProcess>> list(const jobs::Run& run) override { return nodes_->list(run); }
    base::Result<std::vector<jobs::NodeProcess>> list_all() override { return nodes_->list_all(); }
    base::Status stop(const std::vector<std::string>& processes, base::Duration grace) override {
        return nodes_->stop(processes, grace);
    }

  private:
    std::unique_ptr<ports::RunLauncher> nodes_;
    std::string program_;
};

}  // namespace signalbox::spark
