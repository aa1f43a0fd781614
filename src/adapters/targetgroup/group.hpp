#pragma once
// One endpoint's target group at work: a thread that compares what is there with what should be, at each new goal and
// at an interval, and does not believe a call but only what is listed after it.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/time.hpp"
#include "domain/routing/endpoint.hpp"
#include "ports/router.hpp"

namespace signalbox::targetgroup {

struct Goal {
    // None: nobody has said yet, and what is there stays.
    std::optional<std::vector<routing::WantedTarget>> wanted;
    // Besides: never this one, whatever is wanted (a reader group's member that was the writer).
    std::optional<base::HostPort> without;
    bool watch = false;  // look often: somebody waits for the sessions to end
    // What is reported once it is reached: the writer that the group is to have. No member: nothing.
    std::uint64_t epoch = 0;
    std::string member;
};

// Called from the group's thread, without its lock; must not call the group back.
struct GroupEvents {
    // The list shows nobody whom the goals up to this generation do not want. sessions_ended: through removed targets,
    // since the last such call.
    std::function<void(std::uint64_t generation, std::uint64_t sessions_ended)> on_cleared;
    // The list shows that the goal is reached, for the first time, `after` it was set.
    std::function<void(const Goal& goal, base::MonoTime at, base::Duration after)> on_verified;
    // A step was taken. foreign: somebody else had registered what goes.
    std::function<void(const routing::TargetStep& step, bool foreign)> on_step;
    // What is not as it should be; empty: all is well again. Called when it changes.
    std::function<void(const std::string& text)> on_problem;
};

class Group {
  public:
    Group(const routing::EndpointConfig& config, std::unique_ptr<ports::Router> router, GroupEvents events);
    // Leaves the group as it is; ends a call under way.
    ~Group();
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;

    // Thread-safe, returns at once. `generation`: the goal's number, larger than those before.
    void pursue(Goal goal, std::uint64_t generation);
    void set_interval(base::Duration reconcile);
    std::string describe() const { return router_->describe(); }
    std::string problem() const;
    std::uint64_t sessions() const;        // that run through it, as listed last
    std::uint64_t sessions_ended() const;  // through targets that it removed

  private:
    struct Pass;  // what one comparison came to
    void run();
    // Waits until it is time or there is a new goal; false: the end.
    bool next_goal(base::MonoTime due, Goal& goal, std::uint64_t& generation);
    Pass compare(const Goal& goal, std::uint64_t generation);
    bool take(const routing::TargetStep& step, const std::vector<ports::RegisteredTarget>& found, Pass& pass);
    bool overtaken(std::uint64_t generation) const;
    void cleared(std::uint64_t generation);
    void verified(const Goal& goal, std::uint64_t generation);
    base::Duration interval(const Goal& goal) const;
    void say(const std::string& problem);

    const routing::Role role_;
    const std::unique_ptr<ports::Router> router_;
    const GroupEvents events_;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    bool stopping_ = false;
    Goal goal_;
    std::uint64_t generation_ = 0;
    base::MonoTime set_at_{};
    base::Duration reconcile_;
    std::string problem_ = "not compared yet";
    std::uint64_t sessions_ = 0;
    std::uint64_t ended_ = 0;

    // Of the thread.
    bool can_drain_ = true;
    std::vector<base::HostPort> ours_;  // registered by us
    std::uint64_t ended_told_ = 0;
    std::uint64_t verified_ = 0;  // generation

    std::thread thread_;
};

}  // namespace signalbox::targetgroup
