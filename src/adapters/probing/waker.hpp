#pragma once
// Waits for a time, a call from another thread, or the end of an idle connection, whichever is first.

#include <optional>

#include "adapters/probing/member_link.hpp"

namespace signalbox::probing {

class Waker {
  public:
    Waker();
    ~Waker();
    Waker(const Waker&) = delete;
    Waker& operator=(const Waker&) = delete;

    enum class Reason { Due, Woken, Socket };
    // Until `due` (nothing: without end), wake(), or until `socket` (-1: none) has something to read: bytes that nobody
    // asked for, an end or an error. Calls of wake() from before are reported once.
    Reason wait(std::optional<Clock::time_point> due, int socket);
    // From any thread.
    void wake();

  private:
    int fd_ = -1;
};

}  // namespace signalbox::probing
