#pragma once
// What one probe of one member learned. Values only: who reads them decides; an empty, late or partial answer never
// becomes Evidence, it is a ProbeFailure.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/text.hpp"
#include "base/time.hpp"

namespace signalbox::clusters {

enum class Role { Unknown, Reader, Writer };

// One replication channel by which the member reads from another server, as the member itself tells it.
struct ReplicationSource {
    std::string channel;      // connection name, empty for the default one
    base::HostPort address;   // where it reads from
    bool io_running = false;  // the receiving thread runs (connecting counts as not running)
    bool sql_running = false;
    std::string received;  // GTID position received (MariaDB Gtid_IO_Pos)
};

// A whole answer. Positions are MariaDB GTID lists ("0-1-100,1-7-3").
struct Evidence {
    std::uint64_t server_id = 0;  // @@server_id
    std::string server_uid;       // @@server_uid: identity of the server process's installation, empty if it has none
    std::string version;
    bool read_only = true;                   // @@read_only (any non-zero form)
    bool innodb_read_only = true;            // @@innodb_read_only
    std::vector<ReplicationSource> sources;  // configured channels, running or not
    std::string binlog_state;                // @@gtid_binlog_state: last sequence per domain AND server
    // Its commits wait for a replica (MariaDB: status Rpl_semi_sync_master_status is ON). False: it acknowledges alone,
    // by its own word; then, and while no other member receives from it, what it has counts as confirmed.
    bool waits_for_replica = true;
    std::string applied;  // @@gtid_current_pos or slave_pos: what it has applied
    // Says that it may be written and replicates from nobody: what the member claims, not what is believed.
    bool claims_writer() const { return !read_only && !innodb_read_only && sources.empty(); }
};

enum class ProbeFailureKind {
    Refused,      // nobody listens
    Reset,        // the connection ended or was reset
    TimedOut,     // no answer within the deadline
    LoginDenied,  // it answers, but not to this user
    ServerError,  // it answers with an error
    Incomplete,   // an answer with fields missing or of an unknown form
    OurOwnDelay,  // we were late ourselves: says nothing about the member
};

struct ProbeFailure {
    ProbeFailureKind kind = ProbeFailureKind::TimedOut;
    int code = 0;      // the server's or the client library's error number
    std::string text;  // for people; never holds a secret
};

struct Observation {
    std::string cluster;
    std::string member;
    std::uint64_t sequence = 0;  // of this member's probes, grows; a smaller one than seen is stale
    base::MonoTime sent_at{};
    base::MonoTime completed_at{};
    std::variant<Evidence, ProbeFailure> result;
};

}  // namespace signalbox::clusters
