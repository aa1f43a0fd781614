#pragma once
// What the user says of a channel: a stream that reads from a cluster through us, and how it is watched.

#include <string>
#include <string_view>

#include "base/text.hpp"
#include "base/time.hpp"

namespace signalbox::channels {

enum class Kind {
    Replica,  // a MariaDB or MySQL replica outside the cluster
    Slot,     // a PostgreSQL logical slot on the writer
};

struct ProbeConfig {
    base::Duration calm = std::chrono::seconds(1);        // interval while it reads
    base::Duration fast = std::chrono::milliseconds(50);  // interval for a while after the writer moved
    base::Duration deadline = std::chrono::seconds(1);    // of one probe
    base::Duration restart = std::chrono::seconds(5);     // for stopping and starting the receiving thread
};

struct ChannelConfig {
    std::string name;
    std::string cluster;
    Kind kind = Kind::Replica;
    std::string user;         // slots: empty for the cluster's own
    std::string password;     // never printed
    std::string database;     // slots: where to log in; empty: as the cluster has it
    std::string tls_ca_file;  // empty: plain
    bool tls_verify_host = true;
    base::Duration heartbeat = std::chrono::seconds(30);  // silence after which a connected stream is half-dead
    ProbeConfig probe;

    // Replicas.
    base::HostPort address;  // the replica's own
    std::string connection;  // its connection's (MariaDB) or channel's (MySQL) name; empty: the default one
    std::string endpoint;    // it reads through this endpoint; empty: not checked
    base::HostPort source;   // that endpoint's address as clients see it; port 0: not checked

    // Slots.
    std::string slot;
};

std::string_view to_string(Kind kind);

}  // namespace signalbox::channels
