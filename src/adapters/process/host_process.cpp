#include "adapters/process/host_process.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <dirent.h>
#include <memory>
#include <poll.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include "base/text.hpp"

namespace signalbox::process {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t stat_max_bytes = 1 << 14;
constexpr std::uint64_t environment_max_bytes = 1 << 23;
constexpr std::size_t state_field = 0;  // both counted from behind the program's name
constexpr std::size_t start_field = 19;

const std::string& boot_id() {
    static const std::string id = [] {
        auto text = base::read_file("/proc/sys/kernel/random/boot_id", 256);
        return text ? std::string(base::trim(*text)) : std::string();
    }();
    return id;
}

std::vector<pid_t> all_processes() {
    std::vector<pid_t> pids;
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc"), &::closedir);
    if (!folder) return pids;
    while (const dirent* entry = ::readdir(folder.get()))
        if (const auto pid = base::parse_uint(entry->d_name)) pids.push_back(static_cast<pid_t>(*pid));
    return pids;
}

}  // namespace

std::optional<ProcessIdentity> identify(pid_t pid) {
    const auto stat = base::read_file(fmt::format("/proc/{}/stat", pid), stat_max_bytes);
    if (!stat) return std::nullopt;
    // The program's name may hold blanks and brackets; the last bracket ends it.
    const auto name_end = stat->rfind(") ");
    if (name_end == std::string::npos) return std::nullopt;
    const auto fields = base::split(std::string_view(*stat).substr(name_end + 2), ' ');
    if (fields.size() <= start_field || fields[state_field] == "Z" || fields[state_field] == "X") return std::nullopt;
    const auto start = base::parse_uint(fields[start_field]);
    if (!start) return std::nullopt;
    return ProcessIdentity{pid, *start, boot_id()};
}

std::optional<std::string> token_of(pid_t pid) {
    const auto environment = base::read_file(fmt::format("/proc/{}/environ", pid), environment_max_bytes);
    if (!environment) return std::nullopt;
    const std::string wanted = std::string(token_variable) + "=";
    for (const std::string_view entry : base::split(*environment, '\0'))
        if (entry.starts_with(wanted)) return std::string(entry.substr(wanted.size()));
    return std::nullopt;
}

std::vector<pid_t> processes_with_token(const std::string& token, pid_t except) {
    std::vector<pid_t> found;
    for (const pid_t pid : all_processes())
        if (pid != except && pid != ::getpid() && token_of(pid) == token && identify(pid)) found.push_back(pid);
    return found;
}

base::Status kill_with_token(const std::string& token, base::Duration timeout, pid_t except) {
    const auto end = Clock::now() + timeout;
    for (;;) {
        const auto left = processes_with_token(token, except);
        if (left.empty()) return {};
        std::vector<ProcessHandle> killed;
        for (const pid_t pid : left) {
            const auto identity = identify(pid);
            if (!identity) continue;
            auto handle = ProcessHandle::open(*identity);
            // Asked again now that the descriptor pins it: the pid may have been used again since the search.
            if (!handle || token_of(pid) != token) continue;
            handle->signal(SIGKILL);
            killed.push_back(std::move(*handle));
        }
        // One that is dying has no environment any more, and would not be found again.
        for (const ProcessHandle& handle : killed) handle.wait_for_end(end - Clock::now());
        if (Clock::now() >= end)
            return base::fail(base::ErrorKind::UnknownOutcome, "{} processes of node {} did not end (the first is {})",
                              left.size(), token, left.front());
        std::this_thread::sleep_for(2ms);
    }
}

std::optional<ProcessHandle> ProcessHandle::open(const ProcessIdentity& identity) {
    // By number: this C library's header for it is none for C++.
    const auto fd = static_cast<int>(::syscall(SYS_pidfd_open, identity.pid, 0));
    if (fd < 0) return std::nullopt;
    ProcessHandle handle(fd);
    if (identify(identity.pid) != identity) return std::nullopt;
    return handle;
}

ProcessHandle::ProcessHandle(ProcessHandle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

ProcessHandle::~ProcessHandle() {
    if (fd_ >= 0) ::close(fd_);
}

void ProcessHandle::signal(int number) const { ::syscall(SYS_pidfd_send_signal, fd_, number, nullptr, 0); }

bool ProcessHandle::wait_for_end(base::Duration timeout) const {
    const auto end = Clock::now() + timeout;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
        pollfd entry{fd_, POLLIN, 0};
        const int ready = ::poll(&entry, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000)));
        if (ready > 0) return true;
        if (left <= 0) return false;
        if (ready < 0 && errno != EINTR) return false;
    }
}

}  // namespace signalbox::process
