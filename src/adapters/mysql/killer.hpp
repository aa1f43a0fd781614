#pragma once
// Ends our sessions on a former writer by their connection ids: a dropped socket does not stop a running statement.

#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "adapters/mysql/client.hpp"
#include "domain/clusters/config.hpp"
#include "ports/follow.hpp"

namespace signalbox::mysql {

class Killer final : public ports::SessionKiller {
  public:
    // Called from a thread of the killer's, once per kill().
    explicit Killer(std::function<void(ports::SessionsKilled)> on_killed);
    // Waits for kills under way: at most their deadlines.
    ~Killer() override;

    // Where the cluster's members are and how to log in.
    void configure(const clusters::ClusterConfig& config);

    // A connection counts as killed when the server says that it knows it no more (error 1094), not when it was told
    // to. More than kills_max at once, and members that nobody configured, fail at once.
    void kill(const std::string& cluster, std::uint64_t epoch, const std::string& member,
              const std::vector<clusters::ServerSession>& sessions, base::Duration deadline) override;

    static constexpr std::size_t kills_max = 64;

  private:
    struct Job {
        std::thread thread;
        bool done = false;
    };
    void reap();

    std::function<void(ports::SessionsKilled)> on_killed_;
    std::mutex mutex_;
    std::map<std::string, clusters::ClusterConfig> clusters_;
    std::list<Job> jobs_;
};

// The number of ids that are gone for certain within the deadline.
std::uint64_t kill_connections(const ConnectParams& params, std::vector<std::uint64_t> ids, base::Duration deadline);

}  // namespace signalbox::mysql
