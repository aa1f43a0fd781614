#pragma once
// What a node of a Spark run executes, as a function of its role: rank 0 runs a standalone master and the driver, the
// others a worker each, every one bound to its own address; a run of one node needs no cluster. Nothing passes through
// a shell. What may hold a secret is in properties files, never in a command, which every user of the host can read.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "domain/jobs/job.hpp"

namespace signalbox::spark {

using Properties = std::vector<std::pair<std::string, std::string>>;

// Where a node stands in its run.
struct Role {
    int rank = 0;
    int size = 1;
    std::string address;  // its own
};

// What master, workers and driver share. Made by the driver's node, read by the others.
struct Cluster {
    std::string master;  // "spark://10.0.1.7:7077"
    std::string secret;  // without it nobody joins: another run on the host could else use the workers
};

// Properties that follow from the run and may not be configured: "spark.master", the driver's addresses, ….
bool is_reserved(const std::string& property);

// The configured ones over the defaults, under what follows from the role. `cluster` is not used for a run of one node.
Properties driver_properties(const jobs::SparkApplication& application, const Role& role, const Cluster& cluster);
// Of the master and the workers.
Properties daemon_properties(const Cluster& cluster);
// As java.util.Properties reads it, whatever the values hold. Keys have no white space (checked in the configuration).
std::string properties_text(const Properties& properties);

// `home`: of the Spark distribution. `properties`: the path of a file with the fitting properties.
std::vector<std::string> driver_command(const jobs::SparkApplication& application, const std::string& home,
                                        const std::string& properties);
std::vector<std::string> master_command(const Role& role, std::uint16_t port, const std::string& home,
                                        const std::string& properties);
// `work`: the folder for the executors' output.
std::vector<std::string> worker_command(const jobs::SparkApplication& application, const Role& role,
                                        const Cluster& cluster, const std::string& home, const std::string& properties,
                                        const std::string& work);

// For every process of the node, unless its environment has them already.
std::vector<std::pair<std::string, std::string>> environment(const jobs::SparkApplication& application,
                                                             const Role& role, const std::string& home,
                                                             const std::string& scratch);

}  // namespace signalbox::spark
