#pragma once
// What the user says of a cluster and how it is followed. Durations have the defaults of the reference manual.

#include <string>
#include <vector>

#include "base/text.hpp"
#include "base/time.hpp"

namespace signalbox::clusters {

enum class Engine { MariaDb };

struct MemberConfig {
    std::string name;
    base::HostPort address;
};

struct ProbeConfig {
    base::Duration calm = std::chrono::milliseconds(100);      // interval while nothing is unclear
    base::Duration fast = std::chrono::milliseconds(10);       // interval while anything is unclear; at most 20 ms
    base::Duration deadline = std::chrono::milliseconds(250);  // of one probe
    int misses = 1;  // failures in a row before a member counts as away; 1–100
};

struct ClusterConfig {
    std::string name;
    Engine engine = Engine::MariaDb;
    std::vector<MemberConfig> members;
    std::string user;
    std::string password;     // never printed
    std::string tls_ca_file;  // empty: plain
    ProbeConfig probe;
    base::Duration kill_deadline = std::chrono::milliseconds(500);  // for ending sessions on the former writer
};

}  // namespace signalbox::clusters
