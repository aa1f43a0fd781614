#include "base/fault.hpp"

namespace signalbox::base {

std::string_view to_string(Severity severity) {
    switch (severity) {
        case Severity::Notice:
            return "notice";
        case Severity::Degraded:
            return "degraded";
        case Severity::Unusable:
            break;
    }
    return "unusable";
}

}  // namespace signalbox::base
