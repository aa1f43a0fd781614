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
#include "domain/routing/readers.hpp"
#include "engine/event_book.hpp"
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
    ports::PromoteHook* promote = nullptr;  // none: switchovers are refused
};

// The time that next_deadline() named has come.
struct Tick {};

using ClusterEvent = std::variant<Tick, clusters::Observation, ports::BarrierDone, ports::SessionsKilled,
                                  ports::TrafficHint, ports::PromoteDone, ports::ExternalEvent>;
// The cluster that an event is for; empty for a Tick, which is for all of them.
const std::string& cluster_of(const ClusterEvent& event);

// One switch of the writer as it happened. Wall times for people, durations from the monotonic clock.
struct FailoverRecord {
    bool planned = false;  // a switchover
    std::string trigger;   // what began it, for people
    std::uint64_t epoch = 0;
    std::string from;  // the former writer, empty if there was none
    std::string to;
    base::WallTime detected_at{};  // the first observation against the former writer
    base::MonoTime detected{}, intent{}, fenced{}, killed{}, promoted{}, active{}, routed{};
    std::uint64_t sessions_closed = 0;
    std::uint64_t sessions_killed = 0;
    double held_ms = 0;  // for how long new connections waited
    std::vector<std::string> unfenced;
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

    // The cluster's endpoints, or all: those for readers get their targets from here on. Others are passed over.
    void set_endpoints(const std::vector<routing::EndpointConfig>& endpoints, base::MonoTime now);
    // Begins a planned switchover; what comes of it is in status() and in the journal. Errors: those of
    // clusters::Machine::may_switch_over(), and NotSupported without a PromoteHook.
    base::Status switchover(const ports::SwitchoverRequest& request, base::MonoTime now, base::WallTime wall);

    const clusters::Machine& machine() const { return machine_; }
    const clusters::ClusterConfig& config() const { return machine_.config(); }
    // Everything for people: {"name","engine","state","epoch","writer","held","hold_since","position","cluster_uid",
    // "contested","why","members":[{"name","address","discovered","role","answers","last_answer_ms","sent_ms",
    // "probe_rtt_ms","misses","failure":{"kind","code","text"}|null,"version","history","applied","lag_ms","sources":
    // [{"channel","address","member","io_running","sql_running","received"}],"replicas":[{"name","address"}],"topology":
    // [{"name","writer","age_ms","lag_ms","address"}],"believed","checks":[{"check","passed","text"}],"reasons"}],
    // "readers":[{"endpoint","targets":[{"member","address","weight","draining"}]}],"switchover":{"from","to","state",
    // "since","drained"}|null,"alarms":[{"kind","text","since"}],"failovers":[FailoverRecord],"journal_failures"}.
    // Times are RFC 3339 or null, ages milliseconds or null.
    base::json::object status(base::MonoTime now, base::WallTime wall = {}) const;

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
    void note_switchover(const clusters::Record& record, base::MonoTime now, base::WallTime wall);
    void append(const clusters::Record& record, base::WallTime wall);
    EventBook::Sight sight() const;
    void settle_events(base::MonoTime now, base::WallTime wall);
    void update_readers(base::MonoTime now);
    base::json::object member_status(std::size_t index, base::MonoTime now, base::WallTime wall) const;
    base::json::value switchover_status() const;

    clusters::Machine machine_;
    ClusterPorts ports_;
    std::deque<clusters::Input> inputs_;  // results of stores, fed back before handle() returns; at most a few
    base::WallTime hold_since_{};
    base::WallTime switchover_since_{};
    EventBook events_;
    struct Readers {
        routing::ReaderPool pool;
        std::optional<std::vector<routing::ReaderTarget>> sent;  // none: nothing was sent yet
    };
    std::map<std::string, Readers> readers_;  // by endpoint
    std::map<std::string, base::WallTime> alarm_since_;
    FailoverRecord current_;  // the switch under way, or the doubt that may become one
    std::deque<FailoverRecord> failovers_;
    std::uint64_t failover_count_ = 0;
    std::uint64_t journal_failures_ = 0;
};

}  // namespace signalbox::engine
