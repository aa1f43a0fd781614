#include "app/config_channels.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct Read {
    std::vector<channels::ChannelConfig> channels;
    std::string faults;
};

Read read(const std::string& text) {
    clusters::ClusterConfig orders;
    orders.name = "orders";
    clusters::ClusterConfig ledger;
    ledger.name = "ledger";
    ledger.engine = clusters::Engine::PostgreSql;
    ledger.user = "probe";
    ledger.password = "secret";
    routing::EndpointConfig writer;
    writer.name = "w";
    writer.cluster = "orders";
    writer.listen = {"10.0.1.10", 3306};
    routing::EndpointConfig readers = writer;
    readers.name = "r";
    readers.role = routing::Role::Reader;
    auto document = *yaml::Document::parse(text, "test.yaml");
    auto root = document.root();
    Read result;
    result.channels = read_channels(root, "test.yaml", {orders, ledger}, {writer, readers}, Secrets::Read);
    root.finish();
    if (const auto status = document.status(); !status) result.faults = status.error().message;
    return result;
}

TEST(ChannelsConfig, is_read_with_what_it_takes_from_cluster_and_endpoint) {
    const auto good = read(
        "channels:\n"
        "  - {name: a, cluster: orders, kind: replica, address: '10.0.2.20:3306', endpoint: w, user: u, heartbeat: 5s,"
        " connection: c, probe: {calm: 500ms, fast: 20ms, deadline: 2s, restart: 3s}}\n"
        "  - {name: b, cluster: ledger, kind: slot, slot: debezium}\n");
    EXPECT_EQ(good.faults, "");
    ASSERT_EQ(good.channels.size(), 2);
    EXPECT_EQ(good.channels[0].source.text(), "10.0.1.10:3306");
    EXPECT_EQ(good.channels[0].heartbeat, 5s);
    EXPECT_EQ(good.channels[0].probe.restart, 3s);
    EXPECT_EQ(good.channels[1].kind, channels::Kind::Slot);
    EXPECT_EQ(good.channels[1].user, "probe");
    EXPECT_EQ(good.channels[1].password, "secret");
}

TEST(ChannelsConfig, tells_every_fault_with_its_line) {
    const struct {
        std::string item;
        std::string fault;
    } cases[] = {
        {"{name: a, cluster: ordres, kind: replica, address: 'x:1', user: u}", "did you mean orders?"},
        {"{name: a, cluster: orders, kind: slot, slot: s}", "cluster 'orders' is not PostgreSQL: expected a replica"},
        {"{name: a, cluster: ledger, kind: replica, address: 'x:1', user: u}", "is PostgreSQL: expected a slot"},
        {"{name: a, cluster: orders, kind: replica, address: 'x:1', user: u, endpoint: r}", "leads to readers"},
        {"{name: a, cluster: orders, kind: replica, address: 'x:1', user: u, endpoint: z}", "there is no endpoint 'z'"},
        {"{name: a, cluster: orders, kind: replica, address: 'x:1'}", "expected a user"},
        {"{name: a, cluster: orders, address: 'x:1', user: u}", "expected replica or slot"},
        {"{name: a, cluster: ledger, kind: slot, slot: Debezium}", "is no name of a slot"},
        {"{name: a, cluster: ledger, kind: slot, slot: s, heartbeat: 1s}", "is less than two looks"},
        {"{name: a, cluster: ledger, kind: slot, slot: s, tls: verify-full}", "needs tls_ca_file"},
        {"{name: a, cluster: ledger, kind: slot, slot: s, address: 'x:1'}", "address"},
    };
    for (const auto& one : cases) {
        const auto bad = read("channels:\n  - " + one.item + "\n");
        EXPECT_THAT(bad.faults, HasSubstr(one.fault)) << one.item;
        EXPECT_THAT(bad.faults, HasSubstr("test.yaml:2")) << one.item;
    }
}

TEST(ChannelsConfig, refuses_two_channels_for_one_stream) {
    const auto bad = read(
        "channels:\n"
        "  - {name: a, cluster: ledger, kind: slot, slot: s}\n"
        "  - {name: b, cluster: ledger, kind: slot, slot: s}\n");
    EXPECT_THAT(bad.faults, HasSubstr("channel 'a' is the same stream already"));
}

}  // namespace
}  // namespace signalbox::app
