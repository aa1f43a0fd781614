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
#include <poll.h>
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
// For what the command left behind to end after SIGKILL.
constexpr base::Duration sweep_time_max = 2s;
constexpr base::Duration lock_patience = 500ms;
constexpr std::uint64_t command_line_max_bytes = 8 << 20;
constexpr int not_executable = 126;
constexpr const char* node_address = "SIGNALBOX_NODE_ADDRESS";

struct Options {
    std::string directory;
    int rank = 0;
    std::string token;
    std::string timeout;
    bool detach = false;
    std::vector<std::string> command;
};

base::WallTime wall_now() { return std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now()); }

// The clock of deadlines: a step of the time of day must not end a run.
std::chrono::steady_clock::time_point mono_now() { return std::chrono::steady_clock::now(); }

tl::unexpected<base::Error> failed(const std::string& path, std::string_view doing) {
    const int code = errno;
    return fail(ErrorKind::Unavailable, "{}: cannot {}: {}", path, doing, std::strerror(code));
}

// The lock lives as long as this process, and a token that was noted stays: a second supervisor of the same node
// refuses to start the command again. Returns the descriptor, which is never closed.
base::Result<int> take_lock(const Options& options) {
    const std::string path = process::lock_path(options.directory, options.rank);
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return failed(path, "open");
    // Who looks whether the lock is held takes it for a moment.
    const auto lock_by = mono_now() + lock_patience;
    while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (mono_now() >= lock_by)
            return fail(ErrorKind::AlreadyExists, "{}: another supervisor holds this node", path);
        ::poll(nullptr, 0, 5);
    }
    char known[256] = {};
    const ssize_t size = ::pread(fd, known, sizeof known - 1, 0);
    if (size > 0 && std::string_view(known, static_cast<std::size_t>(size)) == options.token)
        return fail(ErrorKind::AlreadyExists, "{}: this node was started already; it is not started twice", path);
    return fd;
}

