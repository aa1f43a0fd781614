#pragma once
// The `clusters` and `endpoints` parts of the configuration file.

#include <string>
#include <vector>

#include "adapters/yaml/document.hpp"
#include "domain/clusters/config.hpp"
#include "domain/routing/endpoint.hpp"

namespace signalbox::app {

// Whether passwords are needed: a command that only asks the daemon has no use for them, nor perhaps the right to them.
enum class Secrets { Read, Skip };

// A path of the file made relative to the file's folder, unless it is absolute.
std::string resolve_path(const std::string& config_file, const std::string& path);
// STEM_file or STEM_env of a mapping, for example of the stem "token"; empty if neither is given, or with
// Secrets::Skip. Faults name the place.
std::string read_secret(yaml::Reader& reader, const std::string& stem, const std::string& config_file, Secrets secrets);
// password_file or password_env of a mapping; empty if neither is given, or with Secrets::Skip. Faults name the place.
std::string read_password(yaml::Reader& reader, const std::string& config_file, Secrets secrets);
// Whether a host is this machine alone: an address of the loopback network, or localhost. A name that begins like such
// an address is not.
bool is_this_machine(const std::string& host);
// An IP address, not a name; a fault otherwise.
base::HostPort need_ip_address(yaml::Reader& reader, const std::string& key);

std::vector<clusters::ClusterConfig> read_clusters(yaml::Reader& root, const std::string& config_file, Secrets secrets);
std::vector<routing::EndpointConfig> read_endpoints(yaml::Reader& root, const std::string& config_file,
                                                    const std::vector<clusters::ClusterConfig>& clusters);

}  // namespace signalbox::app
