#include "adapters/dns/server.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "base/assert.hpp"

namespace signalbox::dns {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::size_t query_max_bytes = 4096;
constexpr std::size_t unsent_max_bytes = 1 << 18;  // answers that a TCP client does not take; then it is cut
constexpr int datagrams_per_turn = 64;
constexpr int port_tries = 32;

base::MonoTime mono_now() { return base::MonoTime(std::chrono::steady_clock::now().time_since_epoch()); }

struct Fd {
    explicit Fd(int number = -1) : fd(number) {}
    ~Fd() {
        if (fd >= 0) ::close(fd);
    }
    Fd(Fd&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        std::swap(fd, other.fd);
        return *this;
    }
    int fd;
};

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;
    sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
};

std::optional<Address> to_address(const base::HostPort& where) {
    Address address;
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    const std::string host = where.host == "localhost" ? "127.0.0.1" : where.host;
    if (::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(where.port);
        address.size = sizeof(sockaddr_in);
        return address;
    }
    if (::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) != 1) return std::nullopt;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(where.port);
    address.size = sizeof(sockaddr_in6);
    return address;
}

std::uint16_t port_of(const Address& address) {
    return ntohs(address.storage.ss_family == AF_INET6
                     ? reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_port
                     : reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);
}

std::string host_of(const Address& address) {
    char text[INET6_ADDRSTRLEN] = {};
    const void* binary =
        address.storage.ss_family == AF_INET6
            ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_addr)
            : &reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_addr;
    ::inet_ntop(address.storage.ss_family, binary, text, sizeof text);
    return text;
}

// The error number, or 0. The address gets the bound port.
int bind_socket(int type, Address& address, Fd& out) {
    Fd fd(::socket(address.storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    if (fd.fd < 0) return errno;
    if (type == SOCK_STREAM && ::setsockopt(fd.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return errno;
    if (address.storage.ss_family == AF_INET6 && ::setsockopt(fd.fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)
        return errno;
    if (::bind(fd.fd, address.raw(), address.size) != 0) return errno;
    if (type == SOCK_STREAM && ::listen(fd.fd, 64) != 0) return errno;
    socklen_t size = address.size;
    if (::getsockname(fd.fd, address.raw(), &size) != 0) return errno;
    out = std::move(fd);
    return 0;
}

}  // namespace

struct Server::Listener {
    Fd udp;
    Fd tcp;
    Zone zone;
};

struct Server::Connection {
    Fd socket;
    std::string address;  // its listener's
    base::MonoTime idle_since;
    std::vector<std::uint8_t> received;
    std::vector<std::uint8_t> unsent;
};

Server::Server(ServerOptions options) : options_(options), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    SB_ASSERT(wake_ >= 0, "a process that can't have one more descriptor can't serve");
    thread_ = std::thread([this] { run(); });
}

Server::~Server() {
    {
        const std::lock_guard guard(mutex_);
        stopping_ = true;
    }
    wake();
    thread_.join();
    ::close(wake_);
}

void Server::wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_, &one, sizeof one);
}

base::Result<std::string> Server::listen(const base::HostPort& where) {
    const auto wanted = to_address(where);
    if (!wanted)
        return fail(ErrorKind::InvalidArgument, "can't listen on {}: expected an IP address of this machine and a port",
                    where.text());
    auto listener = std::make_unique<Listener>();
    int error = 0;
    // A port that is free for UDP can be taken for TCP.
    for (int i = 0; i < (where.port == 0 ? port_tries : 1); ++i) {
        Address bound = *wanted;
        error = bind_socket(SOCK_DGRAM, bound, listener->udp);
        if (error == 0) error = bind_socket(SOCK_STREAM, bound, listener->tcp);
        if (error != 0) continue;
        const base::HostPort address{host_of(bound), port_of(bound)};
        const bool any = address.host == "0.0.0.0" || address.host == "::";
        listener->zone.server = any ? "" : address.host;
        {
            const std::lock_guard guard(mutex_);
            listeners_[address.text()] = std::move(listener);
        }
        wake();
        return address.text();
    }
    return fail(ErrorKind::Unavailable, "can't listen on {}: {}", where.text(), std::strerror(error));
}

void Server::close(const std::string& address) {
    std::unique_lock lock(mutex_);
    const auto found = listeners_.find(address);
    if (found == listeners_.end()) return;
    closed_.push_back(std::move(found->second));
    listeners_.erase(found);
    std::erase_if(connections_, [&](const auto& entry) { return entry.second->address == address; });
    wake();
    let_go_.wait(lock, [this] { return closed_.empty(); });
}

void Server::change(const std::string& address, const std::function<void(Zone&)>& how) {
    const std::lock_guard guard(mutex_);
    const auto listener = listeners_.find(address);
    if (listener == listeners_.end()) return;
    how(listener->second->zone);
    std::erase_if(connections_,
                  [&](const auto& entry) { return entry.second->address == address && !entry.second->unsent.empty(); });
}

void Server::look(const std::string& address, const std::function<void(const Zone&)>& how) const {
    const std::lock_guard guard(mutex_);
    const auto listener = listeners_.find(address);
    if (listener != listeners_.end()) how(listener->second->zone);
}

void Server::post(std::function<void()> task) {
    {
        const std::lock_guard guard(mutex_);
        tasks_.push_back(std::move(task));
    }
    wake();
}

void Server::run() {
    std::vector<std::pair<int, short>> ready;
    while (wait(ready)) {
        std::vector<std::function<void()>> tasks;
        {
            const std::lock_guard guard(mutex_);
            for (const auto& [fd, events] : ready) serve(fd, events);
            drop_idle(mono_now());
            closed_.clear();
            tasks.swap(tasks_);
        }
        let_go_.notify_all();
        for (const auto& task : tasks) task();
    }
}

// Waits for descriptors that can be served; false: the end. What was closed meanwhile is found out by serve().
bool Server::wait(std::vector<std::pair<int, short>>& ready) {
    std::vector<pollfd> waits{{wake_, POLLIN, 0}};
    int timeout_ms = -1;
    {
        const std::lock_guard guard(mutex_);
        if (stopping_) return false;
        if (!tasks_.empty()) timeout_ms = 0;
        for (const auto& [address, listener] : listeners_) {
            waits.push_back({listener->udp.fd, POLLIN, 0});
            waits.push_back({listener->tcp.fd, POLLIN, 0});
        }
        for (const auto& [fd, connection] : connections_)
            waits.push_back({fd, static_cast<short>(connection->unsent.empty() ? POLLIN : POLLIN | POLLOUT), 0});
        if (!connections_.empty() && timeout_ms < 0)
            timeout_ms = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(until_idle(mono_now())).count());
    }
    ready.clear();
    if (::poll(waits.data(), waits.size(), timeout_ms) <= 0) return true;
    if (waits[0].revents != 0) {
        std::uint64_t count = 0;
        [[maybe_unused]] const auto taken = ::read(wake_, &count, sizeof count);
    }
    for (std::size_t i = 1; i < waits.size(); ++i) {
        if (waits[i].revents != 0) ready.emplace_back(waits[i].fd, waits[i].revents);
    }
    return true;
}

