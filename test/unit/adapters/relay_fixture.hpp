#pragma once
// Sockets of our own that play client and member, and a relay between them.

#include <arpa/inet.h>
#include <condition_variable>
#include <gmock/gmock.h>
#include <mutex>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "adapters/relay/relay.hpp"

namespace signalbox::relay {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

inline constexpr auto patience = 10s;

// A blocking TCP socket whose reads have a deadline.
class Peer {
  public:
    explicit Peer(int fd) : fd_(fd) {
        const timeval limit{10, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    }
    static Peer connect_to(const std::string& address) {
        const auto place = base::parse_host_port(address).value();
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in in{};
        in.sin_family = AF_INET;
        in.sin_port = htons(place.port);
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&in), sizeof in), 0);
        return Peer(fd);
    }
    Peer(Peer&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Peer& operator=(Peer&&) = delete;
    ~Peer() { close(); }
    void close() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }
    void send(const std::string& bytes) const {
        std::size_t sent = 0;
        while (sent < bytes.size()) {
            const ssize_t size = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
            if (size <= 0) return;
            sent += static_cast<std::size_t>(size);
        }
    }
    // So many bytes, or fewer if the other side ends or is silent for 10 s.
    std::string receive(std::size_t size) const {
        std::string bytes(size, '\0');
        std::size_t received = 0;
        while (received < size) {
            const ssize_t part = ::recv(fd_, bytes.data() + received, size - received, 0);
            if (part <= 0) break;
            received += static_cast<std::size_t>(part);
        }
        bytes.resize(received);
        return bytes;
    }
    bool silent_for(std::chrono::milliseconds time) const {
        pollfd wait{fd_, POLLIN, 0};
        return ::poll(&wait, 1, static_cast<int>(time.count())) == 0;
    }
    // The other side has ended the connection, whichever way.
    bool ended() const {
        char byte = 0;
        const ssize_t size = ::recv(fd_, &byte, 1, 0);
        return size == 0 || (size < 0 && errno == ECONNRESET);
    }
    bool was_reset() const {
        char byte = 0;
        return ::recv(fd_, &byte, 1, 0) < 0 && errno == ECONNRESET;
    }
    // As the other side sees us, "127.0.0.1:40112".
    std::string local_address() const { return name(&::getsockname); }
    std::string remote_address() const { return name(&::getpeername); }
    // Sends without waiting until nobody takes any more; returns how much went.
    std::size_t send_until_full() const {
        const std::string bytes(1 << 16, 'x');
        std::size_t total = 0;
        for (int idle = 0; idle < 100;) {
            const ssize_t size = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            idle = size > 0 ? 0 : idle + 1;
            if (size > 0) total += static_cast<std::size_t>(size);
            if (size <= 0) std::this_thread::sleep_for(1ms);
        }
        return total;
    }
    // Writing fails: the other side has reset the connection.
    bool refuses_bytes_within(std::chrono::milliseconds time) const {
        const auto until = std::chrono::steady_clock::now() + time;
        while (std::chrono::steady_clock::now() < until) {
            if (::send(fd_, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && (errno == ECONNRESET || errno == EPIPE))
                return true;
            std::this_thread::sleep_for(1ms);
        }
        return false;
    }
    void end_sending() const { ::shutdown(fd_, SHUT_WR); }

  private:
    std::string name(int (*ask)(int, sockaddr*, socklen_t*)) const {
        sockaddr_in in{};
        socklen_t size = sizeof in;
        EXPECT_EQ(ask(fd_, reinterpret_cast<sockaddr*>(&in), &size), 0);
        return base::HostPort{::inet_ntoa(in.sin_addr), ntohs(in.sin_port)}.text();
    }
    int fd_;
};

