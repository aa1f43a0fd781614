#include "adapters/haproxy/router.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.hpp"

namespace signalbox::haproxy {
namespace {

using base::ErrorKind;
using base::fail;
using routing::TargetState;
using namespace std::chrono_literals;

constexpr std::size_t answer_max_bytes = 1 << 20;
constexpr auto removal_pause_ms = 2;  // between looks at a server whose sessions end

class Fd {
  public:
    explicit Fd(int fd) : fd_(fd) {}
    ~Fd() {
        if (fd_ >= 0) ::close(fd_);
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    int get() const { return fd_; }

  private:
    const int fd_;
};

tl::unexpected<base::Error> system_failure(ErrorKind kind, std::string_view what, int code) {
    return tl::unexpected<base::Error>(base::Error{kind, fmt::format("{}: {}", what, std::strerror(code)), {}, code});
}

tl::unexpected<base::Error> connect_failure(int code) {
    if (code == ENOENT || code == ECONNREFUSED)
        return system_failure(ErrorKind::Unavailable,
                              "can't connect: is HAProxy running with 'stats socket PATH level admin'?", code);
    if (code == EACCES || code == EPERM)
        return system_failure(ErrorKind::PermissionDenied, "can't connect: this user may not open the socket", code);
    return system_failure(ErrorKind::Unavailable, "can't connect", code);
}

}  // namespace

class Router::Deadline {
  public:
    explicit Deadline(base::Duration length) : end_(std::chrono::steady_clock::now() + length) {}
    int left_ms() const {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end_ - std::chrono::steady_clock::now());
        return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1'000'000));
    }

  private:
    const std::chrono::steady_clock::time_point end_;
};

base::Result<std::unique_ptr<ports::Router>> Router::create(RouterOptions options) {
    if (options.socket.empty() || options.socket.size() >= sizeof(sockaddr_un::sun_path))
        return fail(ErrorKind::InvalidArgument, "a unix socket's path has 1 to {} bytes, '{}' has {}",
                    sizeof(sockaddr_un::sun_path) - 1, options.socket, options.socket.size());
    if (!is_proxy_name(options.backend))
        return fail(ErrorKind::InvalidArgument, "'{}' is no name of a backend of HAProxy: letters, digits and . _ : -",
                    options.backend);
    const int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake < 0) return system_failure(ErrorKind::Unavailable, "no event descriptor", errno);
    return std::unique_ptr<ports::Router>(new Router(std::move(options), wake));
}

Router::Router(RouterOptions options, int wake) : options_(std::move(options)), wake_(wake) {}

Router::~Router() { ::close(wake_); }

void Router::cancel() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_, &one, sizeof one);
}

std::string Router::describe() const {
    return fmt::format("HAProxy backend '{}' at {}", options_.backend, options_.socket);
}

// One line of commands, answered until HAProxy closes the connection.
base::Result<std::string> Router::exchange(const std::string& commands, Effect effect, const Deadline& deadline) {
    const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (socket.get() < 0) return system_failure(ErrorKind::Unavailable, "no socket", errno);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, options_.socket.c_str(), sizeof address.sun_path - 1);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return connect_failure(errno);
    const std::string line = commands + "\n";
    bool sent = false;
    std::string answer;
    for (;;) {
        pollfd waits[2] = {{socket.get(), static_cast<short>(sent ? POLLIN : POLLOUT), 0}, {wake_, POLLIN, 0}};
        const int ready = ::poll(waits, 2, deadline.left_ms());
        const bool may_have_happened = sent && effect == Effect::Changes;
        if (ready < 0 && errno == EINTR) continue;
        if (ready < 0) return system_failure(ErrorKind::Unavailable, "can't wait", errno);
        if (waits[1].revents != 0)
            return fail(may_have_happened ? ErrorKind::UnknownOutcome : ErrorKind::Unavailable, "cancelled");
        if (ready == 0)
            return fail(may_have_happened ? ErrorKind::UnknownOutcome : ErrorKind::Timeout, "no answer within {}",
                        base::format_duration(options_.deadline));
        if (!sent) {
            // A line fits the socket's buffer whole.
            const auto count = ::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL);
            if (count != static_cast<ssize_t>(line.size()))
                return system_failure(ErrorKind::Unavailable, "can't send", count < 0 ? errno : EMSGSIZE);
            sent = true;
            continue;
        }
        char buffer[16 << 10];
        const auto count = ::recv(socket.get(), buffer, sizeof buffer, 0);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (count < 0)
            return system_failure(may_have_happened ? ErrorKind::UnknownOutcome : ErrorKind::Unavailable,
                                  "the answer broke off", errno);
        if (count == 0) return answer;
        answer.append(buffer, static_cast<std::size_t>(count));
        if (answer.size() > answer_max_bytes)
            return fail(ErrorKind::CorruptData, "an answer of more than {} bytes", answer_max_bytes);
    }
}

base::Result<std::vector<Server>> Router::servers(const Deadline& deadline) {
    SB_TRY(const std::string answer,
           exchange(fmt::format("show servers state {0}; show servers conn {0}", options_.backend), Effect::Reads,
                    deadline));
    return parse_servers(answer, options_.backend);
}

base::Result<Reply> Router::change(const std::string& command, const Deadline& deadline) {
    SB_TRY(const std::string answer, exchange(command, Effect::Changes, deadline));
    // HAProxy ends each answer with an empty line, but those to "del server": nothing at all is no answer.
    if (answer.empty()) return fail(ErrorKind::UnknownOutcome, "HAProxy closed the connection without an answer");
    return parse_reply(answer);
}

