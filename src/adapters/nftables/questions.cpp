#include "adapters/nftables/questions.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace signalbox::kernel {
namespace {

struct Packet {
    iphdr ip{};
    tcphdr tcp{};
};
static_assert(sizeof(Packet) == 40, "no padding between the headers");

std::uint32_t sum(const void* data, std::size_t size, std::uint32_t start) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i + 1 < size; i += 2) start += static_cast<std::uint32_t>(bytes[i] << 8 | bytes[i + 1]);
    return start;
}

std::uint16_t folded(std::uint32_t value) {
    while (value >> 16 != 0) value = (value & 0xffff) + (value >> 16);
    return htons(static_cast<std::uint16_t>(~value));
}

Packet question(const Address& from, const Address& to) {
    Packet packet;
    packet.ip.version = 4;
    packet.ip.ihl = 5;
    packet.ip.ttl = 64;
    packet.ip.protocol = IPPROTO_TCP;
    packet.ip.tot_len = htons(sizeof(Packet));
    std::memcpy(&packet.ip.saddr, from.bytes.data(), 4);
    std::memcpy(&packet.ip.daddr, to.bytes.data(), 4);
    packet.tcp.source = htons(from.port);
    packet.tcp.dest = htons(to.port);
    // Any numbers do: what is far from the peer's window is answered, and what hits it by chance carries nothing.
    packet.tcp.seq = htonl(0x5b00'0000U ^ static_cast<std::uint32_t>(from.port << 8 ^ to.port));
    packet.tcp.doff = 5;
    packet.tcp.ack = 1;
    packet.tcp.window = htons(1024);
    std::uint32_t checksum = sum(&packet.ip.saddr, 8, IPPROTO_TCP + sizeof(tcphdr));
    checksum = sum(&packet.tcp, sizeof(tcphdr), checksum);
    packet.tcp.check = folded(checksum);
    return packet;
}

}  // namespace

base::Result<Questions> Questions::open(std::uint32_t mark) {
    const int socket = ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
    if (socket < 0) {
        return base::fail(base::ErrorKind::PermissionDenied,
                          "no raw socket ({}; CAP_NET_RAW): silent clients learn of a fence when they next send",
                          std::strerror(errno));
    }
    Questions questions(socket);
    if (setsockopt(socket, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) != 0) {
        return base::fail(base::ErrorKind::PermissionDenied, "no mark on a raw socket: {}", std::strerror(errno));
    }
    return questions;
}

Questions::~Questions() {
    if (socket_ >= 0) ::close(socket_);
}

Questions::Questions(Questions&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}

void Questions::send(const Address& from, const Address& to) const {
    const Packet packet = question(from, to);
    sockaddr_in target{};
    target.sin_family = AF_INET;
    std::memcpy(&target.sin_addr, to.bytes.data(), 4);
    (void)sendto(socket_, &packet, sizeof(packet), 0, reinterpret_cast<const sockaddr*>(&target), sizeof(target));
}

void Questions::ask(const std::vector<Flow>& flows) const {
    for (const Flow& flow : flows) {
        if (flow.client.v6) continue;
        send(flow.seen_as, flow.server);
        send(flow.listen, flow.client);
    }
}

}  // namespace signalbox::kernel
