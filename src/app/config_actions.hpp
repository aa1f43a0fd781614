#pragma once
// The `actions` part of the configuration file.

#include <string>
#include <vector>

#include "adapters/yaml/document.hpp"
#include "app/config_clusters.hpp"
#include "app/config_jobs.hpp"
#include "domain/alarms/action_policy.hpp"

namespace signalbox::app {

// Reads the key `actions` of the root; faults are collected by the reader. With Secrets::Skip no secret is read.
std::vector<alarms::ActionConfig> read_actions(yaml::Reader& root, const std::string& config_file,
                                               const JobsConfig& jobs, Secrets secrets);

// "10/h", "1/30m": a count and an interval, or a unit of one. Errors: InvalidConfig.
base::Result<alarms::RateLimit> parse_rate_limit(const std::string& text);

}  // namespace signalbox::app
