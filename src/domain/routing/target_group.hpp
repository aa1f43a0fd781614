#pragma once
// What to do so that a balancer's target group becomes what it should be: a pure comparison of what is wanted with what
// is there, whoever put it there. An endpoint owns its group: what is not wanted goes.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.hpp"

namespace signalbox::routing {

enum class TargetState {
    Initial,    // registered, not yet used
    Healthy,    // gets traffic
    Unhealthy,  // registered, gets none by the balancer's own check
    Draining,   // gets no new traffic; what runs may go on
    Unused,     // registered and taken out of use: gets no new traffic
};

// One that is there. Several can have one address.
struct RegisteredTarget {
    base::HostPort address;
    TargetState state = TargetState::Initial;
    std::optional<std::uint32_t> weight;    // none: the balancer has no weights
    std::optional<std::uint64_t> sessions;  // that run through it now; none: the balancer does not tell
    friend bool operator==(const RegisteredTarget&, const RegisteredTarget&) = default;
};

// One that should be there, and get traffic unless it drains.
struct WantedTarget {
    base::HostPort address;
    std::uint32_t weight = 100;  // 1–100
    bool draining = false;
    friend bool operator==(const WantedTarget&, const WantedTarget&) = default;
};

enum class TargetAction { Deregister, Drain, Register };

struct TargetStep {
    TargetAction action = TargetAction::Register;
    base::HostPort address;
    std::uint32_t weight = 100;  // of Register
    friend bool operator==(const TargetStep&, const TargetStep&) = default;
};

struct TargetPlan {
    // In this order: removals before additions, so that a former writer is out before the next one is in.
    std::vector<TargetStep> steps;
    // Everything wanted gets its traffic, and nothing else gets any. Then there are no steps.
    bool verified = false;
    std::string waiting;  // for people, with no steps and not verified: what the balancer has not done yet
};

// `wanted` has each address once; empty: nobody may get traffic. Addresses are compared as text. can_drain: the
// balancer can stop new traffic and take that back; without it, a target that should drain stays as it is. A target
// that is not wanted and Unused stays, if it is known that nothing runs through it: it gets no traffic, and an operator
// put it aside or the balancer can't let go of it.
TargetPlan plan_targets(const std::vector<WantedTarget>& wanted, const std::vector<RegisteredTarget>& found,
                        bool can_drain = true);

std::string_view to_string(TargetState state);
std::string_view to_string(TargetAction action);

}  // namespace signalbox::routing