base::Result<std::vector<ports::RegisteredTarget>> Router::targets() {
    const auto found = servers(Deadline(options_.deadline));
    if (!found) return base::in_context(found.error(), describe());
    std::vector<ports::RegisteredTarget> targets;
    for (const auto& server : *found) {
        auto& target = targets.emplace_back();
        target.address = server.address;
        target.state = server.state;
        if (!static_weights_) target.weight = server.weight;
        target.sessions = server.sessions;
    }
    return targets;
}

base::Status Router::take_into_use(const Server& server, std::uint32_t weight, const Deadline& deadline) {
    if (!static_weights_ && server.weight != weight) {
        SB_TRY(const Reply weighed,
               change(fmt::format("set server {} weight {}", path_of(server.name), weight), deadline));
        static_weights_ = weighed == Reply::StaticWeights;
    }
    if (server.state != TargetState::Unused && server.state != TargetState::Draining) return {};
    SB_TRY(const Reply ready, change(fmt::format("set server {} state ready", path_of(server.name)), deadline));
    if (ready == Reply::NoSuchServer) return fail(ErrorKind::Conflict, "server '{}' went meanwhile", server.name);
    return {};
}

base::Status Router::add(const base::HostPort& address, std::uint32_t weight, const std::vector<Server>& known,
                         const Deadline& deadline) {
    const std::string plain = fmt::format("{}:{}", address.host, address.port);
    std::string name = plain;
    // A server of that name can have been given another address.
    for (std::size_t next = 2;
         std::any_of(known.begin(), known.end(), [&](const auto& one) { return one.name == name; }); ++next)
        name = fmt::format("{}-{}", plain, next);
    const bool is_v6 = address.host.find(':') != std::string::npos;
    SB_TRY(const Reply added,
           change(fmt::format("add server {} {}{} weight {}", path_of(name), is_v6 ? "ipv6@" : "", plain, weight),
                  deadline));
    if (added == Reply::NameTaken)
        return fail(ErrorKind::Conflict, "somebody else added a server '{}' meanwhile", name);
    // A new server starts in maintenance.
    SB_TRY(const Reply ready, change(fmt::format("set server {} state ready", path_of(name)), deadline));
    if (ready != Reply::Done) return fail(ErrorKind::Conflict, "server '{}' went meanwhile", name);
    return {};
}

base::Status Router::register_target(const base::HostPort& address, std::uint32_t weight) {
    if (!is_proxy_name(address.host) || weight > 256)
        return fail(ErrorKind::InvalidArgument, "{}: expected an IP address and a weight up to 256, found {}",
                    describe(), address.text());
    const Deadline deadline(options_.deadline);
    const auto known = servers(deadline);
    if (!known) return base::in_context(known.error(), describe());
    bool there = false;
    for (const auto& server : *known) {
        if (server.address != address) continue;
        there = true;
        if (auto used = take_into_use(server, weight, deadline); !used)
            return base::in_context(used.error(), describe());
    }
    if (there) return {};
    if (auto added = add(address, weight, *known, deadline); !added) return base::in_context(added.error(), describe());
    return {};
}

base::Status Router::drain_target(const base::HostPort& address) {
    const Deadline deadline(options_.deadline);
    const auto known = servers(deadline);
    if (!known) return base::in_context(known.error(), describe());
    for (const auto& server : *known) {
        if (server.address != address || server.state == TargetState::Draining || server.state == TargetState::Unused)
            continue;
        const auto drained = change(fmt::format("set server {} state drain", path_of(server.name)), deadline);
        if (!drained) return base::in_context(drained.error(), describe());
    }
    return {};
}

// Out of use at once, its sessions ended, then gone. HAProxy removes a server only when no connection is attached to
// it, and sessions end a moment after they were told to.
base::Status Router::remove(const Server& server, const Deadline& deadline) {
    const std::string path = path_of(server.name);
    SB_TRY(const Reply disabled, change("disable server " + path, deadline));
    if (disabled == Reply::NoSuchServer) return {};
    for (;;) {
        SB_TRY([[maybe_unused]] const Reply ended, change("shutdown sessions server " + path, deadline));
        SB_TRY(const Reply removed, change("del server " + path, deadline));
        if (removed == Reply::Done || removed == Reply::NoSuchServer) return {};
        if (removed == Reply::StaticServer) {
            SB_TRY(const auto now, servers(deadline));
            const auto same =
                std::find_if(now.begin(), now.end(), [&](const auto& one) { return one.name == server.name; });
            if (same == now.end() || same->sessions == 0) return {};
        }
        if (deadline.left_ms() == 0)
            return fail(ErrorKind::UnknownOutcome, "server '{}' still has sessions after {}", server.name,
                        base::format_duration(options_.deadline));
        pollfd cancelled{wake_, POLLIN, 0};
        ::poll(&cancelled, 1, removal_pause_ms);
    }
}

base::Status Router::deregister_target(const base::HostPort& address) {
    const Deadline deadline(options_.deadline);
    const auto known = servers(deadline);
    if (!known) return base::in_context(known.error(), describe());
    for (const auto& server : *known) {
        if (server.address != address) continue;
        if (auto removed = remove(server, deadline); !removed) return base::in_context(removed.error(), describe());
    }
    return {};
}

}  // namespace signalbox::haproxy
