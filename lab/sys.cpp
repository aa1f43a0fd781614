#include "lab/sys.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <grp.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;

namespace {

constexpr std::size_t output_max_bytes = 1 << 20;

struct Account {
    uid_t uid;
    gid_t gid;
};

base::Result<std::optional<Account>> find_account(const std::string& name) {
    if (name.empty()) return std::optional<Account>();
    passwd entry{};
    passwd* found = nullptr;
    char buffer[4096];
    if (::getpwnam_r(name.c_str(), &entry, buffer, sizeof buffer, &found) != 0 || !found)
        return fail(ErrorKind::NotFound, "there is no user '{}' on this machine", name);
    return std::optional(Account{entry.pw_uid, entry.pw_gid});
}

// What runs between fork and exec: system calls only, since other threads' locks may be held for ever.
[[noreturn]] void become(const SpawnOptions& options, const Account* account, const char* program, char* const* argv,
                         char* const* environment, int null_fd, int report_fd) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    const int fds[3] = {options.in >= 0 ? options.in : null_fd, options.out >= 0 ? options.out : null_fd,
                        options.error >= 0 ? options.error : null_fd};
    bool good = !options.own_group || ::setsid() >= 0;
    good = good && (options.netns < 0 || ::setns(options.netns, CLONE_NEWNET) == 0);
    if (account)
        good = good && ::setgroups(0, nullptr) == 0 && ::setgid(account->gid) == 0 && ::setuid(account->uid) == 0;
    // All three are above 2 (process 1 keeps 0–2 open), so that no dup2 overwrites the next one's source.
    for (int i = 0; good && i < 3; ++i) good = ::dup2(fds[i], i) == i;
    good = good && ::chdir(options.directory.c_str()) == 0;
    if (good) {
        ::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
        ::execve(program, argv, environment);
    }
    const int error = errno;
    [[maybe_unused]] const auto written = ::write(report_fd, &error, sizeof error);
    ::_exit(127);
}

std::string find_program(const std::string& name) {
    if (name.find('/') != std::string::npos) return name;
    const char* path = ::getenv("PATH");
    const std::string search =
        std::string(path ? path : "") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for (const auto directory : base::split(search, ':')) {
        std::string candidate = std::string(directory) + "/" + name;
        if (!directory.empty() && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    }
    return name;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> result;
    for (auto& text : texts) result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

int remaining_ms(Clock::time_point deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    return left < 0 ? 0 : static_cast<int>(left);
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
    if (this != &other) {
        reset();
        fd_ = other.release();
    }
    return *this;
}

int Fd::release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
}

void Fd::reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

tl::unexpected<base::Error> errno_error(const std::string& what, ErrorKind kind) {
    const int code = errno;
    return tl::unexpected<base::Error>(base::Error{kind, what + ": " + std::strerror(code), {}, code});
}

std::string Exit::text() const {
    return signal ? fmt::format("killed by signal {}", signal) : fmt::format("exit status {}", code);
}

std::vector<std::string> default_environment() {
    return {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root"};
}

Reaper::Reaper() {
    // It may sit in waitid() until the next child ends; as nothing waits for its result by then, it may stay there.
    std::thread([state = state_] { loop(state); }).detach();
}

Reaper::~Reaper() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->stopping = true;
    }
    state_->changed.notify_all();
}

void Reaper::loop(const std::shared_ptr<State>& state) {
    for (;;) {
        siginfo_t info{};
        const int result = ::waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
        std::unique_lock lock(state->mutex);
        if (state->stopping) return;
        if (result != 0) {
            if (errno != ECHILD) continue;
            // No child now. Orphans come without notice, so look again soon even if nothing is spawned.
            const auto before = state->spawned;
            state->changed.wait_for(lock, std::chrono::milliseconds(200),
                                    [&] { return state->stopping || state->spawned != before; });
            if (state->stopping) return;
            continue;
        }
        int status = 0;
        if (::waitpid(info.si_pid, &status, 0) != info.si_pid) continue;
        const auto found = state->waiting.find(info.si_pid);
        if (found == state->waiting.end()) continue;
        const auto on_exit = std::move(found->second);
        state->waiting.erase(found);
        lock.unlock();
        Exit exit;
        if (WIFEXITED(status)) exit.code = WEXITSTATUS(status);
        if (WIFSIGNALED(status)) exit.signal = WTERMSIG(status);
        if (on_exit) on_exit(exit);
    }
}

