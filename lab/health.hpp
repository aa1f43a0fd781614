#pragma once
// Watches a member over the network, as its clients see it. Its own lateness never counts as the member's.

#include <atomic>
#include <memory>
#include <thread>

#include "lab/member.hpp"

namespace signalbox::lab {

class Health {
  public:
    // Checks every third of `detect`; three misses in a row are unhealthy.
    Health(std::unique_ptr<Pulse> pulse, base::Duration detect);
    ~Health();
    bool healthy() const { return misses_ < misses_max; }
    // Forgets what was seen: after a change that explains it.
    void reset() { misses_ = 0; }

    static constexpr int misses_max = 3;

  private:
    void loop();
    std::unique_ptr<Pulse> pulse_;
    base::Duration interval_;
    std::atomic<int> misses_ = 0;
    std::atomic<bool> stopping_ = false;
    std::thread thread_;
};

}  // namespace signalbox::lab
