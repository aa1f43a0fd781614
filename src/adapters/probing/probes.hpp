#pragma once
// Probes of cluster members of every engine: a thread and a warm connection for each, so that a member that hangs
// delays nobody else. Between probes a thread watches its connection's socket: a server that ends it is probed at once.

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "adapters/probing/member_link.hpp"
#include "ports/follow.hpp"

namespace signalbox::probing {

class Probes final : public ports::MemberProbes {
  public:
    // `on_observation` is called from the probes' threads.
    Probes(std::function<void(clusters::Observation)> on_observation, Engines engines);
    // Stops and joins; a probe under way is cancelled.
    ~Probes() override;

    // Members that changed keep their cadence. A cluster of an engine that nobody made links for is a broken invariant.
    void configure(const clusters::ClusterConfig& config) override;
    void remove(const std::string& cluster);

    void set_cadence(const std::string& cluster, const std::string& member, base::Duration interval,
                     base::Duration deadline) override;
    void wake(const std::string& cluster) override;

  private:
    class Member;
    using Members = std::map<std::string, std::unique_ptr<Member>>;
    std::function<void(clusters::Observation)> on_observation_;
    const Engines engines_;
    std::mutex mutex_;
    std::map<std::string, Members> clusters_;
};

}  // namespace signalbox::probing