base::Result<pid_t> Reaper::spawn(const SpawnOptions& options, std::function<void(Exit)> on_exit) {
    auto argv_texts = options.argv;
    auto environment_texts = options.environment;
    const auto argv = pointers(argv_texts);
    const auto environment = pointers(environment_texts);
    const std::string program = find_program(options.argv.front());
    SB_TRY(const auto account, find_account(options.account));
    const Fd null_fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
    int report[2];
    if (!null_fd || ::pipe2(report, O_CLOEXEC) != 0) return errno_error("can't start " + program);
    const Fd report_in(report[0]);
    Fd report_out(report[1]);
    pid_t pid = -1;
    {
        // Held until the child is known, so that the reaper can't miss its end.
        const std::lock_guard lock(state_->mutex);
        pid = ::fork();
        if (pid == 0)
            become(options, account ? &*account : nullptr, program.c_str(), argv.data(), environment.data(),
                   null_fd.get(), report[1]);
        if (pid < 0) return errno_error("can't start " + program);
        state_->waiting[pid] = std::move(on_exit);
        ++state_->spawned;
    }
    state_->changed.notify_all();
    report_out.reset();
    int code = 0;
    if (::read(report_in.get(), &code, sizeof code) == sizeof code)
        return fail(code == ENOENT ? ErrorKind::NotFound : ErrorKind::Unavailable, "can't start {}: {}", program,
                    std::strerror(code));
    return pid;
}

base::Result<std::string> Reaper::run(SpawnOptions options, const std::string& input, base::Duration timeout) {
    struct Ended {
        std::mutex mutex;
        std::condition_variable changed;
        std::optional<Exit> exit;
    };
    const auto ended = std::make_shared<Ended>();
    const auto deadline = Clock::now() + timeout;
    int in[2];
    int out[2];
    if (::pipe2(in, O_CLOEXEC) != 0) return errno_error("pipe");
    const Fd in_read(in[0]);
    Fd in_write(in[1]);
    if (::pipe2(out, O_CLOEXEC) != 0) return errno_error("pipe");
    const Fd out_read(out[0]);
    Fd out_write(out[1]);
    options.in = in[0];
    options.out = options.error = out[1];
    const std::string name = options.argv.front();
    SB_TRY(const pid_t pid, spawn(options, [ended](Exit exit) {
               const std::lock_guard lock(ended->mutex);
               ended->exit = exit;
               ended->changed.notify_all();
           }));
    out_write.reset();
    // Inputs are small batches: less than a pipe holds, or else written by this loop as the program reads.
    ::fcntl(in_write.get(), F_SETFL, O_NONBLOCK);
    std::size_t sent = 0;
    std::string output;
    for (bool open = true; open && Clock::now() < deadline;) {
        pollfd fds[2] = {{out_read.get(), POLLIN, 0}, {in_write.get(), POLLOUT, 0}};
        if (::poll(fds, in_write ? 2 : 1, remaining_ms(deadline)) <= 0) continue;
        if (in_write && fds[1].revents) {
            const auto count = ::write(in_write.get(), input.data() + sent, input.size() - sent);
            if (count > 0) sent += static_cast<std::size_t>(count);
            if (sent == input.size() || (count < 0 && errno != EAGAIN)) in_write.reset();
        }
        if (fds[0].revents) {
            char buffer[4096];
            const auto count = ::read(out_read.get(), buffer, sizeof buffer);
            if (count <= 0)
                open = false;
            else if (output.size() < output_max_bytes)
                output.append(buffer, static_cast<std::size_t>(count));
        }
    }
    std::unique_lock lock(ended->mutex);
    if (!ended->changed.wait_until(lock, deadline, [&] { return ended->exit.has_value(); })) {
        ::kill(-pid, SIGKILL);
        return fail(ErrorKind::Timeout, "{}: did not end within {}", name, base::format_duration(timeout));
    }
    if (ended->exit->code != 0)
        return fail(ErrorKind::Unavailable, "{}: {}: {}", name, ended->exit->text(), base::trim(output));
    return output;
}

