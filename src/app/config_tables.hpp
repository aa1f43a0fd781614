#pragma once
// The `catalogs` part of the configuration file: where the watched tables are registered.

#include <chrono>
#include <string>
#include <variant>
#include <vector>

#include "adapters/catalogs/rest_session.hpp"
#include "adapters/catalogs/sql_catalog.hpp"
#include "adapters/iceberg/folder_walk.hpp"
#include "adapters/yaml/document.hpp"
#include "app/config_clusters.hpp"
#include "base/time.hpp"

namespace signalbox::app {

struct CatalogConfig {
    std::string name;
    base::Duration poll_interval = std::chrono::seconds(60);
    double poll_jitter = 0.1;
    std::variant<iceberg::FolderConfig, catalogs::SqlConfig, catalogs::RestConfig> adapter;
};

// Reads the key `catalogs` of the root; faults are collected by the reader.
std::vector<CatalogConfig> read_catalogs(yaml::Reader& root, const std::string& config_file, Secrets secrets);

}  // namespace signalbox::app
