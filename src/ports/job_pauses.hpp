#pragma once
// Jobs that take no new runs for a while: who paused them, and why.

#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"

namespace signalbox::ports {

struct JobPause {
    std::string job;
    std::string by;  // "user NAME", "action NAME"
    std::string reason;
    base::WallTime at{};
};

// Why a paused job takes no new run, and what to do about it.
std::string refusal(const JobPause& pause);

// Runs that were submitted before, and their further attempts, go on.
class JobPauses {
  public:
    virtual ~JobPauses() = default;
    // Durable before it returns, with a journal entry "job-paused". Returns the pause that stands now: the one before,
    // unchanged, if the job was paused already.
    virtual base::Result<JobPause> pause(const JobPause& pause) = 0;
    // Ends the pause, with a journal entry "job-resumed". With only_if_by, only a pause of theirs. Returns the pause
    // that has ended; nothing if there was none (of theirs).
    virtual base::Result<std::optional<JobPause>> resume(const std::string& job, const std::string& by,
                                                         base::WallTime now, const std::string& only_if_by) = 0;
    virtual base::Result<std::optional<JobPause>> pause_of(const std::string& job) = 0;
    // By name.
    virtual base::Result<std::vector<JobPause>> paused() = 0;
};

}  // namespace signalbox::ports