base::Status in_netns(int netns, const std::function<base::Status()>& fn) {
    base::Status status;
    // A thread of its own, since the namespace belongs to the thread and must not leak into the caller.
    std::thread([&] {
        if (::setns(netns, CLONE_NEWNET) != 0)
            status = errno_error("can't enter a network namespace");
        else
            status = fn();
    }).join();
    return status;
}

base::Result<Fd> new_netns() {
    base::Result<Fd> result = fail(ErrorKind::Internal, "no namespace");
    std::thread([&] {
        if (::unshare(CLONE_NEWNET) != 0) {
            result = errno_error("can't make a network namespace");
            return;
        }
        Fd fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
        const Fd control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        ifreq request{};
        std::strcpy(request.ifr_name, "lo");
        request.ifr_flags = IFF_UP;
        if (!fd || ::ioctl(control.get(), SIOCSIFFLAGS, &request) != 0) {
            result = errno_error("can't open a network namespace");
            return;
        }
        result = std::move(fd);
    }).join();
    return result;
}

std::string fd_path(int fd) { return fmt::format("/proc/{}/fd/{}", ::getpid(), fd); }

base::Status write_file(const std::string& path, const std::string& text, unsigned mode) {
    const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
    if (!fd) return errno_error(path);
    if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) return errno_error(path);
    return {};
}

std::string tail_of(const std::string& path, std::size_t lines) {
    const auto text = base::read_file(path, 64 << 20);
    if (!text) return {};
    std::size_t start = text->size();
    while (start > 0 && lines > 0) {
        const auto at = text->rfind('\n', start - 1);
        if (at == std::string::npos) return *text;
        start = at;
        --lines;
    }
    return text->substr(start);
}

namespace {

// The fields of /proc/PID/stat from the third one on; none if there is no such process.
std::vector<std::string> stat_fields(pid_t pid) {
    const auto text = base::read_file(fmt::format("/proc/{}/stat", pid), 4096);
    if (!text) return {};
    // The second field, the name, may hold blanks; it ends at the last ')'.
    const auto end = text->rfind(')');
    if (end == std::string::npos || end + 2 > text->size()) return {};
    const auto fields = base::split(std::string_view(*text).substr(end + 2), ' ');
    return {fields.begin(), fields.end()};
}

}  // namespace

std::uint64_t start_time_of(pid_t pid) {
    const auto fields = stat_fields(pid);
    constexpr std::size_t start_time_field = 22 - 3;
    return fields.size() > start_time_field ? base::parse_uint(fields[start_time_field]).value_or(0) : 0;
}

namespace {

// Sends a signal to every process in the namespace that `wanted` picks by its folder in /proc; how many got it.
std::size_t signal_in(int netns, int number, const std::function<bool(const std::filesystem::path&)>& wanted) {
    struct stat space {};
    struct stat found {};
    if (::fstat(netns, &space) != 0) return 0;
    std::size_t count = 0;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
        const auto pid = base::parse_int(entry.path().filename().string());
        if (!pid || *pid == 1 || ::stat((entry.path() / "ns/net").c_str(), &found) != 0) continue;
        if (found.st_ino != space.st_ino || found.st_dev != space.st_dev || !wanted(entry.path())) continue;
        count += ::kill(static_cast<pid_t>(*pid), number) == 0;
    }
    return count;
}

}  // namespace

void kill_all_in(int netns) {
    constexpr int passes_max = 20;
    for (int pass = 0; pass < passes_max; ++pass)
        if (signal_in(netns, SIGKILL, [](const auto&) { return true; }) == 0) return;
}

std::size_t signal_program_in(int netns, const std::string& program, int number) {
    return signal_in(netns, number, [&](const std::filesystem::path& process) {
        std::error_code error;
        return std::filesystem::read_symlink(process / "exe", error) == program;
    });
}

bool has_ended(pid_t pid) {
    const auto fields = stat_fields(pid);
    return fields.empty() || fields[0] == "Z" || fields[0] == "X";
}

}  // namespace signalbox::lab
