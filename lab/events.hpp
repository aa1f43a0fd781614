#pragma once
// The lab's event stream: what a cloud would announce. Kept in memory; numbered from 1.

#include <condition_variable>
#include <deque>
#include <mutex>

#include "base/json.hpp"
#include "base/time.hpp"

namespace signalbox::lab {

class Events {
  public:
    void add(const std::string& cluster, const std::string& kind, const std::string& message);
    // The events after that number, waiting for the first one for at most `wait`. At most `kept_max` are remembered.
    base::json::array after(std::uint64_t sequence, base::Duration wait);
    void stop();

    static constexpr std::size_t kept_max = 10'000;

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::pair<std::uint64_t, base::json::object>> events_;
    std::uint64_t last_ = 0;
    bool stopped_ = false;
};

}  // namespace signalbox::lab
