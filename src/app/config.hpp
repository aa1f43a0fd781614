#pragma once
// The daemon's and the command line's configuration file (YAML), read whole with every fault at once.

#include <string>
#include <vector>

#include "adapters/yaml/document.hpp"
#include "app/config_actions.hpp"
#include "app/config_alarms.hpp"
#include "app/config_channels.hpp"
#include "app/config_clusters.hpp"
#include "app/config_jobs.hpp"
#include "app/config_sinks.hpp"
#include "app/config_tables.hpp"
#include "base/error.hpp"
#include "domain/clusters/config.hpp"
#include "domain/routing/endpoint.hpp"

namespace signalbox::app {

struct ApiConfig {
    std::string listen = "127.0.0.1:7070";  // host:port or unix:PATH
    std::string token_file;                 // default: beside the store, mode 0600, made at the first start
};

struct Config {
    std::string file;
    std::string store = "signalbox.db";  // relative paths are relative to the configuration file's folder
    ApiConfig api;
    std::size_t shards = 0;  // relay threads; 0: one per core
    std::vector<clusters::ClusterConfig> clusters;
    std::vector<routing::EndpointConfig> endpoints;
    std::vector<channels::ChannelConfig> channels;
    JobsConfig jobs;
    std::vector<CatalogConfig> catalogs;
    SinksConfig sinks;
    engine::TableLoopConfig watch;  // alarms, actions, and how a table is first looked at
};

// Errors: InvalidConfig with one "FILE:LINE: …" per fault, all of them.
base::Result<Config> load_config(const std::string& path, Secrets secrets = Secrets::Read);

}  // namespace signalbox::app
