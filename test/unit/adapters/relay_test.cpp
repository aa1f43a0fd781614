// The relay against sockets of our own that play server and client: bytes, holding, the fence.

#include "unit/adapters/relay_fixture.hpp"
#include "wire/mysql/packet.hpp"

namespace signalbox::relay {
namespace {

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

TEST_F(RelayTest, a_fence_names_each_session_by_the_address_that_its_server_sees_too) {
    const auto address = open();
    relay_.route("c", 1, "a", a_.address);
    auto [client, member] = session(address, a_, 11);
    const clusters::ServerSession expected{11, member.remote_address()};
    const auto done = fence(2);
    ASSERT_THAT(done.result.server_sessions, SizeIs(1));
    EXPECT_THAT(done.result.server_sessions[0].sessions, ElementsAre(expected));
}

TEST_F(RelayTest, a_fence_ends_sessions_at_once_whose_buffers_are_full_both_ways) {
    const auto address = open();
    relay_.route("c", 1, "a", a_.address);
    auto [client, member] = session(address, a_, 11);
    // Neither side reads any more: all that the kernels and we take is taken.
    std::size_t sent_to_client = 0;
    std::thread server([&member = member, &sent_to_client] { sent_to_client = member.send_until_full(); });
    EXPECT_GT(client.send_until_full(), 100'000U);
    server.join();
    EXPECT_GT(sent_to_client, 100'000U);
    relay_.hold("c", 1);
    EXPECT_EQ(stats().sessions, 1U);  // a silent writer may come back
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(fence(2).result.sessions_closed, 1U);
    EXPECT_LT(std::chrono::steady_clock::now() - start, 500ms);
    // Both can't write any more, and find the end behind what they had not read.
    EXPECT_TRUE(member.refuses_bytes_within(500ms));
    EXPECT_TRUE(client.refuses_bytes_within(500ms));
    EXPECT_TRUE(eventually([&] { return stats().sessions == 0; }));
}

TEST_F(RelayTest, writer_sessions_are_those_that_reached_the_writer) {
    const auto address = open();
    EXPECT_EQ(relay_.writer_sessions("c"), 0U);
    Peer held = Peer::connect_to(address);
    ASSERT_TRUE(eventually([&] { return stats().held == 1; }));
    EXPECT_EQ(relay_.writer_sessions("c"), 0U);
    relay_.route("c", 1, "a", a_.address);
    Peer member = a_.accept();
    member.send(greeting(1));
    EXPECT_TRUE(eventually([&] { return relay_.writer_sessions("c") == 1; }));
    EXPECT_EQ(relay_.writer_sessions("other"), 0U);
    held.close();
    member.close();
    EXPECT_TRUE(eventually([&] { return relay_.writer_sessions("c") == 0; }));
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
    auto again = endpoint();
    again.listen = base::parse_host_port(address).value();
    EXPECT_TRUE(relay_.open(again));
}

TEST_F(RelayTest, an_address_in_use_is_named_with_the_endpoint) {
    auto config = endpoint();
    config.listen = a_.address;
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

TEST_F(RelayTest, a_thousand_held_clients_get_their_writer_within_seconds_of_its_coming) {
    const auto address = open(60s, 1000);
    std::vector<Peer> clients;
    for (int i = 0; i < 1000; ++i) clients.push_back(Peer::connect_to(address));
    ASSERT_TRUE(eventually([&] { return stats().held == 1000; }));
    std::vector<Peer> members;
    std::thread server([&] {
        for (int i = 0; i < 1000; ++i) {
            members.push_back(a_.accept());
            members.back().send(greeting(1));
        }
    });
    const auto start = std::chrono::steady_clock::now();
    relay_.route("c", 1, "a", a_.address);
    for (const Peer& client : clients) EXPECT_EQ(client.receive(greeting(1).size()), greeting(1));
    const auto took = std::chrono::steady_clock::now() - start;
    server.join();
    EXPECT_LT(took, 5s);
    RecordProperty("released_ms", static_cast<int>(took / 1ms));
    EXPECT_TRUE(eventually([&] { return stats().released == 1000; }));
}

}  // namespace
}  // namespace signalbox::relay
