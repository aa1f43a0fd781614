#pragma once
// What HAProxy's runtime API answers, as values. Pure and strict: a list that is cut off, or that has a line of another
// form, is an error, never a shorter list. HAProxy 2.6 management guide, 9.3 "Unix Socket commands".

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"
#include "domain/routing/target_group.hpp"

namespace signalbox::haproxy {

struct Server {
    std::string name;
    // As listed; of a server whose name is not resolved that name, of one on a unix socket its name in HAProxy.
    base::HostPort address;
    routing::TargetState state = routing::TargetState::Initial;
    std::uint32_t weight = 0;  // 0–256
    std::uint64_t sessions = 0;
    friend bool operator==(const Server&, const Server&) = default;
};

inline constexpr std::size_t servers_max = 1000;

// What may be in the name of a backend or server: letters, digits and . _ : -
bool is_proxy_name(std::string_view text);

// Reads what "show servers state BACKEND; show servers conn BACKEND" answers. Errors: NotFound, PermissionDenied, and
// CorruptData with the line.
base::Result<std::vector<Server>> parse_servers(std::string_view text, std::string_view backend);

// What a command that changes something answered: HAProxy says nothing, or something that ends so, when it is done.
enum class Reply {
    Done,
    NoSuchServer,
    NameTaken,
    StillBusy,      // connections are attached: soon again
    StaticServer,   // other parts of its configuration name it: it can't be removed while HAProxy runs
    StaticWeights,  // the backend's balancing algorithm knows no weights
};
// Errors: NotFound (backend), PermissionDenied, NotSupported, InvalidArgument with HAProxy's own words.
base::Result<Reply> parse_reply(std::string_view text);

}  // namespace signalbox::haproxy
