#pragma once
// The data plane of target-group endpoints: a balancer's target group is kept right through a ports::Router, which the
// registry makes. What it does at each call of the port, and what it can't do: docs/reference/target-groups.md.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ports/follow.hpp"
#include "ports/router.hpp"

namespace signalbox::targetgroup {

// A writer's group was seen to have the epoch's member and nobody else.
struct Verified {
    std::string cluster;
    std::string endpoint;
    std::uint64_t epoch = 0;
    std::string member;
    base::MonoTime at;
    base::Duration after{};  // since the route
};

struct StepTaken {
    std::string cluster;
    std::string endpoint;
    routing::TargetStep step;
    bool foreign = false;  // somebody else had registered what went
};

// All are called from threads of the plane, one at a time for each endpoint; they must not call the plane back.
struct TargetGroupOptions {
    std::function<base::Result<std::unique_ptr<ports::Router>>(const routing::TargetGroupConfig&)> make_router;
    std::function<void(ports::BarrierDone)> on_barrier;
    std::function<void(const Verified&)> on_verified;
    std::function<void(const StepTaken&)> on_step;
    // A group's trouble when it changes; empty text: all is well again.
    std::function<void(const std::string& cluster, const std::string& endpoint, const std::string& text)> on_problem;
};

class TargetGroups final : public ports::DataPlane {
  public:
    explicit TargetGroups(TargetGroupOptions options);
    // Leaves all groups as they are, ends calls under way, joins the threads.
    ~TargetGroups() override;
    TargetGroups(const TargetGroups&) = delete;
    TargetGroups& operator=(const TargetGroups&) = delete;

    // Asks the balancer nothing yet: what it has to say is in stats(). Errors: InvalidConfig for names that can't be,
    // AlreadyExists if another endpoint has that group.
    base::Result<std::string> open(const routing::EndpointConfig& config) override;
    // The group stays as it is.
    void close(const std::string& endpoint) override;
    void update(const routing::EndpointConfig& config) override;
    std::vector<ports::EndpointStats> stats() const override;

    void hold(const std::string& cluster, std::uint64_t epoch) override;
    void fence(const std::string& cluster, std::uint64_t epoch) override;
    void route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
               const base::HostPort& address) override;
    void set_readers(const std::string& cluster, const std::string& endpoint,
                     const std::vector<routing::ReaderTarget>& targets) override;
    std::uint64_t writer_sessions(const std::string& cluster) const override;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace signalbox::targetgroup