// A listening socket that plays a member.
class Server {
  public:
    Server() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in in{};
        in.sin_family = AF_INET;
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof in;
        EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&in), sizeof in), 0);
        EXPECT_EQ(::listen(fd_, 4096), 0);
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&in), &size);
        address = {"127.0.0.1", ntohs(in.sin_port)};
    }
    ~Server() { ::close(fd_); }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    Peer accept() const {
        pollfd wait{fd_, POLLIN, 0};
        EXPECT_EQ(::poll(&wait, 1, 10'000), 1) << "nobody connects";
        return Peer(::accept(fd_, nullptr, nullptr));
    }
    bool nobody_for(std::chrono::milliseconds time) const {
        pollfd wait{fd_, POLLIN, 0};
        return ::poll(&wait, 1, static_cast<int>(time.count())) == 0;
    }
    base::HostPort address;

  private:
    int fd_;
};

inline std::string greeting(std::uint32_t id) {
    std::string payload = "\x0a";
    payload += "10.11-test";
    payload.push_back('\0');
    for (int i = 0; i < 4; ++i) payload.push_back(static_cast<char>(id >> (8 * i) & 0xFF));
    payload += "rest of it";
    return std::string{static_cast<char>(payload.size()), 0, 0, 0} + payload;
}

class RelayTest : public testing::Test {
  protected:
    RelayTest() : relay_(options()) {}

    RelayOptions options() {
        RelayOptions options;
        options.shards = 2;
        options.on_barrier = [this](ports::BarrierDone done) {
            const std::lock_guard guard(mutex_);
            barriers_.push_back(std::move(done));
            changed_.notify_all();
        };
        options.on_hint = [this](ports::TrafficHint hint) {
            const std::lock_guard guard(mutex_);
            hints_.push_back(std::move(hint));
            changed_.notify_all();
        };
        return options;
    }
    static routing::EndpointConfig endpoint(const std::string& name = "e") {
        routing::EndpointConfig config;
        config.name = name;
        config.cluster = "c";
        config.listen = {"127.0.0.1", 0};
        config.hold.time_max = 10s;
        config.hold.connections_max = 100;
        config.sessions_max = 1000;
        return config;
    }
    std::string open(const routing::EndpointConfig& config) {
        auto address = relay_.open(config);
        EXPECT_TRUE(address) << address.error().text();
        return address ? address.value() : "127.0.0.1:1";
    }
    std::string open(base::Duration hold_time = 10s, std::uint64_t held_max = 100) {
        auto config = endpoint();
        config.hold.time_max = hold_time;
        config.hold.connections_max = held_max;
        return open(config);
    }
    ports::BarrierDone fence(std::uint64_t epoch) {
        relay_.fence("c", epoch);
        std::unique_lock lock(mutex_);
        EXPECT_TRUE(
            changed_.wait_for(lock, patience, [&] { return !barriers_.empty() && barriers_.back().epoch == epoch; }));
        return barriers_.empty() ? ports::BarrierDone() : barriers_.back();
    }
    bool hinted() {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, patience, [&] { return !hints_.empty(); });
    }
    std::size_t hint_count() {
        const std::lock_guard guard(mutex_);
        return hints_.size();
    }
    ports::EndpointStats stats(std::size_t endpoint = 0) { return relay_.stats().at(endpoint); }
    template <typename Condition>
    bool eventually(Condition condition) {
        const auto until = std::chrono::steady_clock::now() + patience;
        while (!condition()) {
            if (std::chrono::steady_clock::now() > until) return false;
            std::this_thread::sleep_for(1ms);
        }
        return true;
    }
    // A session through the relay, greeted with the connection id.
    std::pair<Peer, Peer> session(const std::string& address, const Server& server, std::uint32_t id) {
        Peer client = Peer::connect_to(address);
        Peer member = server.accept();
        member.send(greeting(id));
        EXPECT_EQ(client.receive(greeting(id).size()), greeting(id));
        return {std::move(client), std::move(member)};
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<ports::BarrierDone> barriers_;
    std::vector<ports::TrafficHint> hints_;
    Server a_, b_;
    Relay relay_;  // last: its threads use the others
};

}  // namespace signalbox::relay
