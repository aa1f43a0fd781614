#pragma once
// Follows one cluster: feeds what comes in to the pure machine of domain/clusters, executes the machine's actions
// through ports, and keeps the record. Single-threaded: every call comes from the engine's one thread. It has no
// clock: the time is an argument. It holds no lock and never blocks but in the epoch store and the journal.
//
// How to drive it:
//   ClusterLoop loop(config, ports);            // does nothing yet
//   loop.start(now, wall);                      // fenced: routes.hold(), probes.set_cadence() for each member
//   loop.handle(event, now, wall);              // each event whose cluster_of(event) is this cluster's name
//   loop.handle(Tick{}, now, wall);             // when loop.next_deadline() has come (late is allowed, early harmless)
// Ports may be called from inside start(), handle() and reconfigure(); a port must not call back into the loop: what
// it has to say comes as an event later.

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <variant>

#include "base/json.hpp"
#include "base/time.hpp"
#include "domain/clusters/config.hpp"
#include "domain/clusters/evidence.hpp"
#include "domain/clusters/machine.hpp"
#include "ports/follow.hpp"
#include "ports/journal.hpp"

namespace signalbox::engine {

// The world of one cluster's loop. All of them outlive the loop.
struct ClusterPorts {
    ports::EpochStore& epochs;
    ports::Journal& journal;
    ports::MemberProbes& probes;
    ports::WriterRoutes& routes;
    ports::SessionKiller& killer;
};

// The time that next_deadline() named has come.
struct Tick {};

using ClusterEvent =
    std::variant<Tick, clusters::Observation, ports::BarrierDone, ports::SessionsKilled, ports::TrafficHint>;
// The cluster that an event is for; empty for a Tick, which is for all of them.
const std::string& cluster_of(const ClusterEvent& event);

// One switch of the writer as it happened. Wall times for people, durations from the monotonic clock.
struct FailoverRecord {
    std::uint64_t epoch = 0;
    std::string from;  // the former writer, empty if there was none
    std::string to;
    base::WallTime detected_at{};  // the first observation against the former writer
    base::MonoTime detected{}, intent{}, fenced{}, active{}, routed{};
    std::uint64_t sessions_closed = 0;
    std::uint64_t sessions_killed = 0;
    bool traffic_fenced_only = false;  // what ran on the former writer could not be ended beyond our own traffic
    base::json::object to_json() const;
};

class ClusterLoop {
  public:
    // `rules` is for tests that take a guard away; everybody else leaves it.
    ClusterLoop(clusters::ClusterConfig config, ClusterPorts ports, clusters::Rules rules = {});

    // Loads the epoch record and starts fenced. A store that can't be read: held, an alarm, tried again with backoff.
    void start(base::MonoTime now, base::WallTime wall);
    // Events of other clusters and of older epochs are ignored.
    void handle(const ClusterEvent& event, base::MonoTime now, base::WallTime wall);
    // The latest time at which a Tick is due; always in the future of the last call's `now`.
    base::MonoTime next_deadline() const;
    // Takes another configuration of the same cluster: members with the same name and address keep what is known of
    // them. If the active member is gone or has moved, there is no writer until one is proven.
    void reconfigure(clusters::ClusterConfig config, base::MonoTime now, base::WallTime wall);

    const clusters::Machine& machine() const { return machine_; }
    const clusters::ClusterConfig& config() const { return machine_.config(); }
    // Everything for people: {"name","state","epoch","writer","held","hold_since","position","contested","members":
    // [{"name","address","role","answers","last_answer_ms","misses","version","history","believed","reasons"}],
    // "alarms":[{"kind","text","since"}],"failovers":[FailoverRecord],"journal_failures"}. Times are RFC 3339 or null.
    base::json::object status(base::MonoTime now) const;

    // For metrics: cheap, no text.
    bool held() const { return machine_.held(); }
    std::uint64_t epoch() const { return machine_.epoch(); }
    const std::string& writer() const { return machine_.writer(); }  // of the active epoch; empty if none is routed
    std::size_t alarm_count() const { return machine_.alarms().size(); }
    std::uint64_t failover_count() const { return failover_count_; }
    const std::deque<FailoverRecord>& failovers() const { return failovers_; }  // the newest last, at most 32

  private:
    void drain(base::MonoTime now, base::WallTime wall);
    void execute(const clusters::Action& action, base::MonoTime now, base::WallTime wall);
    void load();
    void store(const clusters::action::Store& action, base::MonoTime now, base::WallTime wall);
    ports::JournalEntry entry(const clusters::Record& record, base::WallTime wall) const;
    void note(const clusters::Record& record, base::MonoTime now, base::WallTime wall);

    clusters::Machine machine_;
    ClusterPorts ports_;
    std::deque<clusters::Input> inputs_;  // results of stores, fed back before handle() returns; at most a few
    base::WallTime hold_since_{};
    std::map<std::string, base::WallTime> alarm_since_;
    FailoverRecord current_;  // the switch under way, or the doubt that may become one
    std::deque<FailoverRecord> failovers_;
    std::uint64_t failover_count_ = 0;
    std::uint64_t journal_failures_ = 0;
};

}  // namespace signalbox::engine