// From here on this node counts as started.
base::Status note_token(int lock, const Options& options) {
    if (::ftruncate(lock, 0) != 0 ||
        ::pwrite(lock, options.token.data(), options.token.size(), 0) != static_cast<ssize_t>(options.token.size()) ||
        ::fsync(lock) != 0)
        return failed(process::lock_path(options.directory, options.rank), "write");
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

void set_environment(const Options& options) {
    ::setenv(process::token_variable, options.token.c_str(), 1);
    // A launcher that knows the address has said it.
    const char* said = ::getenv(node_address);
    const std::string address = said != nullptr ? said : own_address();
    if (address.empty()) return;
    ::setenv(node_address, address.c_str(), 1);
    if (options.rank == 0) ::setenv("SIGNALBOX_DRIVER_ADDRESS", address.c_str(), 1);
}

// In the child: never returns.
[[noreturn]] void become(const Options& options, const sigset_t& old_mask, pid_t parent, int log, int report) {
    ::setpgid(0, 0);
    // If the supervisor is killed, nobody would note the command's end, nor keep its time-out.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(not_executable);
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
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

// Takes the status of every child that has ended, adopted ones included; the command's, if it is among them.
std::optional<int> reap(pid_t command) {
    std::optional<int> result;
    for (;;) {
        int status = 0;
        const pid_t pid = ::waitpid(-1, &status, WNOHANG);
        if (pid <= 0) return result;
        if (pid == command) result = status;
    }
}

std::vector<pid_t> own_children() {
    std::vector<pid_t> children;
    const auto text = base::read_file(fmt::format("/proc/self/task/{}/children", ::getpid()), 1 << 20);
    if (!text) return children;
    for (const std::string_view word : base::split(*text, ' '))
        if (const auto pid = base::parse_uint(word)) children.push_back(static_cast<pid_t>(*pid));
    return children;
}

// True if there are children, whatever they do.
bool has_children() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

// What the command left behind, in whatever session, was given to us, and must not outlive the node. A process of
// another node, which a run started that this command submitted, lives on.
void end_adopted(const Options& options) {
    const auto end = mono_now() + sweep_time_max;
    // The kernel's list may lack some while others of it end: only a list that stays empty is believed.
    for (int quiet = 0; quiet < 3 && has_children() && mono_now() < end; ++quiet) {
        (void)reap(-1);
        for (const pid_t pid : own_children()) {
            const auto token = process::token_of(pid);
            if (token && *token != options.token) continue;
            ::kill(pid, SIGKILL);
            quiet = -1;
        }
        ::poll(nullptr, 0, 2);
    }
}

// Waits for the command's end: forwards a request to stop, keeps the time-out, shows that it is alive.
jobs::Exit watch(const Options& options, const Child& child, base::Duration timeout, const sigset_t& signals) {
    const auto start_time = mono_now();
    std::optional<std::chrono::steady_clock::time_point> kill_at;
    jobs::ExitHow asked = jobs::ExitHow::Exited;
    const std::string heartbeat = process::heartbeat_path(options.directory, options.rank);
    for (;;) {
        beat(heartbeat);
        if (const auto status = reap(child.pid)) {
            ::kill(-child.pid, SIGKILL);
            end_adopted(options);
            const int code = WIFEXITED(*status) ? WEXITSTATUS(*status) : 0;
            const int signal = WIFSIGNALED(*status) ? WTERMSIG(*status) : 0;
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

// Leaves the caller: goes on in a new process of its own session, with none of the caller's descriptors but standard
// error. The process that was called ends when the new one says that it holds the node (exit code 0), or ends with the
// new one's exit code. Returns in the new process alone, with the descriptor on which it says so.
base::Result<int> detach() {
    ::close_range(STDERR_FILENO + 1, ~0U, 0);
    int ready[2];
    if (::pipe2(ready, O_CLOEXEC) != 0) return fail(ErrorKind::Unavailable, "cannot make a pipe");
    const pid_t pid = ::fork();
    if (pid < 0) return fail(ErrorKind::Unavailable, "cannot fork: {}", std::strerror(errno));
    if (pid > 0) {
        ::close(ready[1]);
        char word = 0;
        ssize_t size = 0;
        do {
            size = ::read(ready[0], &word, 1);
        } while (size < 0 && errno == EINTR);
        if (size == 1) ::_exit(0);
        int status = 0;
        while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
        // As who is killed: whether the node was taken is then for its files to tell.
        if (WIFSIGNALED(status)) ::kill(::getpid(), SIGKILL);
        ::_exit(WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : base::exit_code(ErrorKind::Unavailable));
    }
    ::setsid();
    return ready[1];
}

// Notes which process is to hold the node, for those who want to stop it.
base::Status note_process(const Options& options, base::WallTime started_at) {
    const auto identity = process::identify(::getpid());
    if (!identity) return fail(ErrorKind::Unavailable, "cannot read /proc/self/stat");
    return process::write_pid(options.directory, options.rank, {options.token, *identity, started_at});
}

// Lets the one that waits for us go. What goes wrong from here on is for the readers of the log.
base::Status say_ready(const Options& options, int ready) {
    const std::string path = process::log_path(options.directory, options.rank);
    const int log = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0) return failed(path, "open");
    ::dup2(log, STDERR_FILENO);
    ::close(log);
    [[maybe_unused]] const ssize_t said = ::write(ready, "+", 1);
    ::close(ready);
    return {};
}

base::Result<int> supervise(const Options& options) {
    base::Duration timeout{};
    if (!options.timeout.empty()) {
        SB_TRY(timeout, base::parse_duration(options.timeout));
    }
    int ready = -1;
    if (options.detach) {
        SB_TRY(ready, detach());
    }
    // From the first moment at which anybody could ask it to stop.
    sigset_t signals, old_mask;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&signals, signal);
    ::sigprocmask(SIG_BLOCK, &signals, &old_mask);
    SB_TRY(const int lock, take_lock(options));
    process::StatusRecord record;
    record.token = options.token;
    record.started_at = wall_now();
    if (options.detach) {
        SB_CHECK(note_process(options, record.started_at));
    }
    SB_CHECK(note_token(lock, options));
    if (options.detach) {
        SB_CHECK(say_ready(options, ready));
    }
    // Grandchildren whose parents ended come to us, and end with us.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    set_environment(options);
    SB_TRY(const Child child, start(options, old_mask));
    record.exit = watch(options, child, timeout, signals);
    record.ended_at = wall_now();
    SB_CHECK(process::write_status(options.directory, options.rank, record));
    if (record.exit.how == jobs::ExitHow::Exited || record.exit.how == jobs::ExitHow::Unstartable)
        return record.exit.code;
    return 128 + (record.exit.signal != 0 ? record.exit.signal : SIGTERM);
}

// The words after the first "--" as they were given: CLI11 takes one like "[a,b]" apart.
std::vector<std::string> words_as_given(std::vector<std::string> parsed) {
    const auto line = base::read_file("/proc/self/cmdline", command_line_max_bytes);
    if (!line || line->empty()) return parsed;
    std::vector<std::string> words;
    bool command = false;
    for (const std::string_view word : base::split(std::string_view(*line).substr(0, line->size() - 1), '\0')) {
        if (command) words.emplace_back(word);
        command = command || word == "--";
    }
    return words.empty() ? parsed : words;
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
    command->add_flag("--detach", options->detach, "Go on in a session of its own, and return when the node is held");
    command->add_option("command", options->command, "The program and its arguments, after --")->required();
    command->callback([options, &exit_status] {
        options->command = words_as_given(std::move(options->command));
        const auto status = supervise(*options);
        exit_status = status ? *status : report(status.error());
    });
}

}  // namespace signalbox::app
