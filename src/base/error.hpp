#pragma once
// What can go wrong, as values. Every fallible function returns Result<T>; exceptions stay at the rim of adapters.

#include <fmt/format.h>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace signalbox::base {

enum class ErrorKind {
    InvalidArgument,  // the caller or the user gave something that can't be right
    InvalidConfig,    // a configuration file is wrong
    CorruptData,      // bytes that do not follow their format
    NotSupported,     // understood, but this version does not do it
    NotFound,
    AlreadyExists,
    PermissionDenied,
    Unavailable,     // the outside world refused or is away
    Timeout,         // a deadline passed and nothing was sent that could have had an effect
    UnknownOutcome,  // it may have happened: never treated as failed, never retried blindly
    Conflict,        // somebody else's newer state stands against it
    Internal,
};

std::string_view to_string(ErrorKind kind);

// One error: what kind, one line for people, and where it happened (a file, a member, an offset; may be empty).
// Never holds a secret.
struct Error {
    ErrorKind kind = ErrorKind::Internal;
    std::string message;
    std::string context;
    int code = 0;  // the outside world's own number (errno, a server's error code); 0 if it has none

    // "context: message", or the message alone.
    std::string text() const;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

// fail(kind, "format {}", args…) is the one way to make an error.
template <typename... Args>
tl::unexpected<Error> fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
    return tl::unexpected<Error>(Error{kind, fmt::format(format, std::forward<Args>(args)...), {}, 0});
}

// Passes an error on with the place in front: "place: context".
tl::unexpected<Error> in_context(Error error, std::string_view place);

// The exit code of a command that ended with this error: 1 no, 2 usage or config, 3 the outside world, 4 unknown
// outcome.
int exit_code(ErrorKind kind);

}  // namespace signalbox::base

// NOLINTBEGIN(bugprone-macro-parentheses): `name` is a declaration, which parentheses would end.
// SB_TRY(name, expression): name = *expression, or return its error.
#define SB_CONCAT_(a, b) a##b
#define SB_CONCAT(a, b) SB_CONCAT_(a, b)
#define SB_TRY(name, expression) SB_TRY_(name, expression, SB_CONCAT(sb_try_, __LINE__))
#define SB_TRY_(name, expression, tmp)                                                 \
    auto tmp = (expression);                                                           \
    if (!tmp) return tl::unexpected<::signalbox::base::Error>(std::move(tmp).error()); \
    name = std::move(*tmp)
// SB_CHECK(expression): return its error, if it is one.
#define SB_CHECK(expression)                                                               \
    do {                                                                                   \
        if (auto sb_status = (expression); !sb_status)                                     \
            return tl::unexpected<::signalbox::base::Error>(std::move(sb_status).error()); \
    } while (false)
// NOLINTEND(bugprone-macro-parentheses)
