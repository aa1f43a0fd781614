#pragma once
// Ends our sessions on a former writer, of every engine: a dropped socket does not stop a running statement. Each
// member has a thread with a warm connection of its own, so that a kill costs a round trip and never waits for a probe.

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "adapters/probing/member_link.hpp"
#include "ports/follow.hpp"

namespace signalbox::probing {

class Killer final : public ports::SessionKiller {
  public:
    // `on_killed` is called from a thread of the killer's, or from kill(), once per kill().
    Killer(std::function<void(ports::SessionsKilled)> on_killed, Engines engines);
    // Kills under way are cut short, and reported as far as they came.
    ~Killer() override;

    // Where the cluster's members are and how to log in. Members that stay as they were keep their connection.
    void configure(const clusters::ClusterConfig& config);
    void remove(const std::string& cluster);

    // A session counts as killed when the server says that it has it no more, not when it was told to end. More than
    // kills_max for one member at once, and members that nobody configured, fail at once.
    void kill(const std::string& cluster, std::uint64_t epoch, const std::string& member,
              const std::vector<clusters::ServerSession>& sessions, base::Duration deadline) override;

    static constexpr std::size_t kills_max = 64;

  private:
    class Worker;
    using Workers = std::map<std::string, std::unique_ptr<Worker>>;
    std::function<void(ports::SessionsKilled)> on_killed_;
    const Engines engines_;
    std::mutex mutex_;
    std::map<std::string, Workers> clusters_;
};

}  // namespace signalbox::probing
