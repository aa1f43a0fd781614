#include "lab/log.hpp"

#include <chrono>
#include <unistd.h>

namespace signalbox::lab {

base::WallTime wall_now() { return std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now()); }

std::string now_text() { return base::format_time(wall_now()); }

void Log::write(const std::string& text) {
    const std::string entry = now_text() + " " + text + "\n";
    const std::lock_guard lock(mutex_);
    // A full disk must not stop the lab.
    [[maybe_unused]] const auto written = ::write(fd_, entry.data(), entry.size());
}

}  // namespace signalbox::lab
