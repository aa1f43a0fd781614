#include "adapters/targetgroup/group.hpp"

#include <algorithm>
#include <utility>

namespace signalbox::targetgroup {
namespace {

using namespace std::chrono_literals;
using routing::TargetAction;
using routing::TargetPlan;
using routing::TargetStep;

constexpr base::Duration retry_min = 5ms;
constexpr base::Duration retry_max = 500ms;
constexpr base::Duration watch_interval = 100ms;
constexpr std::size_t ours_max = 1000;

base::MonoTime mono_now() { return base::MonoTime(std::chrono::steady_clock::now().time_since_epoch()); }

TargetPlan plan_of(const Goal& goal, const std::vector<ports::RegisteredTarget>& found, bool can_drain) {
    if (goal.wanted) {
        auto wanted = *goal.wanted;
        std::erase_if(wanted, [&](const auto& target) { return target.address == goal.without; });
        return routing::plan_targets(wanted, found, can_drain);
    }
    // Only what must not be there goes.
    std::vector<ports::RegisteredTarget> unwanted = found;
    std::erase_if(unwanted, [&](const auto& target) { return target.address != goal.without; });
    return routing::plan_targets({}, unwanted, can_drain);
}

}  // namespace

struct Group::Pass {
    bool cleared = false;
    bool verified = false;
    bool again = false;  // something was done: look at once whether it took
    std::string problem;
};

Group::Group(const routing::EndpointConfig& config, std::unique_ptr<ports::Router> router, GroupEvents events)
    : role_(config.role),
      router_(std::move(router)),
      events_(std::move(events)),
      reconcile_(config.target_group.reconcile),
      thread_([this] { run(); }) {}

Group::~Group() {
    {
        const std::lock_guard guard(mutex_);
        stopping_ = true;
    }
    router_->cancel();
    changed_.notify_one();
    thread_.join();
}

void Group::pursue(Goal goal, std::uint64_t generation) {
    {
        const std::lock_guard guard(mutex_);
        goal_ = std::move(goal);
        set_at_ = mono_now();
        generation_ = generation;
    }
    changed_.notify_one();
}

void Group::set_interval(base::Duration reconcile) {
    const std::lock_guard guard(mutex_);
    reconcile_ = reconcile;
}

std::string Group::problem() const {
    const std::lock_guard guard(mutex_);
    return problem_;
}

std::uint64_t Group::sessions() const {
    const std::lock_guard guard(mutex_);
    return sessions_;
}

std::uint64_t Group::sessions_ended() const {
    const std::lock_guard guard(mutex_);
    return ended_;
}

bool Group::overtaken(std::uint64_t generation) const {
    const std::lock_guard guard(mutex_);
    return stopping_ || generation_ != generation;
}

bool Group::next_goal(base::MonoTime due, Goal& goal, std::uint64_t& generation) {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, std::chrono::steady_clock::time_point(due.time_since_epoch()),
                        [&] { return stopping_ || generation_ != generation; });
    goal = goal_;
    generation = generation_;
    return !stopping_;
}

base::Duration Group::interval(const Goal& goal) const {
    const std::lock_guard guard(mutex_);
    return goal.watch ? std::min(watch_interval, reconcile_) : reconcile_;
}

void Group::run() {
    base::Duration retry = retry_min;
    base::MonoTime next{};  // at once
    Goal goal;
    std::uint64_t generation = 0;
    for (std::uint64_t before = 0; next_goal(next, goal, generation); before = generation) {
        if (generation != before) retry = retry_min;
        const Pass pass = compare(goal, generation);
        if (overtaken(generation)) {
            next = {};
            continue;
        }
        say(pass.problem);
        if (pass.cleared) cleared(generation);
        if (pass.verified) {
            verified(goal, generation);
            retry = retry_min;
            next = mono_now() + interval(goal);
            continue;
        }
        // What was done is looked at once without a pause; what does not take is not hammered.
        const bool at_once = pass.again && retry == retry_min;
        next = mono_now() + (at_once ? 0ns : std::min(retry, interval(goal)));
        retry = std::min(retry * 2, retry_max);
    }
}

Group::Pass Group::compare(const Goal& goal, std::uint64_t generation) {
    Pass pass;
    const auto found = router_->targets();
    if (!found) {
        pass.problem = found.error().text();
        return pass;
    }
    std::uint64_t sessions = 0;
    for (const auto& target : *found) sessions += target.sessions.value_or(0);
    {
        const std::lock_guard guard(mutex_);
        sessions_ = sessions;
    }
    const TargetPlan plan = plan_of(goal, *found, can_drain_);
    bool removed = true;
    for (const TargetStep& step : plan.steps) {
        if (overtaken(generation)) return pass;
        // While somebody who must not write may be in a writer's group, nobody else comes in.
        if (step.action == TargetAction::Register && role_ == routing::Role::Writer && !removed) continue;
        const bool done = take(step, *found, pass);
        removed = removed && (done || step.action != TargetAction::Deregister);
    }
    pass.verified = plan.verified;
    pass.cleared = std::none_of(plan.steps.begin(), plan.steps.end(),
                                [](const auto& step) { return step.action == TargetAction::Deregister; });
    if (pass.problem.empty() && !plan.verified) pass.problem = plan.waiting;
    if (pass.problem.empty() && !plan.verified) pass.problem = "changed, and not seen in the list yet";
    return pass;
}

bool Group::take(const TargetStep& step, const std::vector<ports::RegisteredTarget>& found, Pass& pass) {
    const bool ours = std::find(ours_.begin(), ours_.end(), step.address) != ours_.end();
    if (step.action == TargetAction::Register && !ours) {
        // Before the call: one that times out may have happened.
        if (ours_.size() >= ours_max) ours_.erase(ours_.begin());
        ours_.push_back(step.address);
    }
    const auto done = step.action == TargetAction::Register ? router_->register_target(step.address, step.weight)
                      : step.action == TargetAction::Drain  ? router_->drain_target(step.address)
                                                            : router_->deregister_target(step.address);
    if (!done && step.action == TargetAction::Drain && done.error().kind == base::ErrorKind::NotSupported) {
        can_drain_ = false;
        pass.again = true;
        return true;
    }
    if (!done) {
        if (pass.problem.empty()) pass.problem = done.error().text();
        return false;
    }
    pass.again = true;
    if (step.action == TargetAction::Deregister) {
        std::uint64_t ended = 0;
        for (const auto& target : found) {
            if (target.address == step.address) ended += target.sessions.value_or(0);
        }
        const std::lock_guard guard(mutex_);
        ended_ += ended;
    }
    if (events_.on_step) events_.on_step(step, step.action == TargetAction::Deregister && !ours);
    return true;
}

void Group::cleared(std::uint64_t generation) {
    std::uint64_t ended = 0;
    {
        const std::lock_guard guard(mutex_);
        ended = ended_ - std::exchange(ended_told_, ended_);
    }
    if (events_.on_cleared) events_.on_cleared(generation, ended);
}

void Group::verified(const Goal& goal, std::uint64_t generation) {
    if (std::exchange(verified_, generation) == generation) return;
    const auto at = mono_now();
    base::Duration after{};
    {
        const std::lock_guard guard(mutex_);
        after = at - set_at_;
    }
    if (events_.on_verified && !goal.member.empty()) events_.on_verified(goal, at, after);
}

void Group::say(const std::string& problem) {
    {
        const std::lock_guard guard(mutex_);
        if (problem_ == problem) return;
        problem_ = problem;
    }
    if (events_.on_problem) events_.on_problem(problem);
}

}  // namespace signalbox::targetgroup
