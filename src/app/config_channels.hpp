#pragma once
// The `channels` part of the configuration file.

#include <string>
#include <vector>

#include "adapters/yaml/document.hpp"
#include "app/config_clusters.hpp"
#include "domain/channels/config.hpp"
#include "domain/clusters/config.hpp"
#include "domain/routing/endpoint.hpp"

namespace signalbox::app {

// Reads the key `channels` of the root; faults are collected by the reader. A slot without a user of its own gets its
// cluster's login; a replica's source is resolved from its endpoint.
std::vector<channels::ChannelConfig> read_channels(yaml::Reader& root, const std::string& config_file,
                                                   const std::vector<clusters::ClusterConfig>& clusters,
                                                   const std::vector<routing::EndpointConfig>& endpoints,
                                                   Secrets secrets);

}  // namespace signalbox::app
