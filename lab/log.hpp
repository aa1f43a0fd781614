#pragma once
// The lab's log file: one line per happening, with the time of day. Safe from several threads.

#include <mutex>
#include <string>

#include "base/error.hpp"
#include "base/time.hpp"

namespace signalbox::lab {

// Wall and monotonic clocks: the lab's only ones.
base::WallTime wall_now();
std::string now_text();

class Log {
  public:
    explicit Log(int fd) : fd_(fd) {}  // borrows fd
    void write(const std::string& text);

    template <typename... Args>
    void line(fmt::format_string<Args...> format, Args&&... args) {
        write(fmt::format(format, std::forward<Args>(args)...));
    }

  private:
    int fd_;
    std::mutex mutex_;
};

}  // namespace signalbox::lab
