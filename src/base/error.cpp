#include "base/error.hpp"

namespace signalbox::base {

std::string_view to_string(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::InvalidArgument:
            return "invalid argument";
        case ErrorKind::InvalidConfig:
            return "invalid config";
        case ErrorKind::CorruptData:
            return "corrupt data";
        case ErrorKind::NotSupported:
            return "not supported";
        case ErrorKind::NotFound:
            return "not found";
        case ErrorKind::AlreadyExists:
            return "already exists";
        case ErrorKind::PermissionDenied:
            return "permission denied";
        case ErrorKind::Unavailable:
            return "unavailable";
        case ErrorKind::Timeout:
            return "timeout";
        case ErrorKind::UnknownOutcome:
            return "unknown outcome";
        case ErrorKind::Conflict:
            return "conflict";
        case ErrorKind::Internal:
            return "internal";
    }
    return "internal";
}

std::string Error::text() const { return context.empty() ? message : context + ": " + message; }

tl::unexpected<Error> in_context(Error error, std::string_view place) {
    error.context = error.context.empty() ? std::string(place) : fmt::format("{}: {}", place, error.context);
    return tl::unexpected<Error>(std::move(error));
}

int exit_code(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::InvalidArgument:
        case ErrorKind::InvalidConfig:
            return 2;
        case ErrorKind::NotFound:
        case ErrorKind::AlreadyExists:
        case ErrorKind::Conflict:
            return 1;
        case ErrorKind::UnknownOutcome:
            return 4;
        default:
            return 3;
    }
}

}  // namespace signalbox::base
