#pragma once
// A target group of an external balancer (a cloud's, or HAProxy's), which an endpoint keeps right. Calls block, each at
// most its adapter's own deadline, and come from one thread. What a call answered is not what is there: targets() is
// asked again until it says so.

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"
#include "domain/routing/target_group.hpp"

namespace signalbox::ports {

using routing::RegisteredTarget;
using routing::TargetState;

class Router {
  public:
    virtual ~Router() = default;
    // All that are there, also those that somebody else registered; at most 1000. Errors: Unavailable, Timeout,
    // NotFound (no such group), CorruptData, PermissionDenied.
    virtual base::Result<std::vector<RegisteredTarget>> targets() = 0;
    // Idempotent: one that is there stays, one that drains or is unused is taken back, and the weight (1–100) is made
    // this one, where the balancer has weights. Errors: as targets(); InvalidArgument; UnknownOutcome.
    virtual base::Status register_target(const base::HostPort& address, std::uint32_t weight) = 0;
    // Idempotent. No new traffic, until it is registered again; what runs through it may go on. One that is not there
    // is no error. Errors: as register_target(); NotSupported: this balancer can't take a drain back.
    virtual base::Status drain_target(const base::HostPort& address) = 0;
    // Idempotent. Ends what runs through the target too, where the balancer can. All targets of that address go.
    virtual base::Status deregister_target(const base::HostPort& address) = 0;
    // Thread-safe: ends a call under way, and all later ones, with Unavailable.
    virtual void cancel() = 0;
    virtual std::string describe() const = 0;  // "HAProxy backend 'targets' at /run/x.sock"
};

}  // namespace signalbox::ports
