#pragma once
// Starts, lists and stops the nodes of runs.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"
#include "domain/jobs/lifecycle.hpp"

namespace signalbox::ports {

// One node to launch. The token makes it idempotent: however often it is launched, it starts at most once.
struct NodeLaunch {
    std::string token;
    std::string name;  // for people, in the provider's lists
    int rank = 0;
    int size = 1;  // how many nodes the run has
    std::string subnet;
    std::vector<std::string> security_groups;
    std::vector<std::string> command;
    std::optional<jobs::SparkApplication> spark;  // in place of the command; for a launcher that knows Spark
    std::vector<std::pair<std::string, std::string>> environment;
    std::string directory;      // where the command runs
    std::string run_directory;  // where its log and exit status go; exists
    base::Duration timeout{};   // ends the command; 0: never
};

// Calls block, each within a deadline of its own of at most 20 s.
class RunLauncher {
  public:
    virtual ~RunLauncher() = default;
    virtual jobs::LaunchResult launch(const NodeLaunch& node) = 0;
    // All processes that the launcher knows whose token begins with the run's id, running or ended, each ended one with
    // its exit as the supervisor recorded it. An error: it can't be known now.
    virtual base::Result<std::vector<jobs::NodeProcess>> list(const jobs::Run& run) = 0;
    // All processes of all runs, without their exits.
    virtual base::Result<std::vector<jobs::NodeProcess>> list_all() = 0;
    // Asks the processes to stop, all at once, and kills what is left after the grace. Returns when they are gone and
    // their addresses free. Processes that have ended already, or that nobody knows, are no error.
    virtual base::Status stop(const std::vector<std::string>& processes, base::Duration grace) = 0;
};

}  // namespace signalbox::ports
