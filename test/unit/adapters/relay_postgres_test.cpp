// Endpoints whose clients speak first.

#include "unit/adapters/relay_fixture.hpp"
#include "wire/postgres/startup.hpp"

namespace signalbox::relay {
namespace {

const std::string startup("\0\0\0\x13\0\x03\0\0user\0root\0\0", 19);
const std::string ssl_request("\0\0\0\x08\x04\xd2\x16\x2f", 8);
const std::string gss_request("\0\0\0\x08\x04\xd2\x16\x30", 8);
const std::string terminate("X\0\0\0\x04", 5);

std::string welcome(std::uint32_t process_id) {
    std::string bytes("R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0", 17);
    bytes.push_back(static_cast<char>(process_id));
    return bytes + "keys" + std::string("Z\0\0\0\x05I", 6);
}

std::string cancel(std::uint32_t process_id) { return wire::postgres::build_cancel({process_id, "keys"}); }

// The SQLSTATE in an ErrorResponse.
std::string state_of(const std::string& bytes) {
    wire::postgres::StartupScan scan;
    scan.from_client(startup);
    scan.from_server(bytes);
    return scan.sql_state();
}

class PostgresEndpoint : public RelayTest {
  protected:
    static routing::EndpointConfig postgres(const std::string& name = "e") {
        auto config = endpoint(name);
        config.protocol = routing::Protocol::PostgreSql;
        return config;
    }
    static routing::EndpointConfig readers() {
        auto config = postgres("r");
        config.role = routing::Role::Reader;
        return config;
    }
    std::pair<Peer, Peer> pg_session(const std::string& address, const Server& server, std::uint32_t process_id) {
        Peer client = Peer::connect_to(address);
        client.send(startup);
        Peer member = server.accept();
        EXPECT_EQ(member.receive(startup.size()), startup);
        member.send(welcome(process_id));
        EXPECT_EQ(client.receive(welcome(process_id).size()), welcome(process_id));
        return {std::move(client), std::move(member)};
    }
};

TEST_F(PostgresEndpoint, what_a_held_client_said_is_the_first_that_its_writer_hears) {
    const auto address = open(postgres());
    Peer client = Peer::connect_to(address);
    client.send(startup.substr(0, 5));
    std::this_thread::sleep_for(20ms);
    EXPECT_EQ(stats().held, 0U);  // what it wants is not known yet
    client.send(startup.substr(5));
    ASSERT_TRUE(eventually([&] { return stats().held == 1; }));
    relay_.route("c", 1, "a", a_.address);
    Peer member = a_.accept();
    EXPECT_EQ(member.receive(startup.size()), startup);
    member.send(welcome(1));
    EXPECT_EQ(client.receive(welcome(1).size()), welcome(1));
    client.send("question");
    EXPECT_EQ(member.receive(8), "question");
    EXPECT_EQ(stats().released, 1U);
}

TEST_F(PostgresEndpoint, encryption_is_between_client_and_server) {
    const auto address = open(postgres());
    relay_.route("c", 1, "a", a_.address);
    Peer client = Peer::connect_to(address);
    client.send(ssl_request);
    Peer member = a_.accept();
    EXPECT_EQ(member.receive(8), ssl_request);
    member.send("S");
    EXPECT_EQ(client.receive(1), "S");
    client.send("\x16hello");
    EXPECT_EQ(member.receive(6), "\x16hello");
    Peer direct = Peer::connect_to(address);
    direct.send("\x16hello");
    EXPECT_EQ(a_.accept().receive(6), "\x16hello");
}

TEST_F(PostgresEndpoint, past_the_hold_time_encryption_is_refused_and_then_the_session_with_the_reason) {
    auto config = postgres();
    config.hold.time_max = 50ms;
    const auto address = open(config);
    Peer client = Peer::connect_to(address);
    client.send(gss_request);
    EXPECT_EQ(client.receive(1), "N");
    client.send(ssl_request);
    EXPECT_EQ(client.receive(1), "N");
    client.send(startup);
    const std::string error = client.receive(2000);
    EXPECT_EQ(state_of(error), "57P03");
    EXPECT_THAT(error,
                HasSubstr("cluster 'c' has no writer that can be reached, and endpoint 'e' holds clients for 50ms"));
    EXPECT_THAT(error, HasSubstr("connect again"));
    EXPECT_FALSE(client.was_reset());
    EXPECT_EQ(stats().refused, 1U);
}

TEST_F(PostgresEndpoint, what_held_clients_send_is_bounded_over_all_of_them) {
    auto config = postgres();
    config.hold.bytes_max = 2 * startup.size();
    const auto address = open(config);
    std::vector<Peer> clients;
    for (int i = 0; i < 2; ++i) {
        clients.push_back(Peer::connect_to(address));
        clients.back().send(startup);
    }
    ASSERT_TRUE(eventually([&] { return stats().held == 2; }));
    Peer third = Peer::connect_to(address);
    third.send(startup);
    const std::string error = third.receive(2000);
    EXPECT_EQ(state_of(error), "57P03");
    EXPECT_THAT(error, HasSubstr("hold.bytes"));
    // What left makes room.
    clients.pop_back();
    ASSERT_TRUE(eventually([&] { return stats().held == 1; }));
    Peer fourth = Peer::connect_to(address);
    fourth.send(startup);
    EXPECT_TRUE(eventually([&] { return stats().held == 2; }));
}

TEST_F(PostgresEndpoint, more_clients_than_may_be_held_and_more_than_sessions_max_are_told_apart) {
    auto config = postgres();
    config.hold.connections_max = 1;
    config.sessions_max = 2;
    const auto address = open(config);
    Peer first = Peer::connect_to(address);
    first.send(startup);
    ASSERT_TRUE(eventually([&] { return stats().held == 1; }));
    Peer second = Peer::connect_to(address);
    second.send(startup);
    EXPECT_EQ(state_of(second.receive(2000)), "57P03");
    ASSERT_TRUE(eventually([&] { return stats().sessions == 1; }));
    Peer mute = Peer::connect_to(address);
    ASSERT_TRUE(eventually([&] { return stats().sessions == 2; }));
    Peer third = Peer::connect_to(address);
    third.send(startup);
    EXPECT_EQ(state_of(third.receive(2000)), "53300");
}

TEST_F(PostgresEndpoint, a_held_client_that_leaves_after_speaking_is_noticed) {
    const auto address = open(postgres());
    Peer client = Peer::connect_to(address);
    client.send(startup);
    ASSERT_TRUE(eventually([&] { return stats().held == 1; }));
    client.close();
    EXPECT_TRUE(eventually([&] { return stats().sessions == 0 && stats().left_while_held == 1; }));
}

TEST_F(PostgresEndpoint, a_fence_ends_sessions_and_names_them_by_address) {
    const auto address = open(postgres());
    relay_.route("c", 1, "a", a_.address);
    auto [client, member] = pg_session(address, a_, 1);
    {
        // After a farewell nothing runs any more.
        auto [polite, its_member] = pg_session(address, a_, 2);
        polite.send(terminate);
        EXPECT_EQ(its_member.receive(5), terminate);
        polite.close();
        its_member.close();
        ASSERT_TRUE(eventually([&] { return stats().sessions == 1; }));
    }
    const clusters::ServerSession expected{0, member.remote_address()};
    const auto done = fence(2);
    EXPECT_TRUE(client.ended());
    ASSERT_THAT(done.result.server_sessions, SizeIs(1));
    EXPECT_THAT(done.result.server_sessions[0].sessions, ElementsAre(expected));
    EXPECT_EQ(hint_count(), 0U);
}

TEST_F(PostgresEndpoint, a_cancel_request_goes_to_the_member_that_has_the_session) {
    const auto address = open(readers());
    relay_.set_readers("c", "r", {{"a", a_.address, 100, false}});
    auto [client_a, member_a] = pg_session(address, a_, 1);
    relay_.set_readers("c", "r", {{"a", a_.address, 1, false}, {"b", b_.address, 100, false}});
    auto [client_b, member_b] = pg_session(address, b_, 2);
    Peer request = Peer::connect_to(address);
    request.send(cancel(1));
    Peer at_a = a_.accept();
    EXPECT_EQ(at_a.receive(16), cancel(1));
    EXPECT_TRUE(request.silent_for(20ms));  // until the server has dealt with it
    at_a.close();
    EXPECT_TRUE(request.ended());
    EXPECT_TRUE(b_.nobody_for(20ms));
    // Of a session that is over, nobody knows: all are asked.
    client_a.close();
    member_a.close();
    ASSERT_TRUE(eventually([&] { return stats().sessions == 1; }));
    Peer late = Peer::connect_to(address);
    late.send(cancel(1));
    EXPECT_EQ(a_.accept().receive(16), cancel(1));
    EXPECT_EQ(b_.accept().receive(16), cancel(1));
}

TEST_F(PostgresEndpoint, a_cancel_request_after_refused_encryption_finds_its_member_too) {
    const auto address = open(readers());
    relay_.set_readers("c", "r", {{"a", a_.address, 100, false}});
    auto [client_a, member_a] = pg_session(address, a_, 1);
    relay_.set_readers("c", "r", {{"a", a_.address, 1, false}, {"b", b_.address, 100, false}});
    Peer request = Peer::connect_to(address);
    request.send(ssl_request);
    Peer at_b = b_.accept();
    EXPECT_EQ(at_b.receive(8), ssl_request);
    at_b.send("N");
    EXPECT_EQ(request.receive(1), "N");
    request.send(cancel(1));
    EXPECT_EQ(a_.accept().receive(16), cancel(1));
    EXPECT_TRUE(request.ended());
    EXPECT_EQ(at_b.receive(1), "");
}

TEST_F(PostgresEndpoint, a_cancel_request_of_an_unknown_session_goes_to_the_writer_or_nowhere) {
    const auto address = open(postgres());
    Peer request = Peer::connect_to(address);
    request.send(cancel(9));
    EXPECT_TRUE(request.ended());
    EXPECT_EQ(stats().held, 0U);
    relay_.route("c", 1, "a", a_.address);
    Peer again = Peer::connect_to(address);
    again.send(cancel(9));
    EXPECT_EQ(a_.accept().receive(16), cancel(9));
    EXPECT_TRUE(again.ended());
}

TEST_F(PostgresEndpoint, a_server_that_is_starting_is_a_hint) {
    const auto address = open(postgres());
    relay_.route("c", 1, "a", a_.address);
    Peer client = Peer::connect_to(address);
    client.send(startup);
    Peer member = a_.accept();
    member.send(wire::postgres::build_fatal("57P03", "the database system is starting up", ""));
    member.close();
    EXPECT_TRUE(hinted());
    EXPECT_EQ(state_of(client.receive(2000)), "57P03");
}

}  // namespace
}  // namespace signalbox::relay