void Server::serve(int fd, short events) {
    for (const auto& [address, listener] : listeners_) {
        if (listener->udp.fd == fd) return serve_udp(*listener);
        if (listener->tcp.fd == fd) return accept(address, *listener);
    }
    const auto connection = connections_.find(fd);
    if (connection != connections_.end() && !serve_tcp(*connection->second, events)) connections_.erase(connection);
}

void Server::serve_udp(Listener& listener) {
    for (int i = 0; i < datagrams_per_turn; ++i) {
        std::uint8_t query[query_max_bytes];
        Address from;
        from.size = sizeof from.storage;
        const auto size = ::recvfrom(listener.udp.fd, query, sizeof query, 0, from.raw(), &from.size);
        if (size < 0) return;
        const auto reply = answer(listener.zone, query, static_cast<std::size_t>(size), Transport::Udp);
        // Lost is lost: the client asks again.
        if (!reply.empty()) ::sendto(listener.udp.fd, reply.data(), reply.size(), MSG_NOSIGNAL, from.raw(), from.size);
    }
}

void Server::accept(const std::string& address, Listener& listener) {
    Fd socket(::accept4(listener.tcp.fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket.fd < 0) return;
    if (connections_.size() >= options_.connections_max) {
        const auto idlest =
            std::min_element(connections_.begin(), connections_.end(),
                             [](const auto& a, const auto& b) { return a.second->idle_since < b.second->idle_since; });
        if (idlest != connections_.end()) connections_.erase(idlest);
    }
    auto connection = std::make_unique<Connection>();
    const int fd = socket.fd;
    connection->socket = std::move(socket);
    connection->address = address;
    connection->idle_since = mono_now();
    connections_[fd] = std::move(connection);
}

bool Server::serve_tcp(Connection& connection, short events) {
    if ((events & (POLLERR | POLLNVAL)) != 0) return false;
    if ((events & (POLLIN | POLLHUP)) != 0 && !read_queries(connection)) return false;
    return write_answers(connection);
}

// RFC 7766: queries with their length in front, several in a row, answered in their order.
bool Server::read_queries(Connection& connection) {
    std::uint8_t buffer[query_max_bytes];
    const auto count = ::recv(connection.socket.fd, buffer, sizeof buffer, 0);
    if (count == 0) return false;
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    auto& received = connection.received;
    received.insert(received.end(), buffer, buffer + count);
    const auto listener = listeners_.find(connection.address);
    if (listener == listeners_.end()) return false;
    std::size_t at = 0;
    while (received.size() - at >= 2) {
        const std::size_t size = static_cast<std::size_t>(received[at]) << 8U | received[at + 1];
        if (size > query_max_bytes) return false;
        if (received.size() - at - 2 < size) break;
        const auto reply = answer(listener->second->zone, received.data() + at + 2, size, Transport::Tcp);
        at += 2 + size;
        // Bytes that are no query: what follows is none either.
        if (reply.empty()) return false;
        connection.unsent.push_back(static_cast<std::uint8_t>(reply.size() >> 8U));
        connection.unsent.push_back(static_cast<std::uint8_t>(reply.size() & 255U));
        connection.unsent.insert(connection.unsent.end(), reply.begin(), reply.end());
        if (connection.unsent.size() > unsent_max_bytes) return false;
        connection.idle_since = mono_now();
    }
    received.erase(received.begin(), received.begin() + static_cast<std::ptrdiff_t>(at));
    return true;
}

bool Server::write_answers(Connection& connection) {
    auto& unsent = connection.unsent;
    if (unsent.empty()) return true;
    const auto count = ::send(connection.socket.fd, unsent.data(), unsent.size(), MSG_NOSIGNAL);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    unsent.erase(unsent.begin(), unsent.begin() + count);
    return true;
}

base::Duration Server::until_idle(base::MonoTime now) const {
    base::Duration least = options_.idle_timeout;
    for (const auto& [fd, connection] : connections_)
        least = std::min(least, connection->idle_since + options_.idle_timeout - now);
    return std::max(least, base::Duration(0));
}

void Server::drop_idle(base::MonoTime now) {
    std::erase_if(connections_,
                  [&](const auto& entry) { return now - entry.second->idle_since >= options_.idle_timeout; });
}

}  // namespace signalbox::dns
