#pragma once
// What one look at a channel learned, and what the channel is told of its cluster. Values only.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "base/text.hpp"
#include "base/time.hpp"

namespace signalbox::channels {

enum class Thread { Stopped, Connecting, Running };

// A replica's receiving and applying threads, as SHOW REPLICA STATUS (MySQL) and SHOW ALL SLAVES STATUS (MariaDB) tell.
struct ReplicaStatus {
    Thread io = Thread::Stopped;
    bool sql_running = false;
    base::HostPort source;
    int io_error = 0;  // 0: none on show
    std::string io_error_text;
    int sql_error = 0;
    std::string sql_error_text;
    bool uses_gtid = false;
    std::string position;                // received and applied, GTIDs as the server prints them; texts of the engine
    bool shared = false;                 // it has other channels too: its position may hold what is not of this cluster
    std::uint64_t heartbeats = 0;        // received since it was configured
    base::Duration heartbeat_period{0};  // 0: it asks for none
    base::Duration retry{0};             // its own pause between connects
    std::string log_position;            // file and offset in the source's log, changes with every event
    std::optional<base::Duration> behind;  // by its own word
};

// A logical slot on the writer, as pg_replication_slots and pg_stat_replication tell. LSNs are byte positions.
struct SlotStatus {
    bool exists = false;
    std::string plugin;
    std::string database;
    bool active = false;              // somebody reads from it
    std::uint64_t restart_lsn = 0;    // WAL is kept from here; 0: none
    std::uint64_t confirmed_lsn = 0;  // the reader has everything before it
    std::string wal_status;           // reserved, extended, unreserved, lost
    std::string reply_time;           // the reader's own stamp of its last reply; only compared for equality
    std::uint64_t current_lsn = 0;    // the server's own position
    std::uint64_t timeline = 0;       // the server's
};

enum class FailureKind {
    Unreachable,  // no connection, no answer in time
    Denied,       // it answers, but not to this user
    Incomplete,   // an answer of a form that we do not know, or none for this channel
};

struct Failure {
    FailureKind kind = FailureKind::Unreachable;
    std::string text;  // for people; never holds a secret
};

struct Observation {
    std::string channel;
    std::string member;  // slots: the member that was asked
    base::MonoTime sent_at{};
    base::MonoTime completed_at{};
    std::variant<ReplicaStatus, SlotStatus, Failure> result;
};

// What of the cluster concerns its channels.
struct ClusterFacts {
    std::uint64_t epoch = 0;      // active in this process; 0 before the first
    bool routed = false;          // traffic goes to the writer
    std::string writer;           // member; empty if none is routed
    base::HostPort address;       // of it
    base::MonoTime routed_at{};   // when this epoch's writer was routed first
    base::MonoTime ended_at{};    // when no session of an older epoch was left; not later than routed_at
    std::string history;          // what the writer has, by its newest answer; text of the engine
    base::MonoTime history_at{};  // when that answer was asked for
};

// Whether what a channel has received is part of the writer's history.
struct Verdict {
    enum class Is { Unknown, Contained, Missing } is = Is::Unknown;
    std::string missing;           // the first thing that the writer lacks
    bool writer_has_more = false;  // the writer has something that the channel has not
};

std::string lsn_text(std::uint64_t lsn);  // "0/5000A8"

}  // namespace signalbox::channels
