#pragma once
// The processes of one Spark node: started, watched, and ended together, in the node's own process group.

#include <optional>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"

namespace signalbox::spark {

class Children {
  public:
    // Blocks the signals that it waits for. `variables` are added to this process's environment, where they are not
    // set.
    explicit Children(const std::vector<std::pair<std::string, std::string>>& variables);

    base::Result<pid_t> start(const std::vector<std::string>& command);
    // Waits until anything may have changed: a child has ended, a stop was asked for, or the time is over.
    void wait(base::Duration time_max);
    // The exit code of one that has ended, or 128 + the signal that ended it.
    std::optional<int> ended(pid_t pid) const;
    // SIGTERM, and SIGKILL after the grace; returns when it is gone.
    void end(pid_t pid, base::Duration grace);
    bool stopping() const { return stopping_; }

    // What a program prints, to its end, at most 64 KiB. Errors: NotFound if it can't be executed; Unavailable if it
    // fails or takes longer.
    base::Result<std::string> output_of(const std::vector<std::string>& command, base::Duration time_max);

  private:
    base::Result<pid_t> spawn(const std::vector<std::string>& command, int output);
    void reap();

    std::vector<std::string> environment_;
    std::vector<std::pair<pid_t, std::optional<int>>> children_;
    bool stopping_ = false;
};

}  // namespace signalbox::spark
