// Reader endpoints: who gets the next client, and what ends when the set or the writer changes.

#include "adapters/relay/readers.hpp"
#include "unit/adapters/relay_fixture.hpp"
#include "wire/mysql/packet.hpp"

namespace signalbox::relay {
namespace {

std::shared_ptr<ReaderPlace> place(const std::string& member, std::uint32_t weight, std::uint64_t sessions) {
    auto made = std::make_shared<ReaderPlace>();
    made->member = std::make_shared<const std::string>(member);
    made->weight = weight;
    made->load = std::make_shared<TargetLoad>();
    made->load->sessions = sessions;
    return made;
}

std::string chosen(const ReaderChoice& choice) {
    const auto found = choose_reader(choice);
    return found ? *found->member : "";
}

const std::chrono::steady_clock::time_point now(100s);

TEST(ChooseReader, the_smallest_load_for_its_weight_wins) {
    const ReaderPlaces places{place("a", 100, 5), place("b", 100, 4), place("c", 10, 0)};
    // (4 + 1) / 100 < (5 + 1) / 100 < (0 + 1) / 10
    EXPECT_EQ(chosen({places, {}, nullptr, 1, now, 0}), "b");
    places[1]->load->sessions = 20;
    EXPECT_EQ(chosen({places, {}, nullptr, 1, now, 0}), "a");
    places[0]->load->sessions = 20;
    EXPECT_EQ(chosen({places, {}, nullptr, 1, now, 0}), "c");
}

TEST(ChooseReader, ties_are_dealt_out_in_turn) {
    const ReaderPlaces places{place("a", 100, 0), place("b", 100, 0), place("c", 100, 0)};
    std::string order;
    for (std::size_t turn = 0; turn < 6; ++turn) order += chosen({places, {}, nullptr, 1, now, turn});
    EXPECT_EQ(order, "abcabc");
}

TEST(ChooseReader, draining_barred_and_busily_connecting_ones_get_nobody) {
    const ReaderPlaces places{place("a", 100, 0), place("b", 100, 0), place("c", 100, 0)};
    places[0]->draining = true;
    places[1]->connecting = 2;
    const std::string barred = "c";
    EXPECT_EQ(chosen({places, {}, &barred, 2, now, 0}), "");
    EXPECT_EQ(chosen({places, {}, nullptr, 2, now, 0}), "c");
    EXPECT_EQ(chosen({places, {}, &barred, 3, now, 0}), "b");
    EXPECT_EQ(chosen({{}, {}, nullptr, 3, now, 0}), "");
}

TEST(ChooseReader, tried_and_lately_failed_ones_come_last_but_come) {
    const ReaderPlaces places{place("a", 100, 0), place("b", 100, 7)};
    places[0]->failed_at = now - 10ms;
    EXPECT_EQ(chosen({places, {}, nullptr, 1, now, 0}), "b");
    EXPECT_EQ(chosen({places, {}, nullptr, 1, now + failure_remembered, 0}), "a");
    EXPECT_EQ(chosen({places, {places[1]}, nullptr, 1, now, 0}), "a");
    EXPECT_FALSE(has_untried_reader({places, places, nullptr, 1, now, 0}));
    EXPECT_TRUE(has_untried_reader({places, {places[0]}, nullptr, 1, now, 0}));
}

TEST(ReplaceReaders, a_member_that_stays_keeps_its_place_and_one_that_moved_does_not) {
    ReaderPlaces places;
    const auto load = std::make_shared<TargetLoad>();
    replace_readers(places, {{{"a", {"10.0.0.1", 1}, 100, false}, load}, {{"b", {"10.0.0.2", 1}, 100, false}, load}});
    const auto before = places;
    replace_readers(places, {{{"a", {"10.0.0.1", 1}, 50, true}, load}, {{"b", {"10.0.0.3", 1}, 100, false}, load}});
    EXPECT_EQ(places[0], before[0]);
    EXPECT_EQ(places[0]->weight, 50U);
    EXPECT_TRUE(places[0]->draining);
    EXPECT_FALSE(places[0]->removed);
    EXPECT_NE(places[1], before[1]);
    EXPECT_TRUE(before[1]->removed);
}

class ReaderEndpoint : public RelayTest {
  protected:
    static routing::EndpointConfig readers() {
        auto config = endpoint("r");
        config.role = routing::Role::Reader;
        return config;
    }
    routing::ReaderTarget a(std::uint32_t weight = 100) { return {"a", a_.address, weight, false}; }
    routing::ReaderTarget b(std::uint32_t weight = 100) { return {"b", b_.address, weight, false}; }
};

TEST_F(ReaderEndpoint, clients_go_to_the_least_loaded_over_all_shards) {
    const auto address = open(readers());
    relay_.set_readers("c", "r", {a(100), b(50)});
    std::vector<std::pair<Peer, Peer>> sessions;
    int to_a = 0;
    for (int i = 0; i < 30; ++i) {
        Peer client = Peer::connect_to(address);
        ASSERT_TRUE(eventually([&] { return !a_.nobody_for(0ms) || !b_.nobody_for(0ms); }));
        const bool is_a = !a_.nobody_for(0ms);
        to_a += is_a ? 1 : 0;
        Peer member = is_a ? a_.accept() : b_.accept();
        member.send(greeting(1));
        ASSERT_EQ(client.receive(greeting(1).size()), greeting(1));
        sessions.emplace_back(std::move(client), std::move(member));
    }
    EXPECT_EQ(to_a, 20);
    EXPECT_EQ(relay_.writer_sessions("c"), 0U);
}

TEST_F(ReaderEndpoint, sessions_on_a_member_that_left_the_set_end_and_others_stay) {
    const auto address = open(readers());
    relay_.set_readers("c", "r", {a()});
    auto [client_a, member_a] = session(address, a_, 1);
    relay_.set_readers("c", "r", {b()});
    EXPECT_TRUE(client_a.ended());
    EXPECT_TRUE(member_a.was_reset());
    auto [client_b, member_b] = session(address, b_, 2);
    relay_.set_readers("c", "r", {a(), b()});
    client_b.send("x");
    EXPECT_EQ(member_b.receive(1), "x");
    EXPECT_EQ(hint_count(), 0U);  // our own doing
}

TEST_F(ReaderEndpoint, a_draining_member_keeps_its_sessions_and_gets_no_new_ones) {
    const auto address = open(readers());
    relay_.set_readers("c", "r", {a()});
    auto [client_a, member_a] = session(address, a_, 1);
    auto draining = a();
    draining.draining = true;
    relay_.set_readers("c", "r", {draining, b(1)});
    auto [client_b, member_b] = session(address, b_, 2);
    EXPECT_TRUE(a_.nobody_for(20ms));
    client_a.send("x");
    EXPECT_EQ(member_a.receive(1), "x");
}

TEST_F(ReaderEndpoint, without_readers_clients_wait_and_are_let_in_at_a_bounded_pace) {
    auto config = readers();
    config.hold.connections_max = 500;
    config.hold.time_max = 30s;
    const auto address = open(config);
    std::vector<Peer> clients;
    for (int i = 0; i < 300; ++i) clients.push_back(Peer::connect_to(address));
    ASSERT_TRUE(eventually([&] { return stats().held == 300; }));
    relay_.set_readers("c", "r", {a()});
    // Nobody greets: no more connects than may be under way, 64 in each of two shards.
    std::this_thread::sleep_for(100ms);
    std::vector<Peer> members;
    while (!a_.nobody_for(20ms)) members.push_back(a_.accept());
    EXPECT_EQ(members.size(), 128U);
    for (const Peer& member : members) member.send(greeting(1));
    while (members.size() < 300) {
        members.push_back(a_.accept());
        members.back().send(greeting(1));
    }
    for (const Peer& client : clients) EXPECT_EQ(client.receive(greeting(1).size()), greeting(1));
    EXPECT_TRUE(eventually([&] { return stats().released == 300; }));
}

TEST_F(ReaderEndpoint, past_the_hold_time_the_error_speaks_of_readers) {
    auto config = readers();
    config.hold.time_max = 50ms;
    const std::string bytes = Peer::connect_to(open(config)).receive(2000);
    const auto error = wire::mysql::parse_error(std::string_view(bytes).substr(4));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, 1053);
    EXPECT_THAT(error->message, HasSubstr("cluster 'c' has no reader"));
}

TEST_F(ReaderEndpoint, a_reader_that_refuses_is_followed_by_the_next_at_once) {
    const auto address = open(readers());
    base::HostPort gone;
    {
        const Server brief;
        gone = brief.address;
    }
    relay_.set_readers("c", "r", {{"gone", gone, 100, false}, b(1)});
    for (std::uint32_t i = 0; i < 4; ++i) auto [client, member] = session(address, b_, i);
    EXPECT_TRUE(hinted());
    EXPECT_EQ(stats().released, 0U);  // nobody had to wait
}

TEST_F(ReaderEndpoint, a_fence_ends_readers_on_the_former_writer_and_nobody_else) {
    const auto writers = open();
    const auto address = open(readers());
    relay_.route("c", 1, "a", a_.address);
    relay_.set_readers("c", "r", {a()});
    auto [client_a, member_a] = session(address, a_, 1);
    relay_.set_readers("c", "r", {a(1), b()});
    auto [client_b, member_b] = session(address, b_, 2);
    const clusters::ServerSession expected{1, member_a.remote_address()};
    const auto done = fence(2);
    EXPECT_EQ(done.result.sessions_closed, 1U);
    ASSERT_THAT(done.result.server_sessions, SizeIs(1));
    EXPECT_THAT(done.result.server_sessions[0].sessions, ElementsAre(expected));
    EXPECT_TRUE(client_a.ended());
    EXPECT_TRUE(member_a.was_reset());
    client_b.send("x");
    EXPECT_EQ(member_b.receive(1), "x");
    // Though the set still names it, the former writer gets nobody until somebody is routed.
    relay_.set_readers("c", "r", {a()});
    Peer waiting = Peer::connect_to(address);
    EXPECT_TRUE(a_.nobody_for(50ms));
    relay_.route("c", 2, "b", b_.address);
    a_.accept().send(greeting(3));
    EXPECT_EQ(waiting.receive(greeting(3).size()), greeting(3));
}

}  // namespace
}  // namespace signalbox::relay
