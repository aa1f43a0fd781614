#pragma once
// What the user says of a cluster and how it is followed. Durations have the defaults of the reference manual.

#include <string>
#include <vector>

#include "base/text.hpp"
#include "base/time.hpp"

namespace signalbox::clusters {

enum class Engine { MariaDb, MySql, PostgreSql };

struct MemberConfig {
    std::string name;
    base::HostPort address;
    friend bool operator==(const MemberConfig&, const MemberConfig&) = default;
};

struct ProbeConfig {
    base::Duration calm = std::chrono::milliseconds(50);       // interval while nothing is unclear
    base::Duration fast = std::chrono::milliseconds(10);       // interval while anything is unclear; at most 20 ms
    base::Duration deadline = std::chrono::milliseconds(250);  // of one probe
    int misses = 1;  // failures in a row before a member counts as away; 1–100
};

// What the database itself keeps of who its members are, where it does (Aurora).
struct TopologyConfig {
    // One statement; empty: there is none. Its columns, by name, case ignored: `name` (needed), `writer` (1/t: the
    // writer; needed), and, where it has them, `updated` (timestamp of the row), `lag_ms`, `address`, `port`.
    std::string query;
};

enum class Tls {
    Off,         // plain
    VerifyCa,    // the certificate comes from tls_ca_file
    VerifyFull,  // and names the address that we connect to
};

// How a planned switchover is done.
struct SwitchoverConfig {
    // A program that promotes the target: the environment tells it SIGNALBOX_CLUSTER, SIGNALBOX_FROM, SIGNALBOX_TO,
    // SIGNALBOX_TO_ADDRESS. Empty: a switchover is refused.
    std::vector<std::string> hook;
    base::Duration drain = std::chrono::seconds(5);      // for running sessions to end by themselves
    base::Duration catch_up = std::chrono::seconds(10);  // for the target to have all that the writer has
    base::Duration promote = std::chrono::seconds(30);   // from the hook's start to the target's being proven
};

struct ClusterConfig {
    std::string name;
    Engine engine = Engine::MariaDb;
    std::vector<MemberConfig> members;
    std::string user;
    std::string password;     // never printed
    std::string database;     // PostgreSQL: where probes log in to; empty: "postgres"
    std::string tls_ca_file;  // empty: plain
    Tls tls = Tls::Off;
    ProbeConfig probe;
    TopologyConfig topology;
    // Members are also found in the topology (or in what the writer says of its replicas), and leave with it; `members`
    // are those to begin with, and never leave.
    bool discover = false;
    SwitchoverConfig switchover;
    base::Duration kill_deadline = std::chrono::milliseconds(500);  // for ending sessions on the former writer
};

}  // namespace signalbox::clusters
