#pragma once
// The world as the follower needs it: probes of members, and the data plane that it fences and routes. Calls return at
// once; what comes of them reaches the engine later as events, in the engine's own thread, in any order, possibly
// never.

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "domain/clusters/config.hpp"
#include "domain/clusters/evidence.hpp"
#include "domain/routing/endpoint.hpp"

namespace signalbox::ports {

// Parallel warm connections, one per member of each cluster. Every probe ends in exactly one Observation event.
class MemberProbes {
  public:
    virtual ~MemberProbes() = default;
    // Makes the cluster's probes those of its members as they are configured or found now: members that stay as they
    // were keep their connection. New ones rest until they are given a cadence.
    virtual void configure(const clusters::ClusterConfig& cluster) = 0;
    // One probe is sent each `interval` after the previous one completed; `deadline` bounds one probe.
    virtual void set_cadence(const std::string& cluster, const std::string& member, base::Duration interval,
                             base::Duration deadline) = 0;
    // Probes now (a hint came in); a probe under way counts.
    virtual void wake(const std::string& cluster) = 0;
};

// Server-side sessions of ours on one member.
struct ServerSessions {
    std::string member;
    std::vector<clusters::ServerSession> sessions;
};

struct BarrierResult {
    std::uint64_t sessions_closed = 0;
    // What may still run on the servers after our sockets are closed: the sessions that the fence closed, and those
    // that ended before it with a statement under way (its client went away) and were not reported by an earlier
    // barrier.
    std::vector<ServerSessions> server_sessions;
    // What could not be fenced within its deadline, one line each, for people: "target group 'x': no answer".
    std::vector<std::string> unfenced;
};

// The data plane of all endpoints of a cluster. Every call carries the epoch that it belongs to; a call with an epoch
// older than one seen before is ignored.
class WriterRoutes {
  public:
    virtual ~WriterRoutes() = default;
    // New connections of the cluster's writer endpoints wait, bounded; running sessions stay.
    virtual void hold(const std::string& cluster, std::uint64_t epoch) = 0;
    // The fence: holds, closes every session of an epoch older than `epoch` in every shard, then sends the event
    // BarrierDone{cluster, epoch, BarrierResult} when every shard has acknowledged that none is left. Sessions of
    // reader endpoints on the member that writer endpoints were routed to are ended too: they could write there.
    virtual void fence(const std::string& cluster, std::uint64_t epoch) = 0;
    // New and held connections go to the member, stamped with the epoch. Only after the epoch is active in the store.
    virtual void route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
                       const base::HostPort& address) = 0;
    // The whole set of targets of one reader endpoint, in place of what it was. Sessions on members that are no longer
    // in it end at once. An empty set: new connections wait, bounded as for writers. Carries no epoch: a fence ends
    // what must end, and the set never holds the writer but by the user's wish.
    virtual void set_readers(const std::string& cluster, const std::string& endpoint,
                             const std::vector<routing::ReaderTarget>& targets) = 0;
    // Sessions of the cluster's writer endpoints that run now; for draining before a planned switchover.
    virtual std::uint64_t writer_sessions(const std::string& cluster) const = 0;
};

// What an endpoint did since it was opened.
struct EndpointStats {
    std::string endpoint;
    std::string cluster;
    std::string address;                // as bound: with port 0 in the configuration, the real one
    std::uint64_t sessions = 0;         // now, held ones included
    std::uint64_t held = 0;             // now
    std::uint64_t accepted = 0;         // in all
    std::uint64_t refused = 0;          // got an error of ours
    std::uint64_t fenced = 0;           // ended by a fence
    std::uint64_t left_while_held = 0;  // clients that did not wait
    std::uint64_t released = 0;         // held ones that got their writer
    double held_seconds = 0;            // of all that are held no more
    std::uint64_t bytes_to_server = 0;
    std::uint64_t bytes_to_client = 0;
    std::string note;  // for people, what is not as it should be; empty: all is well
};

// One mode's part of the data plane (routing::Mode), with its endpoints. Thread-safe, but open, close and update come
// from one thread.
class DataPlane : public WriterRoutes {
  public:
    // Binds and starts to serve; until the first route, clients are held. An endpoint of the same name on another
    // address is closed once the new one is bound. Errors name the endpoint, the address and the reason (in use, no
    // such address, no permission). Returns the bound address.
    virtual base::Result<std::string> open(const routing::EndpointConfig& config) = 0;
    // Stops serving and ends the endpoint's sessions.
    virtual void close(const std::string& endpoint) = 0;
    // New limits for an endpoint with the same name, cluster, role and address; its sessions go on.
    virtual void update(const routing::EndpointConfig& config) = 0;
    virtual std::vector<EndpointStats> stats() const = 0;
};

// Ends statements that still run on a former writer: a dropped socket does not stop them.
class SessionKiller {
  public:
    virtual ~SessionKiller() = default;
    // Ends the sessions on the member within `deadline`, then sends SessionsKilled{cluster, epoch, member, killed,
    // failed}: a member that does not answer counts all as failed.
    virtual void kill(const std::string& cluster, std::uint64_t epoch, const std::string& member,
                      const std::vector<clusters::ServerSession>& sessions, base::Duration deadline) = 0;
};

// Runs the user's program that promotes a member at a planned switchover.
class PromoteHook {
  public:
    virtual ~PromoteHook() = default;
    // Runs it once for this epoch, ended (SIGTERM, SIGKILL) at the deadline; then sends PromoteDone.
    virtual void promote(const std::string& cluster, std::uint64_t epoch, const std::string& from,
                         const std::string& to, const base::HostPort& to_address, base::Duration deadline) = 0;
};

struct BarrierDone {
    std::string cluster;
    std::uint64_t epoch = 0;
    BarrierResult result;
};

struct SessionsKilled {
    std::string cluster;
    std::uint64_t epoch = 0;
    std::string member;
    std::uint64_t killed = 0;
    std::uint64_t failed = 0;
    std::string text;  // why some could not be ended, for people; empty when all were
};

// A session of ours ended or got an error that smells of failover: a hint, never more.
struct TrafficHint {
    std::string cluster;
    std::string member;
    int code = 0;
};

struct PromoteDone {
    std::string cluster;
    std::uint64_t epoch = 0;
    bool ok = false;   // it ended with 0; whether the target writes, only probes tell
    std::string text;  // how it ended, for people
};

// Somebody says that something happened (a cloud's event, an operator's webhook): it only wakes probes.
struct ExternalEvent {
    std::string cluster;
    std::string source;  // who says it: "webhook", "lab"
    std::string id;      // its own number or id, empty if it has none
    std::string kind;
    std::string text;
};

// An operator's wish.
struct SwitchoverRequest {
    std::string cluster;
    std::string to;
};

}  // namespace signalbox::ports
