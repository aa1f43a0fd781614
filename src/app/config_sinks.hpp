#pragma once
// The `sinks` part of the configuration file.

#include <optional>
#include <string>

#include "adapters/sinks/otlp.hpp"
#include "adapters/yaml/document.hpp"
#include "app/config_clusters.hpp"

namespace signalbox::app {

struct JsonLinesConfig {
    std::string path;
    std::size_t partitions_max = 100;
};

struct SinksConfig {
    std::size_t prometheus_partitions_max = 20;  // the page itself is always there
    std::optional<JsonLinesConfig> json_lines;
    std::optional<sinks::OtlpOptions> otlp;
};

// Reads the key `sinks` of the root; faults are collected by the reader. With Secrets::Skip no headers are read.
SinksConfig read_sinks(yaml::Reader& root, const std::string& config_file, Secrets secrets);

}  // namespace signalbox::app
