#include "app/cmd_supervise.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <ifaddrs.h>
#include <memory>
#include <net/if.h>
#include <string>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "adapters/process/supervisor_files.hpp"
#include "app/report.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using base::ErrorKind;
using base::fail;

constexpr base::Duration heartbeat_interval = 1s;
// Between SIGTERM and SIGKILL when the supervisor itself ends the command. Shorter than the launcher's own grace, so
// that the exit status is written before the launcher kills the supervisor.
constexpr base::Duration term_grace = 3s;
constexpr int not_executable = 126;

struct Options {
    std::string directory;
    int rank = 0;
    std::string token;
    std::string timeout;
    std::vector<std::string> command;
};

base::WallTime wall_now() { return std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now()); }

// The clock of deadlines: a step of the time of day must not end a run.
std::chrono::steady_clock::time_point mono_now() { return std::chrono::steady_clock::now(); }

tl::unexpected<base::Error> failed(const std::string& path, std::string_view doing) {
    const int code = errno;
    return fail(ErrorKind::Unavailable, "{}: cannot {}: {}", path, doing, std::strerror(code));
}

// The lock lives as long as this process: a second supervisor of the same node refuses to start the command again.
base::Status hold_token(const Options& options) {
    const std::string path = process::lock_path(options.directory, options.rank);
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return failed(path, "open");
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0)
        return fail(ErrorKind::AlreadyExists, "{}: another supervisor holds this node", path);
    char known[256] = {};
    const ssize_t size = ::pread(fd, known, sizeof known - 1, 0);
    if (size > 0 && std::string_view(known, static_cast<std::size_t>(size)) == options.token)
        return fail(ErrorKind::AlreadyExists, "{}: this node was started already; it is not started twice", path);
    if (::ftruncate(fd, 0) != 0 ||
        ::pwrite(fd, options.token.data(), options.token.size(), 0) != static_cast<ssize_t>(options.token.size()) ||
        ::fsync(fd) != 0)
        return failed(path, "write");
    // Deliberately left open.
    return {};
}

// The first address of a network interface that is not the loopback: a node has one.
std::string own_address() {
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) return {};
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> guard(list, &::freeifaddrs);
    for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
        if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET) continue;
        if ((entry->ifa_flags & IFF_LOOPBACK) != 0) continue;
        char text[INET_ADDRSTRLEN] = {};
        const auto* address = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
        if (::inet_ntop(AF_INET, &address->sin_addr, text, sizeof text) != nullptr) return text;
    }
    return {};
}

void set_addresses(int rank) {
    const std::string address = own_address();
    if (address.empty()) return;
    ::setenv("SIGNALBOX_NODE_ADDRESS", address.c_str(), 1);
    if (rank == 0) ::setenv("SIGNALBOX_DRIVER_ADDRESS", address.c_str(), 1);
}

// In the child: never returns.
[[noreturn]] void become(const Options& options, const sigset_t& old_mask, pid_t parent, int log, int report) {
    ::setpgid(0, 0);
    // If the supervisor is killed, nobody would note the command's end, nor keep its time-out.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(not_executable);
    const int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, STDIN_FILENO);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::signal(SIGPIPE, SIG_DFL);
    ::sigprocmask(SIG_SETMASK, &old_mask, nullptr);
    std::vector<char*> argv;
    for (const std::string& word : options.command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    const int code = errno;
    ::dprintf(STDERR_FILENO, "signalbox supervise: cannot execute '%s': %s\n", argv[0], std::strerror(code));
    [[maybe_unused]] const ssize_t told = ::write(report, &code, sizeof code);
    ::_exit(not_executable);
}

struct Child {
    pid_t pid = -1;
    bool executable = true;
};

base::Result<Child> start(const Options& options, const sigset_t& old_mask) {
    const std::string path = process::log_path(options.directory, options.rank);
    const int log = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0) return failed(path, "open");
    // Closed by a successful exec; else it carries the reason.
    int report[2];
    if (::pipe2(report, O_CLOEXEC) != 0) return failed(path, "make a pipe beside");
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) return failed(options.command.front(), "fork for");
    if (pid == 0) become(options, old_mask, parent, log, report[1]);
    ::setpgid(pid, pid);
    ::close(report[1]);
    ::close(log);
    int code = 0;
    ssize_t size = 0;
    do {
        size = ::read(report[0], &code, sizeof code);
    } while (size < 0 && errno == EINTR);
    ::close(report[0]);
    return Child{pid, size <= 0};
}

