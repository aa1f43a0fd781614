#pragma once
// What a probe asks a PostgreSQL server (12 and later), and how the answers become evidence.

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "adapters/postgres/client.hpp"
#include "adapters/postgres/timeline.hpp"
#include "adapters/probing/member_link.hpp"
#include "domain/clusters/evidence.hpp"

namespace signalbox::postgres {

// What a new connection asks first, and what is true as long as it lasts.
std::string hello_text();
struct Hello {
    std::string version;
    std::string system_identifier;
    bool reads_settings = false;  // may see primary_conninfo
    bool reads_stats = false;     // may see who is connected from where
    bool aurora = false;          // keeps its log in shared storage, and has no functions for it
};
std::variant<Hello, clusters::ProbeFailure> read_hello(const ResultSet& answer);
// Nothing, if the version number (150020 for 15.20) is new enough.
std::optional<clusters::ProbeFailure> check_version(int number);

// What one round trip asks: with the hello's rights, the version's names.
struct Questions {
    int version_number = 0;
    bool reads_settings = false;
    bool aurora = false;
    bool replicas = false;       // also who receives from it
    std::string topology_query;  // empty: none
};
// The statements that are prepared once (they are asked often and hard to plan), and the text of a probe, which runs
// them.
std::string prepare_text(const Questions& questions);
std::string probe_text(const Questions& questions);

struct Receiver {
    bool streaming = false;
    WalPoint flushed;
    base::HostPort source;
};

// An answer as the server gave it, before its timelines have their histories.
struct Answered {
    bool in_recovery = true;
    bool read_only = true;
    std::optional<WalPoint> flushed;   // of a server that is not in recovery
    std::optional<Receiver> receiver;  // of one that is
    std::optional<std::uint64_t> replayed_lsn;
    // A place that it has replayed for certain with the timeline that this was on, from its control file; where there
    // is no receiver to tell.
    std::optional<WalPoint> replayed_at_least;
    std::optional<base::Duration> since_replayed;  // age of the last transaction that was replayed
    base::HostPort source;                         // of primary_conninfo; empty where there is none, or we may not read
    bool waits_for_replica = false;
    std::vector<clusters::AttachedReplica> replicas;
    std::vector<clusters::TopologyRow> topology;
};
// Strict: a row, column or value that should be there and is not, or a form that we do not know, makes it Incomplete;
// so does a right that the user lacks, and the text says which.
std::variant<Answered, clusters::ProbeFailure> read_answer(const Questions& questions,
                                                           const std::vector<ResultSet>& results);

// Where the server stands: what it wrote, or received, or replayed; whichever is last of what has a timeline. `before`
// is what an earlier answer of this connection said, for while no receiver runs. Nothing if there is none at all.
std::optional<WalPoint> reached(const Answered& answered, const std::optional<WalPoint>& before);

// `point` as reached() has it, and the ancestors of its timeline.
clusters::Evidence to_evidence(const Hello& hello, const Answered& answered, const std::optional<WalPoint>& point,
                               const TimelineHistory& history);

// The failure that an error of Client stands for.
clusters::ProbeFailure to_failure(const base::Error& error);

}  // namespace signalbox::postgres
