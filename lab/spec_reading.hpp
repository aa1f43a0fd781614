#pragma once
// What the readers of a lab file's parts share, and the part of network ACLs.

#include <optional>
#include <string>
#include <vector>

#include "adapters/yaml/document.hpp"
#include "lab/spec.hpp"

namespace signalbox::lab {

template <typename T>
std::vector<std::string> names_of(const std::vector<T>& items) {
    std::vector<std::string> names;
    for (const auto& item : items) names.push_back(item.name);
    return names;
}

// A fault at the key if there is no such name; `what`: what it would be the name of.
void need_known(yaml::Reader& at, const std::string& key, const std::string& what, const std::string& name,
                const std::vector<std::string>& known);
// An IPv4 range; nothing, with a fault, if it is none.
std::optional<Cidr> read_cidr(yaml::Reader& at, const std::string& key);
// `network`, which may be left out when there is only one.
std::string network_of(yaml::Reader& at, const LabSpec& spec);
// `protocol`, and `port` or `port_from` and `port_to`.
void read_ports(yaml::Reader& at, std::string& protocol, int& port_from, int& port_to);
// `network_acls`; needs the networks and subnets of the spec.
void read_acls(yaml::Reader& root, LabSpec& spec);

}  // namespace signalbox::lab
