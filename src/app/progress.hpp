#pragma once
// One line on standard error that long work rewrites on a terminal; nothing in a pipe.

#include <chrono>
#include <cstdio>
#include <string>
#include <unistd.h>

namespace signalbox::app {

class Progress {
  public:
    Progress() = default;
    ~Progress() { clear(); }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    // Whether a line would be seen now: saves making it.
    bool due() const { return terminal_ && std::chrono::steady_clock::now() - last_ >= pause; }
    void show(const std::string& line) {
        if (!due()) return;
        last_ = std::chrono::steady_clock::now();
        shown_ = true;
        std::fprintf(stderr, "\r\033[K%s", line.c_str());
        std::fflush(stderr);
    }
    void clear() {
        if (shown_) std::fputs("\r\033[K", stderr);
        shown_ = false;
    }

  private:
    static constexpr auto pause = std::chrono::milliseconds(250);
    bool terminal_ = ::isatty(STDERR_FILENO) == 1;
    bool shown_ = false;
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace signalbox::app
