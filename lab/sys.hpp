#pragma once
// Processes and network namespaces, as the lab's process 1 needs them: start a program in a namespace, learn at once
// when it ends, reap every orphan, run a helper program with a deadline.

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <sys/types.h>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"

namespace signalbox::lab {

using Clock = std::chrono::steady_clock;

// A file descriptor that closes itself.
class Fd {
  public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(other.release()) {}
    Fd& operator=(Fd&& other) noexcept;
    ~Fd() { reset(); }
    int get() const { return fd_; }
    int release();
    void reset();
    explicit operator bool() const { return fd_ >= 0; }

  private:
    int fd_ = -1;
};

// errno as an error: "what: reason".
tl::unexpected<base::Error> errno_error(const std::string& what, base::ErrorKind kind = base::ErrorKind::Unavailable);

struct Exit {
    int code = -1;   // exit status, or -1
    int signal = 0;  // the signal that ended it, or 0
    std::string text() const;
};

struct SpawnOptions {
    std::vector<std::string> argv;         // argv[0] is looked up on PATH when it holds no '/'
    std::vector<std::string> environment;  // "K=V"; the whole environment
    std::string directory = "/";
    int netns = -1;            // -1: the caller's
    int in = -1;               // -1: /dev/null
    int out = -1;              // -1: /dev/null
    int error = -1;            // -1: /dev/null
    std::string account = {};  // the user to run as; "": the caller's
    bool own_group = true;     // its own session, so that a signal can reach all of it
};

// PATH and LANG, for programs that the lab itself runs.
std::vector<std::string> default_environment();

// Starts processes and reaps all of this process's children, including orphans that process 1 inherits. One per
// process.
class Reaper {
  public:
    Reaper();
    // Stops reaping; the children live on.
    ~Reaper();
    Reaper(const Reaper&) = delete;
    Reaper& operator=(const Reaper&) = delete;

    // on_exit runs on the reaper's thread: it must be short, and may come before spawn returns. Errors: the program
    // can't be executed, or the namespace not be entered.
    base::Result<pid_t> spawn(const SpawnOptions& options, std::function<void(Exit)> on_exit);
    // Runs to the end with `input` on standard input; what it printed on both outputs. Errors: exit status other than 0
    // (with the output), or the deadline passed (the process is killed).
    base::Result<std::string> run(SpawnOptions options, const std::string& input, base::Duration timeout);

  private:
    // Shared with the thread, which may outlive the reaper for as long as it sits in waitid().
    struct State {
        std::mutex mutex;
        std::condition_variable changed;
        std::map<pid_t, std::function<void(Exit)>> waiting;
        std::size_t spawned = 0;
        bool stopping = false;
    };
    static void loop(const std::shared_ptr<State>& state);

    const std::shared_ptr<State> state_ = std::make_shared<State>();
};

// A new network namespace with its loopback up; it lives as long as the descriptor or a process in it.
base::Result<Fd> new_netns();
// Runs fn on a thread inside that namespace and waits for it.
base::Status in_netns(int netns, const std::function<base::Status()>& fn);
// "/proc/1/fd/7": the descriptor as a path that a child of ours can open.
std::string fd_path(int fd);
base::Status write_file(const std::string& path, const std::string& text, unsigned mode = 0644);
// The last `lines` lines of a file, or nothing.
std::string tail_of(const std::string& path, std::size_t lines);
// Field 22 of /proc/PID/stat: with the pid it names a process for good. 0: there is no such process.
std::uint64_t start_time_of(pid_t pid);
// It is gone, or has ended and its parent has not noticed yet (its other threads may still be ending).
bool has_ended(pid_t pid);
// Sends a signal to every process in that network namespace that runs this program (the path of its file); how many got
// it.
std::size_t signal_program_in(int netns, const std::string& program, int number);
// Kills every process in that network namespace but process 1; again until none is found, since they may fork
// meanwhile.
void kill_all_in(int netns);

}  // namespace signalbox::lab