void beat(const std::string& path) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return;
    ::futimens(fd, nullptr);
    ::close(fd);
}

// Waits for the command's end: forwards a request to stop, keeps the time-out, shows that it is alive.
jobs::Exit watch(const Options& options, const Child& child, base::Duration timeout, const sigset_t& signals) {
    const auto start_time = mono_now();
    std::optional<std::chrono::steady_clock::time_point> kill_at;
    jobs::ExitHow asked = jobs::ExitHow::Exited;
    const std::string heartbeat = process::heartbeat_path(options.directory, options.rank);
    for (;;) {
        beat(heartbeat);
        int status = 0;
        if (::waitpid(child.pid, &status, WNOHANG) == child.pid) {
            // What the command left behind in its group must not outlive the node.
            ::kill(-child.pid, SIGKILL);
            const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
            const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
            if (!child.executable) return {jobs::ExitHow::Unstartable, code, 0};
            if (asked != jobs::ExitHow::Exited) return {asked, code, signal};
            return {signal != 0 ? jobs::ExitHow::Signaled : jobs::ExitHow::Exited, code, signal};
        }
        const auto now = mono_now();
        if (!kill_at && timeout > base::Duration::zero() && now - start_time >= timeout) {
            asked = jobs::ExitHow::TimedOut;
            ::kill(-child.pid, SIGTERM);
            kill_at = now + term_grace;
        }
        if (kill_at && now >= *kill_at) ::kill(-child.pid, SIGKILL);
        auto wait = heartbeat_interval;
        if (kill_at) wait = std::min(wait, std::max<base::Duration>(*kill_at - now, 10ms));
        if (timeout > base::Duration::zero() && !kill_at)
            wait = std::min(wait, std::max<base::Duration>(start_time + timeout - now, 1ms));
        const timespec pause{static_cast<time_t>(wait / 1s), static_cast<long>((wait % 1s).count())};
        const int signal = ::sigtimedwait(&signals, nullptr, &pause);
        if (signal == SIGTERM || signal == SIGINT || signal == SIGHUP) {
            if (asked == jobs::ExitHow::Exited) asked = jobs::ExitHow::Stopped;
            ::kill(-child.pid, SIGTERM);
            if (!kill_at) kill_at = mono_now() + term_grace;
        }
    }
}

base::Result<int> supervise(const Options& options) {
    base::Duration timeout{};
    if (!options.timeout.empty()) {
        SB_TRY(timeout, base::parse_duration(options.timeout));
    }
    SB_CHECK(hold_token(options));
    sigset_t signals, old_mask;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&signals, signal);
    ::sigprocmask(SIG_BLOCK, &signals, &old_mask);
    // Grandchildren whose parents ended come to us, and end with us.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    set_addresses(options.rank);
    process::StatusRecord record;
    record.token = options.token;
    record.started_at = wall_now();
    SB_TRY(const Child child, start(options, old_mask));
    record.exit = watch(options, child, timeout, signals);
    record.ended_at = wall_now();
    SB_CHECK(process::write_status(options.directory, options.rank, record));
    if (record.exit.how == jobs::ExitHow::Exited || record.exit.how == jobs::ExitHow::Unstartable)
        return record.exit.code;
    return 128 + (record.exit.signal != 0 ? record.exit.signal : SIGTERM);
}

}  // namespace

void register_supervise(CLI::App& app, int& exit_status) {
    auto options = std::make_shared<Options>();
    auto* command = app.add_subcommand("supervise", "Run one node's command and keep its log and exit status");
    // For launchers, not for people: left out of the list of commands.
    command->group("");
    command->add_option("--directory", options->directory, "The run's folder")->required();
    command->add_option("--rank", options->rank, "The node's number; 0 is the driver")->required();
    command->add_option("--token", options->token, "The node's launch token")->required();
    command->add_option("--timeout", options->timeout, "End the command after this time, like 90s or 2h");
    command->add_option("command", options->command, "The program and its arguments, after --")->required();
    command->callback([options, &exit_status] {
        const auto status = supervise(*options);
        exit_status = status ? *status : report(status.error());
    });
}

}  // namespace signalbox::app
