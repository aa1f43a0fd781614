// The relay against sockets of our own that play server and client: bytes, holding, the fence.

#include "adapters/relay/relay.hpp"

#include <arpa/inet.h>
#include <condition_variable>
#include <gmock/gmock.h>
#include <mutex>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "wire/mysql/packet.hpp"

namespace signalbox::relay {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

constexpr auto patience = 10s;

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
    void end_sending() const { ::shutdown(fd_, SHUT_WR); }

  private:
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

std::string greeting(std::uint32_t id) {
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
    std::string open(base::Duration hold_time = 10s, std::uint64_t held_max = 100) {
        routing::EndpointConfig config{"e", "c", {"127.0.0.1", 0}, {hold_time, held_max}, 1000};
        auto address = relay_.open(config);
        EXPECT_TRUE(address) << address.error().text();
        return address.value();
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
    ports::EndpointStats stats() { return relay_.stats().at(0); }
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

TEST_F(RelayTest, bytes_of_both_directions_and_a_half_close_are_passed_on) {
    const auto address = open();
    relay_.route("c", 1, "a", a_.address);
    auto [client, member] = session(address, a_, 7);
    client.send("question");
    EXPECT_EQ(member.receive(8), "question");
    member.send("answer");
    EXPECT_EQ(client.receive(6), "answer");
    client.end_sending();
    EXPECT_EQ(member.receive(1), "");
    member.send("last words");
    member.close();
    EXPECT_EQ(client.receive(100), "last words");
    EXPECT_TRUE(eventually([&] { return stats().sessions == 0; }));
    EXPECT_EQ(stats().bytes_to_server, 8U);
    EXPECT_EQ(stats().bytes_to_client, greeting(7).size() + 16);
}

TEST_F(RelayTest, bulk_passes_whole_through_a_reader_that_is_slow) {
    const auto address = open();
    relay_.route("c", 1, "a", a_.address);
    auto [client, member] = session(address, a_, 7);
    std::string bulk(32 << 20, '\0');
    for (std::size_t i = 0; i < bulk.size(); ++i) bulk[i] = static_cast<char>(i * 2654435761U >> 13);
    std::thread sender([&member = member, &bulk] { member.send(bulk); });
    std::this_thread::sleep_for(100ms);
    EXPECT_TRUE(client.receive(bulk.size()) == bulk);
    sender.join();
}

TEST_F(RelayTest, a_client_without_a_writer_waits_and_gets_the_one_that_comes) {
    const auto address = open();
    Peer client = Peer::connect_to(address);
    EXPECT_TRUE(eventually([&] { return stats().held == 1; }));
    EXPECT_TRUE(client.silent_for(50ms));
    relay_.route("c", 1, "b", b_.address);
    Peer member = b_.accept();
    member.send(greeting(1));
    EXPECT_EQ(client.receive(greeting(1).size()), greeting(1));
    EXPECT_TRUE(eventually([&] { return stats().held == 0; }));
    EXPECT_EQ(stats().released, 1U);
    EXPECT_GT(stats().held_seconds, 0.04);
}

TEST_F(RelayTest, past_the_hold_time_the_client_gets_the_protocols_own_error) {
    const auto address = open(50ms);
    Peer client = Peer::connect_to(address);
    const std::string bytes = client.receive(2000);
    const auto error = wire::mysql::parse_error(std::string_view(bytes).substr(4));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, 1053);
    EXPECT_THAT(error->message, HasSubstr("cluster 'c' has no writer"));
    EXPECT_THAT(error->message, HasSubstr("50ms"));
}

TEST_F(RelayTest, more_clients_than_may_be_held_get_an_error_at_once) {
    const auto address = open(10s, 2);
    Peer first = Peer::connect_to(address);
    Peer second = Peer::connect_to(address);
    ASSERT_TRUE(eventually([&] { return stats().held == 2; }));
    const std::string bytes = Peer::connect_to(address).receive(2000);
    const auto error = wire::mysql::parse_error(std::string_view(bytes).substr(4));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, 1040);
    EXPECT_THAT(error->message, HasSubstr("holds 2 clients"));
}

TEST_F(RelayTest, a_client_that_leaves_while_held_is_noticed) {
    const auto address = open();
    {
        Peer client = Peer::connect_to(address);
        ASSERT_TRUE(eventually([&] { return stats().held == 1; }));
    }
    EXPECT_TRUE(eventually([&] { return stats().held == 0 && stats().left_while_held == 1; }));
}

TEST_F(RelayTest, a_fence_ends_every_session_of_an_older_epoch_and_names_the_servers_connections) {
    const auto address = open();
    relay_.route("c", 1, "a", a_.address);
    auto [client_1, member_1] = session(address, a_, 11);
    auto [client_2, member_2] = session(address, a_, 12);
    auto [client_3, member_3] = session(address, a_, 13);
    const auto done = fence(2);
    EXPECT_EQ(done.result.sessions_closed, 3U);
    ASSERT_THAT(done.result.server_sessions, SizeIs(1));
    EXPECT_EQ(done.result.server_sessions[0].member, "a");
    std::vector<std::uint64_t> ids;
    for (const auto& session : done.result.server_sessions[0].sessions) ids.push_back(session.connection_id);
    std::sort(ids.begin(), ids.end());
    EXPECT_THAT(ids, ElementsAre(11U, 12U, 13U));
    for (const Peer* client : {&client_1, &client_2, &client_3}) EXPECT_TRUE(client->ended());
    for (const Peer* member : {&member_1, &member_2, &member_3}) EXPECT_TRUE(member->was_reset());
    EXPECT_EQ(stats().fenced, 3U);
}

TEST_F(RelayTest, between_fence_and_route_nobody_reaches_the_former_writer) {
    const auto address = open();
    relay_.route("c", 1, "a", a_.address);
    fence(2);
    Peer client = Peer::connect_to(address);
    EXPECT_TRUE(a_.nobody_for(50ms));
    // An older epoch's route, however late it comes, is no route.
    relay_.route("c", 1, "a", a_.address);
    EXPECT_TRUE(a_.nobody_for(50ms));
    relay_.route("c", 2, "b", b_.address);
    b_.accept().send(greeting(2));
    EXPECT_EQ(client.receive(greeting(2).size()), greeting(2));
}

TEST_F(RelayTest, a_connect_under_way_at_the_fence_goes_to_the_next_writer) {
    const auto address = open();
    relay_.route("c", 1, "a", a_.address);
    Peer client = Peer::connect_to(address);
    Peer member = a_.accept();  // does not greet
    const auto done = fence(2);
    EXPECT_EQ(done.result.sessions_closed, 0U);
    EXPECT_TRUE(member.was_reset());
    EXPECT_TRUE(client.silent_for(50ms));
    relay_.route("c", 2, "b", b_.address);
    b_.accept().send(greeting(2));
    EXPECT_EQ(client.receive(greeting(2).size()), greeting(2));
}

TEST_F(RelayTest, sessions_of_the_fences_own_epoch_stay) {
    const auto address = open();
    relay_.route("c", 2, "a", a_.address);
    auto [client, member] = session(address, a_, 1);
    EXPECT_EQ(fence(2).result.sessions_closed, 0U);
    client.send("x");
    EXPECT_EQ(member.receive(1), "x");
}

TEST_F(RelayTest, hold_lets_sessions_go_on_and_newcomers_wait) {
    const auto address = open();
    relay_.route("c", 1, "a", a_.address);
    auto [client, member] = session(address, a_, 1);
    relay_.hold("c", 1);
    Peer newcomer = Peer::connect_to(address);
    EXPECT_TRUE(eventually([&] { return stats().held == 1; }));
    client.send("x");
    EXPECT_EQ(member.receive(1), "x");
    EXPECT_TRUE(a_.nobody_for(50ms));
}

TEST_F(RelayTest, a_member_that_refuses_is_tried_again_within_the_hold_time_and_hinted_at) {
    const auto address = open();
    base::HostPort gone;
    {
        const Server brief;
        gone = brief.address;
    }
    relay_.route("c", 1, "a", gone);
    Peer client = Peer::connect_to(address);
    EXPECT_TRUE(hinted());
    EXPECT_TRUE(eventually([&] { return stats().held == 1; }));
    relay_.route("c", 2, "b", b_.address);
    b_.accept().send(greeting(2));
    EXPECT_EQ(client.receive(greeting(2).size()), greeting(2));
}

TEST_F(RelayTest, past_the_hold_time_a_client_of_a_routed_member_that_refuses_gets_the_error_too) {
    const auto address = open(100ms);
    base::HostPort gone;
    {
        const Server brief;
        gone = brief.address;
    }
    relay_.route("c", 1, "a", gone);
    const std::string bytes = Peer::connect_to(address).receive(2000);
    ASSERT_GT(bytes.size(), 4U);
    const auto error = wire::mysql::parse_error(std::string_view(bytes).substr(4));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, 1053);
}

