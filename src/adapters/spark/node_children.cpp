#include "adapters/spark/node_children.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace signalbox::spark {
namespace {

using namespace std::chrono_literals;
using base::ErrorKind;
using base::fail;
using Clock = std::chrono::steady_clock;

constexpr std::size_t output_max_bytes = 64 * 1024;

sigset_t awaited() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
    return signals;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
    std::vector<char*> out;
    for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
    out.push_back(nullptr);
    return out;
}

}  // namespace

Children::Children(const std::vector<std::pair<std::string, std::string>>& variables) {
    const sigset_t signals = awaited();
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    for (char** entry = environ; *entry != nullptr; ++entry) environment_.emplace_back(*entry);
    for (const auto& [key, value] : variables) {
        const std::string start = key + "=";
        const bool set = std::any_of(environment_.begin(), environment_.end(),
                                     [&](const std::string& entry) { return entry.starts_with(start); });
        if (!set) environment_.push_back(start + value);
    }
}

base::Result<pid_t> Children::spawn(const std::vector<std::string>& command, int output) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    if (output >= 0) posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    pid_t pid = -1;
    const int error = ::posix_spawn(&pid, command.front().c_str(), &files, &attributes, pointers(command).data(),
                                    pointers(environment_).data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (error != 0) return fail(ErrorKind::NotFound, "{}: cannot execute: {}", command.front(), std::strerror(error));
    children_.emplace_back(pid, std::nullopt);
    return pid;
}

base::Result<pid_t> Children::start(const std::vector<std::string>& command) { return spawn(command, -1); }

void Children::reap() {
    for (auto& [pid, code] : children_) {
        int status = 0;
        if (code || ::waitpid(pid, &status, WNOHANG) != pid) continue;
        code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
}

void Children::wait(base::Duration time_max) {
    const sigset_t signals = awaited();
    const timespec pause{static_cast<time_t>(time_max / 1s), static_cast<long>((time_max % 1s).count())};
    const int signal = ::sigtimedwait(&signals, nullptr, &pause);
    if (signal == SIGTERM || signal == SIGINT || signal == SIGHUP) {
        stopping_ = true;
        for (const auto& [pid, code] : children_)
            if (!code) ::kill(pid, SIGTERM);
    }
    reap();
}

std::optional<int> Children::ended(pid_t pid) const {
    for (const auto& [known, code] : children_)
        if (known == pid) return code;
    return std::nullopt;
}

void Children::end(pid_t pid, base::Duration grace) {
    const auto kill_at = Clock::now() + grace;
    reap();
    if (!ended(pid)) ::kill(pid, SIGTERM);
    while (!ended(pid)) {
        if (Clock::now() >= kill_at) ::kill(pid, SIGKILL);
        wait(50ms);
    }
}

base::Result<std::string> Children::output_of(const std::vector<std::string>& command, base::Duration time_max) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return fail(ErrorKind::Unavailable, "cannot make a pipe");
    const auto started = spawn(command, ends[1]);
    ::close(ends[1]);
    std::string output;
    const auto deadline = Clock::now() + time_max;
    while (started) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd entry{ends[0], POLLIN, 0};
        if (left <= 0 || output.size() > output_max_bytes) break;
        if (::poll(&entry, 1, static_cast<int>(left)) <= 0) continue;
        char buffer[4096];
        const ssize_t size = ::read(ends[0], buffer, sizeof buffer);
        if (size <= 0) break;
        output.append(buffer, static_cast<std::size_t>(size));
    }
    ::close(ends[0]);
    if (!started) return tl::unexpected<base::Error>(started.error());
    while (!ended(*started) && Clock::now() < deadline) wait(20ms);
    if (!ended(*started)) {
        end(*started, 0s);
        return fail(ErrorKind::Unavailable, "{}: did not answer within {}", command.front(),
                    base::format_duration(time_max));
    }
    if (*ended(*started) != 0)
        return fail(ErrorKind::Unavailable, "{}: ended with exit code {}", command.front(), *ended(*started));
    return output;
}

}  // namespace signalbox::spark
