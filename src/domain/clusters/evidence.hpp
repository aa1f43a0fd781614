#pragma once
// What one probe of one member learned. Values only: who reads them decides; an empty, late or partial answer never
// becomes Evidence, it is a ProbeFailure.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/text.hpp"
#include "base/time.hpp"
#include "domain/clusters/config.hpp"

namespace signalbox::clusters {

enum class Role { Unknown, Reader, Writer };

// One replication channel by which the member reads from another server, as the member itself tells it.
struct ReplicationSource {
    std::string channel;      // connection name, empty for the default one
    base::HostPort address;   // where it reads from; PostgreSQL: of the WAL receiver, or of primary_conninfo
    bool io_running = false;  // the receiving thread runs (connecting counts as not running)
    bool sql_running = false;
    std::string received;  // position received (MariaDB Gtid_IO_Pos, MySQL Retrieved_Gtid_Set, PostgreSQL flushed_lsn)
};

// A replica that receives from this member, as this member tells it: for discovery, never for belief.
struct AttachedReplica {
    std::string name;        // PostgreSQL application_name; MySQL family: empty or its report_host
    base::HostPort address;  // port 0: not told, the configured members' port is meant
};

// A row of the topology that the database keeps of itself (TopologyConfig).
struct TopologyRow {
    std::string name;  // the server's id there; the configured member of that name is meant
    bool writer = false;
    std::int64_t updated_us = 0;  // the row's own stamp, microseconds since 1970; 0: it has none
    std::optional<base::Duration> lag;
    base::HostPort address;  // empty host: not told
};

// A whole answer. Positions are texts of one form per engine (domain/clusters/position.hpp): MariaDB GTID lists
// ("0-1-100,1-7-3"), MySQL GTID sets ("3e11fa47-…:1-5,8"), PostgreSQL timelines with where each ends or stands
// ("1@0/3000148,2@0/5000000", oldest first).
struct Evidence {
    Engine engine = Engine::MariaDb;
    std::uint64_t server_id = 0;  // @@server_id; PostgreSQL: the timeline
    // Identity of this server's installation (MariaDB @@server_uid, MySQL @@server_uuid); empty if it has none.
    std::string server_uid;
    std::string cluster_uid;  // PostgreSQL: system identifier, the same for all members of a cluster; others: empty
    std::string version;
    bool read_only = true;  // @@read_only or @@super_read_only; PostgreSQL: in recovery, or transactions are read only
    bool innodb_read_only = true;            // @@innodb_read_only; PostgreSQL: false
    std::vector<ReplicationSource> sources;  // configured channels, running or not; PostgreSQL: one while in recovery
    std::vector<AttachedReplica> replicas;
    std::vector<TopologyRow> topology;  // empty without a topology query
    // What it has: MariaDB @@gtid_binlog_state, MySQL @@gtid_executed, PostgreSQL written (or received) WAL.
    std::string binlog_state;
    // Its commits wait for a replica (MariaDB: status Rpl_semi_sync_master_status is ON). False: it acknowledges alone,
    // by its own word; then, and while no other member receives from it, what it has counts as confirmed.
    bool waits_for_replica = true;
    std::string applied;  // what it has applied
    // How far a reader is behind by its own word; none: it does not know, or is no reader.
    std::optional<base::Duration> lag;
    // Says that it may be written and replicates from nobody: what the member claims, not what is believed.
    bool claims_writer() const { return !read_only && !innodb_read_only && sources.empty(); }
};

// A session of ours on a member, as that server can find it again.
struct ServerSession {
    std::uint64_t connection_id = 0;  // the server's own; 0: we did not see it (encrypted, or not relayed by us)
    std::string client;               // the address that it sees us under, "10.0.1.10:40112"; empty: not known
    friend auto operator<=>(const ServerSession&,
                            const ServerSession&) = default;  // NOLINT(modernize-use-nullptr): a false finding
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
