#pragma once
// Processes of this host, told apart for good: a pid is used again, a pid with its start time on one boot is not.

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"

namespace signalbox::process {

struct ProcessIdentity {
    pid_t pid = -1;
    std::uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat: since the boot
    std::string boot;               // /proc/sys/kernel/random/boot_id
    friend bool operator==(const ProcessIdentity&, const ProcessIdentity&) = default;
};

// Nothing if there is no such process, or it is a zombie.
std::optional<ProcessIdentity> identify(pid_t pid);

// The environment variable that every process of a node carries, with the node's token.
inline constexpr const char* token_variable = "SIGNALBOX_NODE_TOKEN";
// Its value in the process's environment as it was at its start; nothing if it has none, or may not be read.
std::optional<std::string> token_of(pid_t pid);
// All processes that carry the token and may be seen; zombies do not count. `except` is left out.
std::vector<pid_t> processes_with_token(const std::string& token, pid_t except = -1);
// Kills them, again and again since they may fork, until none is left. UnknownOutcome if some are left at the deadline.
base::Status kill_with_token(const std::string& token, base::Duration timeout, pid_t except = -1);

// A process by descriptor: a signal never reaches another one that has got its pid.
class ProcessHandle {
  public:
    // Nothing if it lives no more.
    static std::optional<ProcessHandle> open(const ProcessIdentity& identity);
    ~ProcessHandle();
    ProcessHandle(ProcessHandle&& other) noexcept;
    ProcessHandle& operator=(ProcessHandle&&) = delete;

    void signal(int number) const;
    // True if it has ended within that time.
    bool wait_for_end(base::Duration timeout) const;

  private:
    explicit ProcessHandle(int fd) : fd_(fd) {}
    int fd_;
};

}  // namespace signalbox::process
