#include "domain/routing/target_group.hpp"

#include <algorithm>

namespace signalbox::routing {
namespace {

const WantedTarget* find(const std::vector<WantedTarget>& wanted, const base::HostPort& address) {
    const auto at =
        std::find_if(wanted.begin(), wanted.end(), [&](const auto& target) { return target.address == address; });
    return at == wanted.end() ? nullptr : &*at;
}

bool gets_no_new_traffic(TargetState state) { return state == TargetState::Draining || state == TargetState::Unused; }

// Nothing goes through it, and nothing will.
bool is_aside(const RegisteredTarget& target) { return target.state == TargetState::Unused && target.sessions == 0; }

void remove_what_is_not_wanted(TargetPlan& plan, const std::vector<WantedTarget>& wanted,
                               const std::vector<RegisteredTarget>& found) {
    for (const auto& target : found) {
        if (find(wanted, target.address) != nullptr || is_aside(target)) continue;
        TargetStep step{TargetAction::Deregister, target.address, 0};
        if (std::find(plan.steps.begin(), plan.steps.end(), step) == plan.steps.end()) plan.steps.push_back(step);
    }
}

void drain(TargetPlan& plan, const WantedTarget& target, const std::vector<RegisteredTarget>& found) {
    const bool in_use = std::any_of(found.begin(), found.end(), [&](const auto& one) {
        return one.address == target.address && !gets_no_new_traffic(one.state);
    });
    if (in_use) plan.steps.push_back({TargetAction::Drain, target.address, 0});
}

void add(TargetPlan& plan, const WantedTarget& target, const std::vector<RegisteredTarget>& found) {
    bool there = false;
    bool right = true;
    std::optional<TargetState> best;
    for (const auto& one : found) {
        if (one.address != target.address) continue;
        there = true;
        right = right && !gets_no_new_traffic(one.state) && (!one.weight || *one.weight == target.weight);
        if (!best || one.state == TargetState::Healthy) best = one.state;
    }
    if (!there || !right) {
        plan.steps.push_back({TargetAction::Register, target.address, target.weight});
    } else if (best != TargetState::Healthy) {
        plan.waiting = best == TargetState::Unhealthy
                           ? target.address.text() + " is registered, but unhealthy by the balancer's own check"
                           : target.address.text() + " is registered and not yet in use";
    }
}

}  // namespace

TargetPlan plan_targets(const std::vector<WantedTarget>& wanted, const std::vector<RegisteredTarget>& found,
                        bool can_drain) {
    TargetPlan plan;
    remove_what_is_not_wanted(plan, wanted, found);
    for (const auto& target : wanted) {
        if (target.draining && can_drain) drain(plan, target, found);
    }
    for (const auto& target : wanted) {
        if (!target.draining) add(plan, target, found);
    }
    plan.verified = plan.steps.empty() && plan.waiting.empty();
    return plan;
}

std::string_view to_string(TargetState state) {
    switch (state) {
        case TargetState::Initial:
            return "initial";
        case TargetState::Healthy:
            return "healthy";
        case TargetState::Unhealthy:
            return "unhealthy";
        case TargetState::Draining:
            return "draining";
        case TargetState::Unused:
            return "unused";
    }
    return "?";
}

std::string_view to_string(TargetAction action) {
    switch (action) {
        case TargetAction::Deregister:
            return "deregister";
        case TargetAction::Drain:
            return "drain";
        case TargetAction::Register:
            return "register";
    }
    return "?";
}

}  // namespace signalbox::routing
