#pragma once
// The part of the configuration that concerns jobs: the provider, connections and jobs.

#include <optional>
#include <string>
#include <vector>

#include "adapters/yaml/document.hpp"
#include "domain/jobs/job.hpp"

namespace signalbox::app {

struct LabProvider {
    std::string socket;  // of the lab's API
};

// Plain processes on this host.
struct HostProvider {
    std::string facts;  // the path of a file with the networks' facts; empty: one network `host`, in which all is well
};

struct JobsConfig {
    std::optional<LabProvider> lab;  // at most one provider
    std::optional<HostProvider> host;
    bool has_provider() const { return lab || host; }
    std::vector<jobs::Connection> connections;
    std::vector<jobs::Job> jobs;  // each with its connections resolved, in its order

    const jobs::Job* find(const std::string& name) const;
};

// Reads the keys `provider`, `connections` and `jobs` of the root; faults are collected by the reader. `sources`: the
// endpoints and clusters that can be named as data sources, with their addresses.
JobsConfig read_jobs(yaml::Reader& root, const std::string& config_file, const std::vector<jobs::Source>& sources);

// A job's key `retry`; its defaults where it is missing.
jobs::RetryPolicy read_retry(yaml::Reader& job);

}  // namespace signalbox::app
