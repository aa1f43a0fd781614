#include "adapters/process/host_spawn.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.hpp"

namespace signalbox::process {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Kind = SpawnResult::Kind;

constexpr std::size_t words_max_bytes = 4096;
constexpr auto poll_interval = 2ms;

std::vector<char*> pointers(const std::vector<std::string>& texts) {
    std::vector<char*> out;
    for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
    out.push_back(nullptr);
    return out;
}

// Returns an errno.
int spawn_process(const Spawn& spawn, int words, pid_t& pid) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, words, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    posix_spawn_file_actions_addchdir_np(&files, spawn.directory.c_str());
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    const int error = ::posix_spawn(&pid, spawn.command.front().c_str(), &files, &attributes,
                                    pointers(spawn.command).data(), pointers(spawn.environment).data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

// What was written so far, in one line, its beginning.
std::string words_of(int fd) {
    std::array<char, words_max_bytes> buffer{};
    const ssize_t size = ::read(fd, buffer.data(), buffer.size());
    std::string words(buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    std::replace_if(
        words.begin(), words.end(), [](unsigned char letter) { return letter < ' ' || letter == 127; }, ' ');
    return std::string(base::trim(words));
}

}  // namespace

SpawnResult spawn_detached(const Spawn& spawn, base::Duration timeout) {
    int words[2];
    if (::pipe2(words, O_CLOEXEC) != 0)
        return {Kind::Refused, fmt::format("cannot make a pipe: {}", std::strerror(errno))};
    ::fcntl(words[0], F_SETFL, O_NONBLOCK);
    pid_t pid = -1;
    const int error = spawn_process(spawn, words[1], pid);
    ::close(words[1]);
    const auto finish = [&](SpawnResult result) {
        ::close(words[0]);
        return result;
    };
    if (error != 0)
        return finish(
            {Kind::Refused, fmt::format("cannot execute {}: {}", spawn.command.front(), std::strerror(error))});
    const auto end = Clock::now() + timeout;
    int status = 0;
    for (;;) {
        const pid_t ended = ::waitpid(pid, &status, WNOHANG);
        if (ended == pid) break;
        if (ended < 0 && errno != EINTR)
            return finish({Kind::Unknown, fmt::format("lost sight of the supervisor: {}", std::strerror(errno))});
        if (Clock::now() >= end) {
            // Only the one that waits; whether it detached another before is what nobody knows.
            ::kill(pid, SIGKILL);
            while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
            }
            return finish({Kind::Unknown,
                           fmt::format("the supervisor did not answer within {}", base::format_duration(timeout))});
        }
        ::poll(nullptr, 0, static_cast<int>(poll_interval / 1ms));
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return finish({Kind::Detached, {}});
    const std::string said = words_of(words[0]);
    if (WIFEXITED(status))
        return finish({Kind::Refused, said.empty()
                                          ? fmt::format("the supervisor ended with exit code {}", WEXITSTATUS(status))
                                          : said});
    return finish(
        {Kind::Unknown, fmt::format("the supervisor was ended by signal {} while it started", WTERMSIG(status))});
}

std::vector<std::pair<std::string, std::string>> plain_environment() {
    std::vector<std::pair<std::string, std::string>> environment = {
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, {"LANG", "C.UTF-8"}};
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 4096> buffer{};
    if (::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
        environment.emplace_back("HOME", entry.pw_dir);
        environment.emplace_back("USER", entry.pw_name);
    }
    return environment;
}

}  // namespace signalbox::process
