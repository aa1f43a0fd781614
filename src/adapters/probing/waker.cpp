#include "adapters/probing/waker.hpp"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>

namespace signalbox::probing {
namespace {

// Without a descriptor of its own a waker still works, by looking again this often.
constexpr auto blind_wait = std::chrono::milliseconds(20);

timespec timespec_of(Clock::duration duration) {
    const auto ns = std::max<std::int64_t>(0, std::chrono::nanoseconds(duration).count());
    return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

}  // namespace

Waker::Waker() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Waker::~Waker() {
    if (fd_ >= 0) ::close(fd_);
}

void Waker::wake() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(fd_, &one, sizeof one);
}

Waker::Reason Waker::wait(std::optional<Clock::time_point> due, int socket) {
    for (;;) {
        pollfd fds[2] = {{fd_, POLLIN, 0}, {socket, POLLIN | POLLRDHUP, 0}};
        std::optional<Clock::duration> left;
        if (due) left = *due - Clock::now();
        if (fd_ < 0) left = std::min<Clock::duration>(left.value_or(blind_wait), blind_wait);
        const timespec timeout = timespec_of(left.value_or(Clock::duration(0)));
        const int ready = ::ppoll(fds, 2, left ? &timeout : nullptr, nullptr);
        if (ready < 0) {
            if (errno == EINTR) continue;
            std::this_thread::sleep_for(blind_wait);
            return Reason::Woken;
        }
        if ((fds[0].revents & POLLIN) != 0) {
            std::uint64_t count = 0;
            [[maybe_unused]] const auto size = ::read(fd_, &count, sizeof count);
            return Reason::Woken;
        }
        if (fds[1].revents != 0) return Reason::Socket;
        if (ready == 0) return due && Clock::now() >= *due ? Reason::Due : Reason::Woken;
    }
}

}  // namespace signalbox::probing
