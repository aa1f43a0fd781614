#pragma once
// A target group of an external balancer (a cloud's, or HAProxy's), which an endpoint keeps right. Calls block, each at
// most its adapter's own deadline, and come from one thread. What a call answered is not what is there: targets() is
// asked again until it says so.

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"

namespace signalbox::ports {

enum class TargetState {
    Initial,    // registered, not yet used
    Healthy,    // gets traffic
    Unhealthy,  // registered, gets none by the balancer's own check
    Draining,   // gets no new traffic; what runs may go on
};

struct RegisteredTarget {
    base::HostPort address;
    TargetState state = TargetState::Initial;
    friend bool operator==(const RegisteredTarget&, const RegisteredTarget&) = default;
};

class Router {
  public:
    virtual ~Router() = default;
    // All that are there, also those that somebody else registered; at most 1000. Errors: Unavailable, Timeout,
    // NotFound (no such group), CorruptData.
    virtual base::Result<std::vector<RegisteredTarget>> targets() = 0;
    // Idempotent: one that is there stays. Errors: as targets(); PermissionDenied; UnknownOutcome.
    virtual base::Status register_target(const base::HostPort& address) = 0;
    // Idempotent. Ends what runs through the target too, where the balancer can.
    virtual base::Status deregister_target(const base::HostPort& address) = 0;
    virtual std::string describe() const = 0;  // "HAProxy backend 'targets' at /run/x.sock"
};

std::string_view to_string(TargetState state);

}  // namespace signalbox::ports
