#pragma once
// The world as the follower needs it: probes of members, and the data plane that it fences and routes. Calls return at
// once; what comes of them reaches the engine later as events, in the engine's own thread, in any order, possibly
// never.

#include <cstdint>
#include <string>
#include <vector>

#include "base/text.hpp"
#include "base/time.hpp"
#include "domain/clusters/evidence.hpp"

namespace signalbox::ports {

// Parallel warm connections, one per member of each cluster. Every probe ends in exactly one Observation event.
class MemberProbes {
  public:
    virtual ~MemberProbes() = default;
    // One probe is sent each `interval` after the previous one completed; `deadline` bounds one probe.
    virtual void set_cadence(const std::string& cluster, const std::string& member, base::Duration interval,
                             base::Duration deadline) = 0;
    // Probes now (a hint came in); a probe under way counts.
    virtual void wake(const std::string& cluster) = 0;
};

// Server-side sessions of ours on one member, by the server's own connection ids.
struct ServerSessions {
    std::string member;
    std::vector<std::uint64_t> connection_ids;
};

struct BarrierResult {
    std::uint64_t sessions_closed = 0;
    // What may still run on the servers after our sockets are closed: the sessions that the fence closed, and those
    // that ended before it with a statement under way (its client went away) and were not reported by an earlier
    // barrier.
    std::vector<ServerSessions> server_sessions;
};

// The data plane of all endpoints of a cluster. Every call carries the epoch that it belongs to; a call with an epoch
// older than one seen before is ignored.
class WriterRoutes {
  public:
    virtual ~WriterRoutes() = default;
    // New connections of the cluster's writer endpoints wait, bounded; running sessions stay.
    virtual void hold(const std::string& cluster, std::uint64_t epoch) = 0;
    // The fence: holds, closes every session of an epoch older than `epoch` in every shard, then sends the event
    // BarrierDone{cluster, epoch, BarrierResult} when every shard has acknowledged that none is left.
    virtual void fence(const std::string& cluster, std::uint64_t epoch) = 0;
    // New and held connections go to the member, stamped with the epoch. Only after the epoch is active in the store.
    virtual void route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
                       const base::HostPort& address) = 0;
};

// Ends statements that still run on a former writer: a dropped socket does not stop them.
class SessionKiller {
  public:
    virtual ~SessionKiller() = default;
    // KILLs the connections on the member within `deadline`, then sends SessionsKilled{cluster, epoch, member, killed,
    // failed}: a member that does not answer counts all as failed.
    virtual void kill(const std::string& cluster, std::uint64_t epoch, const std::string& member,
                      const std::vector<std::uint64_t>& connection_ids, base::Duration deadline) = 0;
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
};

// A session of ours ended or got an error that smells of failover: a hint, never more.
struct TrafficHint {
    std::string cluster;
    std::string member;
    int code = 0;
};

}  // namespace signalbox::ports
