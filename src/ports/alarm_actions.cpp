#include "ports/alarm_actions.hpp"

namespace signalbox::ports {

std::string_view to_string(ActionVerdict verdict) {
    switch (verdict) {
        case ActionVerdict::Done:
            return "done";
        case ActionVerdict::Retry:
            return "retry";
        case ActionVerdict::Refused:
            return "refused";
    }
    return "?";
}

}  // namespace signalbox::ports
