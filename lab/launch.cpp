#include "lab/launch.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/http/client.hpp"
#include "base/text.hpp"
#include "lab/lab.hpp"
#include "lab/sys.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
using namespace std::chrono_literals;

namespace {

constexpr auto end_timeout = 30s;
constexpr unsigned namespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC;
// What process 1 tells the one who waits for it: steps, and one last word.
constexpr char step_mark = '+';
constexpr char ready_mark = '=';
constexpr char error_mark = '!';

// Names the process namespace of a process ("self" or its number).
std::string pid_namespace(const std::string& process) {
    std::error_code error;
    return std::filesystem::read_symlink("/proc/" + process + "/ns/pid", error).string();
}

int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

// Makes this process's mounts its own, so that nothing mounted here is seen outside. In a chroot "/" may be no mount
// point, and what surrounds it may be shared: so this is done from the namespace's real root, and then we go back.
base::Status make_mounts_private() {
    const Fd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    const Fd self(open_pidfd(::getpid()));
    if (!root || !self) return errno_error("can't open the root directory");
    if (::setns(self.get(), CLONE_NEWNS) != 0) return errno_error("can't reach the root of the mount namespace");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        return errno_error("can't make mounts private");
    if (::fchdir(root.get()) != 0 || ::chroot(".") != 0) return errno_error("can't go back to the root directory");
    return {};
}

base::Status mount_resolver(const std::string& data) {
    const std::string file = data + "/resolv.conf";
    SB_CHECK(write_file(file, fmt::format("nameserver {}\noptions timeout:1 attempts:2\n", resolver_address)));
    std::error_code error;
    const auto target = std::filesystem::canonical("/etc/resolv.conf", error);
    if (!error && ::mount(file.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) == 0) return {};
    // No such file, or a link into nowhere: lay a copy of /etc over it that has one.
    const std::string upper = data + "/etc";
    const std::string work = data + "/etc-work";
    ::mkdir(upper.c_str(), 0755);
    ::mkdir(work.c_str(), 0755);
    std::filesystem::copy_file(file, upper + "/resolv.conf", error);
    const std::string options = fmt::format("lowerdir=/etc,upperdir={},workdir={}", upper, work);
    if (::mount("overlay", "/etc", "overlay", 0, options.c_str()) != 0)
        return errno_error("can't give the lab its /etc/resolv.conf");
    return {};
}

base::Status prepare_mounts(const std::string& directory) {
    SB_CHECK(make_mounts_private());
    if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
        return errno_error("can't mount /proc");
    const std::string data = directory + "/data";
    if (::mount("signalbox-lab", data.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") != 0)
        return errno_error("can't mount " + data);
    return mount_resolver(data);
}

void say(int fd, char mark, const std::string& text) {
    const std::string message = mark + text + '\0';
    [[maybe_unused]] const auto written = ::write(fd, message.data(), message.size());
}

// Process 1 of the lab. Never returns: when it ends, the kernel ends everything in the lab.
[[noreturn]] void be_the_lab(const LabSpec& spec, const std::string& directory, base::Duration timeout, int report) {
    const auto give_up = [report](const base::Error& error) {
        say(report, error_mark, error.text());
        ::_exit(1);
    };
    ::umask(022);
    ::signal(SIGPIPE, SIG_IGN);
    const int log = ::open((directory + "/lab.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; ++fd) ::dup2(fd == 0 ? null : log, fd);
    if (const auto status = prepare_mounts(directory); !status) give_up(status.error());
    if (::chdir("/") != 0) ::_exit(1);
    // On the heap and never freed: the process ends by being killed.
    auto* lab = new Lab(spec, directory, log);
    const auto status = lab->bring_up(timeout, [report](const std::string& step) { say(report, step_mark, step); });
    if (!status) give_up(status.error());
    say(report, ready_mark, "");
    ::close(report);
    for (;;) ::pause();
}

// Between the caller and process 1: makes the namespaces, notes process 1's id, and is gone.
[[noreturn]] void launch(const LabSpec& spec, const std::string& directory, base::Duration timeout, int report) {
    ::setsid();
    if (::unshare(static_cast<int>(namespaces)) != 0) {
        say(report, error_mark, fmt::format("can't make namespaces: {}", std::strerror(errno)));
        ::_exit(1);
    }
    int go[2];
    if (::pipe2(go, O_CLOEXEC) != 0) ::_exit(1);
    const pid_t pid = ::fork();
    if (pid == 0) {
        // Our own copy would keep the pipe open when the launcher dies.
        ::close(go[1]);
        char byte = 0;
        // Waits until its id is written down: whoever wants to end the lab must be able to find it.
        if (::read(go[0], &byte, 1) != 1) ::_exit(1);
        ::close(go[0]);
        be_the_lab(spec, directory, timeout, report);
    }
    const auto noted =
        pid < 0
            ? base::Status(errno_error("can't start the lab's process 1"))
            : write_file(directory + "/lab.pid",
                         fmt::format("{} {} {}\n", pid, start_time_of(pid), pid_namespace(std::to_string(pid))), 0644);
    if (!noted) {
        say(report, error_mark, noted.error().text());
        ::_exit(1);
    }
    [[maybe_unused]] const auto written = ::write(go[1], "g", 1);
    ::_exit(0);
}

base::Status make_directory(const std::string& directory, const std::string& file) {
    std::error_code error;
    std::filesystem::create_directories(directory + "/data", error);
    if (error) return fail(ErrorKind::Unavailable, "{}: {}", directory, error.message());
    std::filesystem::copy_file(file, directory + "/lab.yaml", std::filesystem::copy_options::overwrite_existing, error);
    if (error) return fail(ErrorKind::Unavailable, "{}: {}", file, error.message());
    // It may hold the passwords of the lab's database users.
    std::filesystem::permissions(directory + "/lab.yaml",
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, error);
    return {};
}

// Reads process 1's report until its last word.
base::Status wait_for(int report, base::Duration timeout, const std::function<void(const std::string&)>& progress) {
    const auto deadline = Clock::now() + timeout;
    std::string pending;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd fds{report, POLLIN, 0};
        if (left <= 0 || ::poll(&fds, 1, static_cast<int>(left)) == 0)
            return fail(ErrorKind::Timeout, "the lab was not ready within {}", base::format_duration(timeout));
        char buffer[4096];
        const auto count = ::read(report, buffer, sizeof buffer);
        if (count < 0 && errno == EINTR) return fail(ErrorKind::Unavailable, "interrupted");
        if (count <= 0) return fail(ErrorKind::Unavailable, "the lab ended while it came up");
        pending.append(buffer, static_cast<std::size_t>(count));
        for (auto end = pending.find('\0'); end != std::string::npos; end = pending.find('\0')) {
            const std::string message = pending.substr(0, end);
            pending.erase(0, end + 1);
            if (message.starts_with(ready_mark)) return {};
            if (message.starts_with(error_mark)) return fail(ErrorKind::Unavailable, "{}", message.substr(1));
            progress(message.substr(1));
        }
    }
}

}  // namespace

std::string directory_of(const std::string& name) { return std::string(run_directory) + "/" + name; }

base::Status check_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    if (::syscall(SYS_capget, &header, data) != 0) return errno_error("can't read this process's capabilities");
    std::vector<std::string> missing;
    const auto need = [&](unsigned number, const char* what) {
        if (!(data[number / 32].effective & 1u << number % 32)) missing.push_back(what);
    };
    need(CAP_SYS_ADMIN, "CAP_SYS_ADMIN (to make namespaces and mounts)");
    need(CAP_NET_ADMIN, "CAP_NET_ADMIN (to make bridges, routes and rules)");
    if (missing.empty()) return {};
    return fail(ErrorKind::PermissionDenied, "a lab needs {}: run it as root", base::join(missing, " and "));
}

namespace {

// Process 1 by the lab's pid file, as long as the kernel knows it: also while it is ending.
std::optional<pid_t> known_lab(const std::string& name) {
    const auto text = base::read_file(directory_of(name) + "/lab.pid", 4096);
    if (!text) return std::nullopt;
    const auto fields = base::split(base::trim(*text), ' ');
    const auto pid = fields.size() == 3 ? base::parse_int(fields[0]) : std::nullopt;
    const auto started = fields.size() == 3 ? base::parse_uint(fields[1]).value_or(0) : 0;
    // Seen from inside, process 1 has another number.
    if (pid && fields[2] == pid_namespace("self")) return 1;
    if (!pid || started == 0 || start_time_of(static_cast<pid_t>(*pid)) != started) return std::nullopt;
    return static_cast<pid_t>(*pid);
}

}  // namespace

std::optional<pid_t> running_lab(const std::string& name) {
    const auto pid = known_lab(name);
    return pid && !has_ended(*pid) ? pid : std::nullopt;
}

std::vector<std::string> labs(bool running) {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(run_directory, error)) {
        const auto name = entry.path().filename().string();
        if (base::is_name(name) && entry.is_directory(error) && (!running || running_lab(name))) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

base::Result<std::string> lab_name(const std::string& given) {
    if (!given.empty()) {
        if (!base::is_name(given)) return fail(ErrorKind::InvalidArgument, "'{}' is no lab's name", given);
        return given;
    }
    const auto names = labs(true);
    if (names.size() == 1) return names.front();
    if (names.empty()) return fail(ErrorKind::NotFound, "no lab runs; start one with: signalbox-lab up FILE");
    return fail(ErrorKind::InvalidArgument, "several labs run ({}): say which with --name", base::join(names, ", "));
}

base::Status up(const LabSpec& spec, const std::string& file, base::Duration timeout,
                const std::function<void(const std::string&)>& progress) {
    SB_CHECK(check_capabilities());
    if (running_lab(spec.name))
        return fail(ErrorKind::AlreadyExists, "lab '{}' already runs; end it with: signalbox-lab down --name {}",
                    spec.name, spec.name);
    SB_CHECK(down(spec.name));  // what a crashed one of this name left
    const std::string directory = directory_of(spec.name);
    SB_CHECK(make_directory(directory, file));
    int report[2];
    if (::pipe2(report, O_CLOEXEC) != 0) return errno_error("pipe");
    const Fd reading(report[0]);
    Fd writing(report[1]);
    const pid_t launcher = ::fork();
    if (launcher < 0) return errno_error("fork");
    if (launcher == 0) launch(spec, directory, timeout, report[1]);
    writing.reset();
    int status = 0;
    ::waitpid(launcher, &status, 0);
    const auto ready = wait_for(reading.get(), timeout, progress);
    if (ready) return {};
    // The log goes with the lab: what matters of it is said now.
    const auto tail = tail_of(directory + "/lab.log", 8);
    (void)down(spec.name);
    return fail(ready.error().kind, "lab '{}' did not come up: {}{}{}", spec.name, ready.error().text(),
                tail.empty() ? "" : "\nthe end of the lab's log:", tail);
}

base::Status down(const std::string& name) {
    const std::string directory = directory_of(name);
    if (const auto pid = known_lab(name)) {
        const Fd process(open_pidfd(*pid));
        if (process && known_lab(name) == pid) {
            // With process 1 the kernel ends every process of its namespace, and is done when process 1 is gone.
            if (::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0) != 0 && errno != ESRCH)
                return errno_error("can't end lab '" + name + "'", ErrorKind::PermissionDenied);
            pollfd fds{process.get(), POLLIN, 0};
            if (::poll(&fds, 1, static_cast<int>(std::chrono::milliseconds(end_timeout).count())) <= 0)
                return fail(ErrorKind::UnknownOutcome, "lab '{}' did not end within {}", name,
                            base::format_duration(end_timeout));
        }
    }
    std::error_code error;
    std::filesystem::remove_all(directory, error);
    if (error) return fail(ErrorKind::Unavailable, "{}: {}", directory, error.message());
    std::filesystem::remove(run_directory, error);  // only when it was the last one
    return {};
}

}  // namespace signalbox::lab
