#pragma once
// What a node of a Spark run is told, and what its nodes tell each other: files in the run's folder, readable by their
// owner alone, since a Spark configuration may hold secrets.

#include <optional>
#include <string>

#include "adapters/spark/commands.hpp"
#include "base/error.hpp"
#include "domain/jobs/job.hpp"

namespace signalbox::spark {

// rank-N.spark: written by the launcher before the node is launched.
struct NodeSpec {
    jobs::SparkApplication application;
    int size = 1;
    std::string driver_token;  // of rank 0: by it a worker knows its own run's driver
};

base::Status write_spec(const std::string& run_directory, int rank, const NodeSpec& spec);
base::Result<NodeSpec> read_spec(const std::string& run_directory, int rank);

// spark-cluster: written by the driver's node once its master listens.
std::string cluster_path(const std::string& run_directory);
base::Status write_cluster(const std::string& run_directory, const std::string& driver_token, const Cluster& cluster);
// Nothing if there is none yet of that driver. CorruptData if it is not understood.
base::Result<std::optional<Cluster>> read_cluster(const std::string& run_directory, const std::string& driver_token);

}  // namespace signalbox::spark
