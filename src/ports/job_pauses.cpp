#include "ports/job_pauses.hpp"

namespace signalbox::ports {

std::string refusal(const JobPause& pause) {
    return fmt::format(
        "job '{}' is paused since {} by {}: {}; `signalbox job resume {}` ends that, --force runs it once", pause.job,
        base::format_time(pause.at), pause.by, pause.reason, pause.job);
}

}  // namespace signalbox::ports
