#include "domain/routing/endpoint.hpp"

namespace signalbox::routing {

std::string_view to_string(Role role) { return role == Role::Writer ? "writer" : "reader"; }

std::string_view to_string(Mode mode) {
    switch (mode) {
        case Mode::Stream:
            return "stream";
        case Mode::Kernel:
            return "kernel";
        case Mode::Dns:
            return "dns";
        case Mode::TargetGroup:
            return "target-group";
    }
    return "?";
}

}  // namespace signalbox::routing