TEST_F(RelayTest, a_fence_names_the_connection_of_a_client_that_vanished_but_not_of_one_that_said_farewell) {
    const auto address = open();
    relay_.route("c", 1, "a", a_.address);
    {
        auto [vanishing, member_1] = session(address, a_, 11);
        auto [polite, member_2] = session(address, a_, 12);
        // A client that closes with bytes unread resets the connection: it is gone, whatever its statement does.
        member_1.send("unread");
        ASSERT_TRUE(eventually([&] { return stats().bytes_to_client == 2 * greeting(11).size() + 6; }));
        vanishing.close();
        polite.send(std::string("\x01\0\0\0\x01", 5));
        EXPECT_EQ(member_2.receive(5).size(), 5U);
        polite.close();
        member_2.close();
        ASSERT_TRUE(eventually([&] { return stats().sessions == 0; }));
    }
    const auto done = fence(2);
    ASSERT_THAT(done.result.server_sessions, SizeIs(1));
    ASSERT_THAT(done.result.server_sessions[0].sessions, SizeIs(1));
    EXPECT_EQ(done.result.server_sessions[0].sessions[0].connection_id, 11U);
    EXPECT_THAT(fence(3).result.server_sessions, SizeIs(0));
}

TEST_F(RelayTest, a_server_that_ends_a_session_is_a_hint_but_not_after_the_clients_farewell) {
    const auto address = open();
    relay_.route("c", 1, "a", a_.address);
    {
        auto [client, member] = session(address, a_, 1);
        client.send(std::string("\x01\x00\x00\x00\x01", 5));
        EXPECT_THAT(member.receive(5), SizeIs(5));
        member.close();
        EXPECT_TRUE(client.ended());
    }
    EXPECT_TRUE(eventually([&] { return stats().sessions == 0; }));
    EXPECT_EQ(hint_count(), 0U);
    auto [client, member] = session(address, a_, 2);
    member.close();
    EXPECT_TRUE(client.ended());
    EXPECT_TRUE(hinted());
}

