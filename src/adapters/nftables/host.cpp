#include "adapters/nftables/host.hpp"

#include <cerrno>
#include <cstring>
#include <linux/membarrier.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

namespace signalbox::kernel {
namespace {

using base::ErrorKind;
using base::fail;

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress socket_address(const Address& address) {
    SocketAddress result;
    if (address.v6) {
        auto& v6 = reinterpret_cast<sockaddr_in6&>(result.storage);
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(address.port);
        std::memcpy(&v6.sin6_addr, address.bytes.data(), 16);
        result.size = sizeof(v6);
    } else {
        auto& v4 = reinterpret_cast<sockaddr_in&>(result.storage);
        v4.sin_family = AF_INET;
        v4.sin_port = htons(address.port);
        std::memcpy(&v4.sin_addr, address.bytes.data(), 4);
        result.size = sizeof(v4);
    }
    return result;
}

int tcp_socket(const Address& address) {
    return ::socket(address.v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

tl::unexpected<base::Error> refused(const Address& address) {
    const char* text = std::strerror(errno);
    if (errno == EADDRINUSE) {
        return fail(ErrorKind::AlreadyExists, "{} is in use on this host", address.text());
    }
    if (errno == EACCES) {
        return fail(ErrorKind::PermissionDenied, "{}: {} (CAP_NET_BIND_SERVICE)", address.text(), text);
    }
    if (errno == EADDRNOTAVAIL) {
        return fail(ErrorKind::InvalidArgument, "{} is no address of this host", address.text());
    }
    return fail(ErrorKind::Unavailable, "{}: {}", address.text(), text);
}

}  // namespace

std::optional<int> sysctl_number(const std::string& path) {
    const auto text = base::read_file("/proc/sys/" + path, 64);
    if (!text) return std::nullopt;
    const auto number = base::parse_int(base::trim(*text));
    if (!number) return std::nullopt;
    return static_cast<int>(*number);
}

HostFacts host_facts() {
    HostFacts facts;
    facts.forwards4 = sysctl_number("net/ipv4/ip_forward").value_or(0) != 0;
    facts.forwards6 = sysctl_number("net/ipv6/conf/all/forwarding").value_or(0) != 0;
    facts.picks_up = sysctl_number("net/netfilter/nf_conntrack_tcp_loose").value_or(1) != 0;
    facts.routes_loopback = sysctl_number("net/ipv4/conf/all/route_localnet").value_or(0) != 0;
    return facts;
}

bool is_local(const Address& address) {
    const int socket = tcp_socket(address);
    if (socket < 0) return false;
    Address any_port = address;
    any_port.port = 0;
    const SocketAddress at = socket_address(any_port);
    const bool bound = bind(socket, at.get(), at.size) == 0;
    ::close(socket);
    return bound;
}

bool wait_for_packets_under_way() { return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0; }

base::Result<Reservation> Reservation::take(const Address& address) {
    const int socket = tcp_socket(address);
    if (socket < 0) return refused(address);
    Reservation reservation(socket, address);
    int yes = 1;
    // Connections of an earlier listener that still linger are no obstacle; only listen() finds who else is there.
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (address.v6) setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
    const SocketAddress at = socket_address(address);
    if (bind(socket, at.get(), at.size) != 0 || listen(socket, 1) != 0) return refused(address);
    shutdown(socket, SHUT_RDWR);
    // From here on nobody may share it.
    int no = 0;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &no, sizeof(no));
    sockaddr_storage got{};
    socklen_t size = sizeof(got);
    if (getsockname(socket, reinterpret_cast<sockaddr*>(&got), &size) == 0 && address.port == 0) {
        reservation.address_.port = ntohs(address.v6 ? reinterpret_cast<sockaddr_in6&>(got).sin6_port
                                                     : reinterpret_cast<sockaddr_in&>(got).sin_port);
    }
    return reservation;
}

Reservation::~Reservation() {
    if (socket_ >= 0) ::close(socket_);
}

Reservation::Reservation(Reservation&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)), address_(other.address_) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
    std::swap(socket_, other.socket_);
    std::swap(address_, other.address_);
    return *this;
}

}  // namespace signalbox::kernel
