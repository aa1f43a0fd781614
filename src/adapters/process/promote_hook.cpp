#include "adapters/process/promote_hook.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.hpp"

namespace signalbox::process {
namespace {

using namespace std::chrono_literals;
using base::ErrorKind;
using base::fail;
using Clock = std::chrono::steady_clock;

constexpr std::size_t words_max = 1000;  // bytes of what it printed that are kept
constexpr auto grace = 2s;
constexpr auto slice = 50ms;  // how soon a stop of ours is noticed
constexpr std::size_t jobs_max = 16;

struct Pipe {
    int read = -1;
    int write = -1;
    Pipe() {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) == 0) {
            read = ends[0];
            write = ends[1];
            ::fcntl(read, F_SETFL, O_NONBLOCK);
        }
    }
    ~Pipe() {
        if (read >= 0) ::close(read);
        close_write();
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    void close_write() {
        if (write >= 0) ::close(std::exchange(write, -1));
    }
};

std::vector<std::string> environment_of(const HookRun& run) {
    std::vector<std::string> all;
    for (char** one = environ; *one != nullptr; ++one) {
        const std::string_view text(*one);
        if (!run.environment.contains(std::string(text.substr(0, text.find('='))))) all.emplace_back(text);
    }
    for (const auto& [name, value] : run.environment) all.push_back(fmt::format("{}={}", name, value));
    return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    for (std::string& text : texts) out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

// A file in memory, read from its start: the program can take it or leave it, and nobody has to feed it.
base::Result<int> open_input(const std::string& text) {
    const int fd = ::memfd_create("signalbox-input", MFD_CLOEXEC);
    if (fd < 0) return fail(ErrorKind::NotFound, "can't make its input: {}", std::strerror(errno));
    std::string_view rest = text;
    while (!rest.empty()) {
        const ssize_t size = ::write(fd, rest.data(), rest.size());
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) {
            const int error = errno;
            ::close(fd);
            return fail(ErrorKind::NotFound, "can't make its input: {}", std::strerror(error));
        }
        rest.remove_prefix(static_cast<std::size_t>(size));
    }
    ::lseek(fd, 0, SEEK_SET);
    return fd;
}

base::Result<pid_t> start(const HookRun& run, const Pipe& output) {
    if (run.command.empty()) return fail(ErrorKind::NotFound, "no program is configured");
    if (output.write < 0) return fail(ErrorKind::NotFound, "can't make a pipe: {}", std::strerror(errno));
    int input = -1;
    if (!run.input.empty()) {
        SB_TRY(input, open_input(run.input));
    }
    auto arguments = run.command;
    auto environment = environment_of(run);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    if (input < 0) posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (input >= 0) posix_spawn_file_actions_adddup2(&files, input, 0);
    if (!run.directory.empty()) posix_spawn_file_actions_addchdir_np(&files, run.directory.c_str());
    posix_spawn_file_actions_adddup2(&files, output.write, 1);
    posix_spawn_file_actions_adddup2(&files, output.write, 2);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    sigset_t all;
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    pid_t pid = -1;
    const int error = ::posix_spawnp(&pid, arguments.front().c_str(), &files, &attributes, pointers(arguments).data(),
                                     pointers(environment).data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (input >= 0) ::close(input);
    if (error != 0) return fail(ErrorKind::NotFound, "can't start {}: {}", run.command.front(), std::strerror(error));
    return pid;
}

// What it printed so far, its end alone.
void read_words(int fd, std::string& words) {
    char buffer[4096];
    for (int reads = 0; reads < 64; ++reads) {
        const ssize_t size = ::read(fd, buffer, sizeof buffer);
        if (size <= 0) return;
        words.append(buffer, static_cast<std::size_t>(size));
        if (words.size() > words_max) words.erase(0, words.size() - words_max);
    }
}

std::string one_line(std::string words) {
    std::replace_if(
        words.begin(), words.end(), [](unsigned char letter) { return letter < ' ' || letter == 127; }, ' ');
    return std::string(base::trim(words));
}

std::string ending(int status) {
    if (WIFEXITED(status)) return fmt::format("it ended with status {}", WEXITSTATUS(status));
    return fmt::format("it was ended by signal {}", WTERMSIG(status));
}

}  // namespace

base::Result<std::string> run_hook(const HookRun& run, const std::function<bool()>& cancelled) {
    Pipe output;
    SB_TRY(const pid_t pid, start(run, output));
    output.close_write();
    const auto deadline = Clock::now() + run.deadline;
    std::string words;
    std::string stopped;
    auto kill_at = Clock::time_point::max();
    int status = 0;
    while (::waitpid(pid, &status, WNOHANG) == 0) {
        const auto now = Clock::now();
        if (stopped.empty() && (now >= deadline || cancelled())) {
            stopped = now >= deadline ? fmt::format("it did not end within {}", base::format_duration(run.deadline))
                                      : "it was ended because this program ends";
            ::kill(-pid, SIGTERM);
            kill_at = now + grace;
        }
        if (now >= kill_at) ::kill(-pid, SIGKILL);
        pollfd ready{output.read, POLLIN, 0};
        ::poll(&ready, 1, static_cast<int>(std::chrono::milliseconds(slice).count()));
        // A closed pipe is ready for ever: the process itself is asked in small steps then.
        if ((ready.revents & POLLHUP) != 0 && (ready.revents & POLLIN) == 0) std::this_thread::sleep_for(1ms);
        read_words(output.read, words);
    }
    // Children that it left in its group have no business any more.
    ::kill(-pid, SIGKILL);
    read_words(output.read, words);
    words = one_line(std::move(words));
    if (stopped.empty() && WIFEXITED(status) && WEXITSTATUS(status) == 0) return words;
    auto ended = fail(ErrorKind::UnknownOutcome, "{}: {}{}{}", run.command.front(),
                      stopped.empty() ? ending(status) : stopped, words.empty() ? "" : "; it said: ", words);
    if (stopped.empty() && WIFEXITED(status)) ended.value().code = WEXITSTATUS(status);
    return ended;
}

PromoteHook::~PromoteHook() {
    {
        const std::lock_guard guard(mutex_);
        stopping_ = true;
    }
    for (Job& job : jobs_) job.thread.join();
}

void PromoteHook::configure(const clusters::ClusterConfig& cluster) {
    const std::lock_guard guard(mutex_);
    commands_[cluster.name] = cluster.switchover.hook;
}

void PromoteHook::promote(const std::string& cluster, std::uint64_t epoch, const std::string& from,
                          const std::string& to, const base::HostPort& to_address, base::Duration deadline) {
    const std::lock_guard guard(mutex_);
    for (auto job = jobs_.begin(); job != jobs_.end();) {
        if (job->done) job->thread.join();
        job = job->done ? jobs_.erase(job) : std::next(job);
    }
    if (jobs_.size() >= jobs_max) {
        on_done_({cluster, epoch, false, "too many hooks run already"});
        return;
    }
    HookRun run{commands_[cluster],
                {{"SIGNALBOX_CLUSTER", cluster},
                 {"SIGNALBOX_EPOCH", std::to_string(epoch)},
                 {"SIGNALBOX_FROM", from},
                 {"SIGNALBOX_TO", to},
                 {"SIGNALBOX_TO_ADDRESS", to_address.text()}},
                deadline};
    Job& job = jobs_.emplace_back();
    job.thread = std::thread([this, &job, cluster, epoch, run = std::move(run)] {
        const auto cancelled = [this] {
            const std::lock_guard lock(mutex_);
            return stopping_;
        };
        const auto outcome = run_hook(run, cancelled);
        on_done_({cluster, epoch, outcome.has_value(), outcome ? *outcome : outcome.error().text()});
        const std::lock_guard done(mutex_);
        job.done = true;
    });
}

}  // namespace signalbox::process