TEST_F(RelayTest, closing_an_endpoint_ends_its_sessions_and_frees_its_address) {
    const auto address = open();
    relay_.route("c", 1, "a", a_.address);
    auto [client, member] = session(address, a_, 1);
    Peer second = Peer::connect_to(address);
    relay_.close("e");
    EXPECT_TRUE(client.ended());
    EXPECT_TRUE(relay_.stats().empty());
    routing::EndpointConfig again{"e", "c", base::parse_host_port(address).value(), {}, 1000};
    EXPECT_TRUE(relay_.open(again));
}

TEST_F(RelayTest, an_address_in_use_is_named_with_the_endpoint) {
    const routing::EndpointConfig config{"e", "c", a_.address, {}, 1000};
    const auto opened = relay_.open(config);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().text(), "endpoint 'e': can't listen on " + a_.address.text() + ": Address already in use");
}

TEST_F(RelayTest, many_held_clients_are_all_released) {
    const auto address = open(30s, 500);
    std::vector<Peer> clients;
    for (int i = 0; i < 300; ++i) clients.push_back(Peer::connect_to(address));
    ASSERT_TRUE(eventually([&] { return stats().held == 300; }));
    relay_.route("c", 1, "a", a_.address);
    std::vector<Peer> members;
    for (int i = 0; i < 300; ++i) {
        members.push_back(a_.accept());
        members.back().send(greeting(1));
    }
    for (const Peer& client : clients) EXPECT_EQ(client.receive(greeting(1).size()), greeting(1));
    EXPECT_EQ(fence(2).result.sessions_closed, 300U);
}

}  // namespace
}  // namespace signalbox::relay
