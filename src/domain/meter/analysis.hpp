#pragma once
// From a recording to what a failover cost: the faults, each path's and group's outage, the phases between, the excess
// of every path over the direct one, and the errors of the meter itself.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "domain/meter/ledger.hpp"
#include "domain/meter/outage.hpp"
#include "domain/meter/sample.hpp"

namespace signalbox::meter {

struct KindCounts {
    std::uint64_t ok = 0;
    std::uint64_t failed = 0;
    std::uint64_t unknown = 0;
};

struct PathResult {
    std::map<Kind, KindCounts> counts;
    std::map<std::string, std::uint64_t> errors;  // code_name → how often, all kinds
    std::vector<Outage> write_outages;
    std::vector<Outage> read_outages;
    std::string server;       // members: the server that answers there (its last answer)
    double write_ms_p50 = 0;  // of the good writes; 0 if there was none
    double write_ms_p99 = 0;
};

enum class Recovery { NoOutage, Recovered, NotRecovered, NeverGood };

// One group (the members together, or one path) at one fault.
struct GroupResult {
    std::string name;
    bool members = false;
    bool writes = true;
    Recovery write_state = Recovery::NoOutage;
    std::optional<Outage> write_outage;
    Recovery read_state = Recovery::NoOutage;
    std::optional<Outage> read_outage;
    // Completion of the first good write by the new writer after the fault; and how much later that was than on the
    // members directly. Not for the members themselves, nor when no outage and no new writer was seen.
    std::optional<MonoTime> first_good_write;
    std::optional<Duration> excess;
};

struct Phase {
    std::string name;
    std::string path;
    bool member = false;            // `path` leads to one member
    std::optional<MonoTime> start;  // none: it was not seen at all
    std::optional<MonoTime> end;    // none: it had not ended when the measurement did
    std::string note;
};

struct Fault {
    MonoTime at{};
    bool given = false;      // by the caller; otherwise the first failed write after good ones
    std::string old_writer;  // the path of the member, or the server's own name where no path leads to it alone
    std::string new_writer;
    std::vector<GroupResult> groups;
    std::vector<Phase> phases;
};

struct Analysis {
    std::vector<PathResult> paths;  // as in Recording::paths
    std::vector<Fault> faults;      // in order of time; empty: no outage was seen
    std::vector<GroupResult> calm;  // the groups, when there was no fault
    std::uint64_t samples_ok = 0;
    std::uint64_t samples_failed = 0;   // refusals as read-only not among them
    std::uint64_t samples_refused = 0;  // read-only refusals
    std::uint64_t samples_unknown = 0;
    // What the meter itself, or the calm cluster, got wrong: failed and unknown operations before the first fault (all
    // of them if there was none), refusals by members as read-only not counted, and late ticks.
    std::uint64_t own_errors = 0;
};

// Faults less than this apart are one.
constexpr Duration fault_distance_min = std::chrono::seconds(1);
// The phases named in one place, as they appear in tables and JSON.
namespace phase_name {
constexpr std::string_view old_replica_restarts = "old replica restarts";
constexpr std::string_view old_writer_restarts = "old writer restarts";
constexpr std::string_view refused_read_only = "writes refused as read-only";
constexpr std::string_view writer_endpoint_moved = "writer endpoint moved";
constexpr std::string_view reader_endpoint_moved = "reader endpoint moved";
constexpr std::string_view events = "events started→completed";
}  // namespace phase_name

Analysis analyse(const Recording& recording);

}  // namespace signalbox::meter
