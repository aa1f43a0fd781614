#pragma once
// Fences that wait for several groups, each with a deadline of its own: acknowledged from a thread of their own when
// every group is clear of whom it must not have, or late.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/time.hpp"
#include "ports/follow.hpp"

namespace signalbox::targetgroup {

class Barriers {
  public:
    struct Waiting {
        std::string endpoint;
        std::uint64_t generation = 0;  // of the group's goal; grows over all groups
        base::MonoTime deadline;
        base::Duration patience{};  // until then, for people
    };

    explicit Barriers(std::function<void(ports::BarrierDone)> on_barrier);
    // Acknowledges no more.
    ~Barriers();
    Barriers(const Barriers&) = delete;
    Barriers& operator=(const Barriers&) = delete;

    // Thread-safe. With nobody to wait for it is acknowledged at once, but never from within this call.
    void add(const std::string& cluster, std::uint64_t epoch, std::vector<Waiting> waiting);
    // The group is clear of whom its goals up to the generation do not want.
    void cleared(const std::string& endpoint, std::uint64_t generation, std::uint64_t sessions_ended);
    // What is not as it should be there, for whoever is late.
    void trouble(const std::string& endpoint, const std::string& text);
    // It is closed, and nobody waits for it.
    void forget(const std::string& endpoint);

  private:
    struct Barrier {
        ports::BarrierDone done;
        std::vector<Waiting> waiting;
    };
    void run();
    void release(const std::string& endpoint, std::uint64_t generation, std::uint64_t sessions_ended);
    void expire(base::MonoTime now);

    const std::function<void(ports::BarrierDone)> on_barrier_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stopping_ = false;
    std::vector<Barrier> barriers_;
    std::map<std::string, std::uint64_t> cleared_;  // by endpoint, the newest generation
    std::map<std::string, std::string> trouble_;    // by endpoint
    std::thread thread_;
};

}  // namespace signalbox::targetgroup
