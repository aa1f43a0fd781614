#include "adapters/process/strategy_program.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "base/text.hpp"

namespace signalbox::process {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto slice = 20ms;  // how soon its end is noticed

struct Descriptor {
    int fd = -1;
    ~Descriptor() { close(); }
    Descriptor() = default;
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    void close() {
        if (fd >= 0) ::close(std::exchange(fd, -1));
    }
};

// Two ends of a connected pair. Sockets, so that writing to a program that has ended is an error and no signal.
struct Channel {
    Descriptor ours, theirs;
    bool open() {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
        ours.fd = ends[0];
        theirs.fd = ends[1];
        ::fcntl(ours.fd, F_SETFL, O_NONBLOCK);
        return true;
    }
};

std::string start(const jobs::StrategyProgram& program, const std::string& directory, const Channel& input,
                  const Channel& output, pid_t& pid) {
    if (program.command.empty()) return "no program is configured";
    std::vector<std::string> words = program.command;
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, input.theirs.fd, 0);
    posix_spawn_file_actions_adddup2(&files, output.theirs.fd, 1);
    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addchdir_np(&files, directory.c_str());
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    const int error = ::posix_spawnp(&pid, words.front().c_str(), &files, &attributes, pointers.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return error == 0 ? std::string() : fmt::format("it could not be started: {}", std::strerror(error));
}

// Gives it what it takes now. A program that reads nothing, or not all, is free to.
void feed(Channel& input, std::string_view& rest) {
    while (input.ours.fd >= 0) {
        if (rest.empty()) return input.ours.close();
        const ssize_t sent = ::send(input.ours.fd, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (sent <= 0) return input.ours.close();
        rest.remove_prefix(static_cast<std::size_t>(sent));
    }
}

// Returns false at the end of what it says.
bool listen(const Channel& output, std::string& said) {
    char buffer[8192];
    while (said.size() <= strategy_output_max) {
        const ssize_t size = ::recv(output.ours.fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && errno == EAGAIN) return true;
        if (size <= 0) return false;
        said.append(buffer, static_cast<std::size_t>(size));
    }
    return true;
}

std::string ending(int status) {
    if (WIFSIGNALED(status)) return fmt::format("it was ended by signal {}", WTERMSIG(status));
    if (WEXITSTATUS(status) != 0) return fmt::format("it ended with exit code {}", WEXITSTATUS(status));
    return {};
}

// Feeds and hears it until it has ended; why not, else empty.
std::string converse(pid_t pid, Channel& input, Channel& output, std::string_view question, base::Duration deadline,
                     std::string& said) {
    const auto end = Clock::now() + deadline;
    std::string fault;
    bool reaped = false;
    int status = 0;
    while (fault.empty() && !reaped) {
        feed(input, question);
        const bool open = listen(output, said);
        if (said.size() > strategy_output_max) fault = fmt::format("it said more than {} bytes", strategy_output_max);
        reaped = ::waitpid(pid, &status, WNOHANG) == pid;
        if (reaped || !fault.empty()) break;
        if (Clock::now() >= end) {
            fault = fmt::format("it did not end within {}", base::format_duration(deadline));
            break;
        }
        pollfd ready[] = {{output.ours.fd, POLLIN, 0}, {input.ours.fd, POLLOUT, 0}};
        const int wait_ms = static_cast<int>(std::chrono::milliseconds(slice).count());
        if (open) {
            ::poll(ready, 2, wait_ms);
        } else {
            // A closed end is ready for ever: the process itself is asked in small steps then.
            std::this_thread::sleep_for(1ms);
        }
    }
    // With whatever it left behind.
    ::kill(-pid, SIGKILL);
    if (!reaped) ::waitpid(pid, &status, 0);
    if (!fault.empty()) return fault;
    listen(output, said);
    if (said.size() > strategy_output_max) return fmt::format("it said more than {} bytes", strategy_output_max);
    return ending(status);
}

}  // namespace

jobs::ProgramAnswer StrategyProgram::ask(const jobs::StrategyProgram& program, const base::json::object& question) {
    jobs::ProgramAnswer answer;
    Channel input, output;
    if (!input.open() || !output.open()) {
        answer.fault = fmt::format("no channel to it could be made: {}", std::strerror(errno));
        return answer;
    }
    pid_t pid = -1;
    answer.fault = start(program, directory_, input, output, pid);
    if (!answer.fault.empty()) return answer;
    input.theirs.close();
    output.theirs.close();
    const std::string text = base::json::serialize(question) + "\n";
    std::string said;
    answer.fault = converse(pid, input, output, text, program.deadline, said);
    if (!answer.fault.empty()) return answer;
    for (const std::string_view line : base::split(said, '\n'))
        if (const auto name = base::trim(line); !name.empty()) answer.names.emplace_back(name);
    return answer;
}

}  // namespace signalbox::process
