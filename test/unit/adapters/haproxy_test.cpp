// The router over HAProxy's runtime API, with a real HAProxy, and its decoder.

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "adapters/haproxy/router.hpp"
#include "unit/adapters/haproxy_process.hpp"
#include "unit/adapters/router_suite.hpp"

namespace signalbox::test {
namespace {

using base::ErrorKind;
using haproxy::parse_reply;
using haproxy::parse_servers;
using haproxy::Reply;
using haproxy::Router;
using ports::TargetState;
using testing::HasSubstr;
using namespace std::chrono_literals;

struct HaproxyWorld {
    static constexpr base::Duration settled_within = 5s;
    static constexpr base::Duration deadline = 2s;

    std::unique_ptr<ports::Router> router() { return Router::create({process.socket(), "targets", 500ms}).value(); }
    base::HostPort target(std::size_t number) {
        return {"127.0.0." + std::to_string(number + 1), static_cast<std::uint16_t>(20'000 + number)};
    }
    void register_foreign(const base::HostPort& address) {
        process.command("add server targets/theirs " + address.text());
        process.command("enable server targets/theirs");
    }
    void fail() { process.pause(); }
    void recover() { process.go_on(); }

    HaproxyProcess process;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Haproxy, RouterSuite, HaproxyWorld);

class HaproxyRouter : public testing::Test {
  protected:
    std::unique_ptr<ports::Router> router(const HaproxyProcess& process, const std::string& backend = "targets") {
        return Router::create({process.socket(), backend, 1s}).value();
    }
};

TEST_F(HaproxyRouter, a_connection_goes_to_the_registered_server_and_ends_when_it_is_deregistered) {
    HaproxyProcess process;
    const auto group = router(process);
    const Listener server;
    ASSERT_TRUE(group->register_target({"127.0.0.1", server.port()}, 100));
    const int client = connect_to(process.port());
    const int accepted = server.accept(5000);
    ASSERT_GE(accepted, 0);
    EXPECT_EQ(group->targets().value().at(0).sessions, 1U);
    ASSERT_TRUE(group->drain_target({"127.0.0.1", server.port()}));
    EXPECT_FALSE(ends(client, 50)) << "what runs goes on while the target drains";
    const int refused = connect_to(process.port());
    EXPECT_TRUE(ends(refused, 5000));
    const auto removed = group->deregister_target({"127.0.0.1", server.port()});
    ASSERT_TRUE(removed) << removed.error().text();
    EXPECT_TRUE(ends(client, 0)) << "a removed target has no sessions left";
    EXPECT_TRUE(ends(accepted, 5000));
    EXPECT_TRUE(group->targets().value().empty());
    for (const int fd : {client, accepted, refused}) ::close(fd);
}

TEST_F(HaproxyRouter, two_servers_of_one_address_go_together) {
    HaproxyProcess process;
    const auto group = router(process);
    for (const char* name : {"one", "two"}) {
        process.command(fmt::format("add server targets/{} 127.0.0.1:9", name));
        process.command(fmt::format("enable server targets/{}", name));
    }
    EXPECT_EQ(group->targets().value().size(), 2U);
    ASSERT_TRUE(group->deregister_target({"127.0.0.1", 9}));
    EXPECT_TRUE(group->targets().value().empty());
}

TEST_F(HaproxyRouter, a_taken_name_and_an_ipv6_address_are_no_obstacle) {
    HaproxyProcess process;
    const auto group = router(process);
    process.command("add server targets/127.0.0.1:9 127.0.0.1:10");
    ASSERT_TRUE(group->register_target({"127.0.0.1", 9}, 1));
    const auto v6 = group->register_target({"::1", 9}, 2);
    ASSERT_TRUE(v6) << v6.error().text();
    const auto found = group->targets().value();
    ASSERT_EQ(found.size(), 3U);
    EXPECT_EQ(found[0].address.text(), "127.0.0.1:10");
    EXPECT_EQ(found[0].state, TargetState::Unused);
    EXPECT_EQ(found[1].address.text(), "127.0.0.1:9");
    EXPECT_EQ(found[2].address.text(), "[::1]:9");
    EXPECT_EQ(found[2].weight, 2U);
    ASSERT_TRUE(group->deregister_target({"::1", 9}));
    EXPECT_EQ(group->targets().value().size(), 2U);
}

TEST_F(HaproxyRouter, a_server_that_can_not_be_removed_is_put_out_of_use_with_its_sessions_ended) {
    const Listener server;
    HaproxyProcess process("use-server pinned if { src 127.0.0.1 }\n    server pinned 127.0.0.1:" +
                           std::to_string(server.port()));
    const auto group = router(process);
    const int client = connect_to(process.port());
    const int accepted = server.accept(5000);
    ASSERT_GE(accepted, 0);
    const auto removed = group->deregister_target({"127.0.0.1", server.port()});
    ASSERT_TRUE(removed) << removed.error().text();
    EXPECT_TRUE(ends(client, 0));
    const auto found = group->targets().value();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].state, TargetState::Unused);
    EXPECT_EQ(found[0].sessions, 0U);
    ASSERT_TRUE(group->register_target({"127.0.0.1", server.port()}, 50));
    EXPECT_EQ(group->targets().value().at(0).state, TargetState::Healthy);
    for (const int fd : {client, accepted}) ::close(fd);
}

TEST_F(HaproxyRouter, a_backend_without_weights_has_none) {
    HaproxyProcess process("balance source\n    server fixed 127.0.0.1:9");
    const auto group = router(process);
    ASSERT_TRUE(group->register_target({"127.0.0.1", 9}, 50));
    EXPECT_EQ(group->targets().value().at(0).weight, std::nullopt);
    const auto added = group->register_target({"127.0.0.1", 10}, 50);
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().kind, ErrorKind::NotSupported);
    EXPECT_THAT(added.error().text(), HasSubstr("'balance roundrobin'"));
}

TEST_F(HaproxyRouter, errors_name_the_backend_the_socket_and_the_remedy) {
    HaproxyProcess process;
    const auto wrong = router(process, "nobody");
    EXPECT_EQ(wrong->targets().error().kind, ErrorKind::NotFound);
    EXPECT_THAT(wrong->targets().error().text(), HasSubstr("backend 'nobody'"));
    EXPECT_EQ(wrong->register_target({"127.0.0.1", 9}, 1).error().kind, ErrorKind::NotFound);

    const auto reader = Router::create({process.reader(), "targets", 1s}).value();
    EXPECT_TRUE(reader->targets());
    const auto denied = reader->register_target({"127.0.0.1", 9}, 1);
    ASSERT_FALSE(denied);
    EXPECT_EQ(denied.error().kind, ErrorKind::PermissionDenied);
    EXPECT_THAT(denied.error().text(), HasSubstr("level admin"));

    const auto missing = Router::create({"/nowhere/haproxy.sock", "targets", 1s}).value()->targets();
    EXPECT_EQ(missing.error().kind, ErrorKind::Unavailable);
    EXPECT_THAT(missing.error().text(), HasSubstr("/nowhere/haproxy.sock: can't connect: is HAProxy running"));
    process.stop();
    EXPECT_EQ(router(process)->targets().error().kind, ErrorKind::Unavailable);
}

TEST_F(HaproxyRouter, names_that_would_be_more_than_one_word_are_refused) {
    for (const char* backend : {"", "a b", "a;show info", "a\nshow info", "a/b"})
        EXPECT_EQ(Router::create({"/run/x.sock", backend}).error().kind, ErrorKind::InvalidArgument) << backend;
    EXPECT_FALSE(Router::create({"", "targets"}));
    EXPECT_FALSE(Router::create({std::string(108, 'x'), "targets"}));
    HaproxyProcess process;
    EXPECT_EQ(router(process)->register_target({"127.0.0.1;shutdown sessions", 1}, 1).error().kind,
              ErrorKind::InvalidArgument);
}

constexpr const char* header =
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
    "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr "
    "srv_agent_addr srv_agent_port\n";
constexpr const char* conns = "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max\n";

TEST(HaproxyText, states_are_read_as_haproxy_means_them) {
    const auto line = [](const char* name, const char* address, int operation, int admin, int weight) {
        return fmt::format("3 targets 1 {} {} {} {} {} 1 0 0 0 0 0 0 0 0 - 7 - 0 0 - - 0\n", name, address, operation,
                           admin, weight);
    };
    const auto found = parse_servers(header + line("up", "10.0.0.1", 2, 0, 1) + line("slow", "10.0.0.2", 1, 0, 1) +
                                         line("down", "10.0.0.3", 0, 0, 1) + line("drain", "10.0.0.4", 2, 8, 1) +
                                         line("maint", "10.0.0.5", 0, 1, 1) + line("light", "10.0.0.6", 2, 0, 0) +
                                         line("soft", "::1", 3, 0, 1) + line("file", "-", 2, 0, 1) + "\n" + conns +
                                         "targets/up 3/1 10.0.0.1 7 - 0 4 9 0\n\n",
                                     "targets");
    ASSERT_TRUE(found) << found.error().text();
    ASSERT_EQ(found->size(), 8U);
    const TargetState expected[] = {TargetState::Healthy,   TargetState::Healthy, TargetState::Unhealthy,
                                    TargetState::Draining,  TargetState::Unused,  TargetState::Draining,
                                    TargetState::Unhealthy, TargetState::Healthy};
    for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ((*found)[i].state, expected[i]) << (*found)[i].name;
    EXPECT_EQ((*found)[0].sessions, 4U);
    EXPECT_EQ((*found)[6].address.text(), "[::1]:7");
    EXPECT_EQ((*found)[7].address.text(), "file:7");
}

TEST(HaproxyText, a_list_that_is_cut_off_anywhere_is_an_error_never_a_shorter_list) {
    const std::string whole = std::string(header) +
                              "3 targets 1 a 10.0.0.1 2 0 1 1 0 1 0 0 0 0 0 0 - 7 - 0 0 - - 0\n"
                              "3 targets 2 b 10.0.0.2 2 0 1 1 0 1 0 0 0 0 0 0 - 7 - 0 0 - - 0\n\n" +
                              conns + "targets/a 3/1 10.0.0.1 7 - 0 4 9 0\ntargets/b 3/2 10.0.0.2 7 - 0 0 9 0\n\n";
    ASSERT_EQ(parse_servers(whole, "targets").value().size(), 2U);
    for (std::size_t size = 0; size < whole.size(); ++size)
        EXPECT_EQ(parse_servers(whole.substr(0, size), "targets").error().kind, ErrorKind::CorruptData) << size;
    EXPECT_FALSE(parse_servers(whole, "other"));
    EXPECT_FALSE(parse_servers(whole + "x", "targets"));
    EXPECT_FALSE(parse_servers("2" + whole.substr(1), "targets"));
}

TEST(HaproxyText, replies_are_told_apart) {
    EXPECT_EQ(parse_reply("\n").value(), Reply::Done);
    EXPECT_EQ(parse_reply("New server registered.\n\n").value(), Reply::Done);
    EXPECT_EQ(parse_reply("Server still has connections attached to it, cannot remove it.\n").value(),
              Reply::StillBusy);
    EXPECT_EQ(parse_reply("Permission denied\n\n").error().kind, ErrorKind::PermissionDenied);
    EXPECT_EQ(parse_reply("No such backend.\n\n").error().kind, ErrorKind::NotFound);
    EXPECT_EQ(parse_reply("something \x1b[31mnew\n").error().kind, ErrorKind::InvalidArgument);
    EXPECT_EQ(parse_reply("something \x1b[31mnew\n").error().text().find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace signalbox::test
