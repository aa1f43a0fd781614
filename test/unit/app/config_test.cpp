#include "app/config.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <unistd.h>

namespace signalbox::app {
namespace {

class ConfigTest : public testing::Test {
  protected:
    ConfigTest() {
        std::filesystem::create_directories(folder_);
        write("pw", "secret\n");
    }
    ~ConfigTest() override { std::filesystem::remove_all(folder_); }
    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(folder_ + "/" + name) << text;
        return folder_ + "/" + name;
    }
    base::Result<Config> load(const std::string& text) const { return load_config(write("c.yaml", text)); }
    // The lines of the error, without the file's name.
    std::vector<std::string> faults(const std::string& text) const {
        const auto config = load(text);
        if (config) return {"accepted"};
        EXPECT_EQ(config.error().kind, base::ErrorKind::InvalidConfig);
        EXPECT_EQ(base::exit_code(config.error().kind), 2);
        const std::string message = config.error().text();
        std::vector<std::string> lines;
        for (const auto line : base::split(message, '\n')) {
            EXPECT_TRUE(line.starts_with(folder_ + "/c.yaml:")) << line;
            lines.emplace_back(line.substr(std::min(line.size(), folder_.size() + 8)));
        }
        return lines;
    }
    const std::string folder_ = "/tmp/signalbox-config-test-" + std::to_string(::getpid());
};

constexpr const char* whole = R"(store: s.db
api: {listen: "unix:api.sock", token_file: t}
shards: 3
clusters:
  - name: orders
    engine: mariadb
    user: signalbox
    password_file: pw
    probe: {calm: 50ms, fast: 5ms, deadline: 100ms, misses: 2}
    kill_deadline: 1s
    members:
      - {name: a, address: 10.0.0.1:3306}
      - {name: b, address: "[fd00::1]:3307"}
endpoints:
  - name: w
    cluster: orders
    role: writer
    mode: stream
    listen: 127.0.0.1:6446
    sessions_max: 10
    hold: {time: 5s, connections: 7}
)";

TEST_F(ConfigTest, every_key_is_read) {
    const auto config = load(whole);
    ASSERT_TRUE(config) << config.error().text();
    EXPECT_EQ(config->store, folder_ + "/s.db");
    EXPECT_EQ(config->api.listen, "unix:" + folder_ + "/api.sock");
    EXPECT_EQ(config->api.token_file, folder_ + "/t");
    EXPECT_EQ(config->shards, 3U);
    ASSERT_EQ(config->clusters.size(), 1U);
    const auto& cluster = config->clusters[0];
    EXPECT_EQ(cluster.password, "secret");
    EXPECT_EQ(cluster.probe.calm, std::chrono::milliseconds(50));
    EXPECT_EQ(cluster.probe.misses, 2);
    EXPECT_EQ(cluster.kill_deadline, std::chrono::seconds(1));
    ASSERT_EQ(cluster.members.size(), 2U);
    EXPECT_EQ(cluster.members[1].address, (base::HostPort{"fd00::1", 3307}));
    ASSERT_EQ(config->endpoints.size(), 1U);
    EXPECT_EQ(config->endpoints[0].hold, (routing::HoldConfig{std::chrono::seconds(5), 7}));
    EXPECT_EQ(config->endpoints[0].sessions_max, 10U);
}

TEST_F(ConfigTest, what_may_be_left_out_has_defaults) {
    const auto config = load("{}\n");
    ASSERT_TRUE(config) << config.error().text();
    EXPECT_EQ(config->api.listen, "127.0.0.1:7070");
    EXPECT_EQ(config->api.token_file, config->store + ".token");
}

TEST_F(ConfigTest, all_faults_are_told_at_once_each_with_its_line) {
    EXPECT_THAT(faults(R"(stor: s.db
shards: many
clusters:
  - name: orders
    user: signalbox
    password: hunter2
    probe: {calm: 5ms, fast: 30ms}
    members:
      - {name: a, address: 10.0.0.1}
      - {name: a, address: 10.0.0.2:3306}
      - {name: b, address: 10.0.0.2:3306}
  - name: orders
    user: x
    members: []
endpoints:
  - {name: w, cluster: order, listen: 127.0.0.1:1, role: leader}
  - {name: w, cluster: orders, listen: 127.0.0.1:1, hold: {time: 3}}
)"),
                testing::ElementsAre(
                    "1: unknown key 'stor'; did you mean: store",  //
                    "2: shards: expected a whole number from 0 to 256, found 'many'",
                    testing::HasSubstr("6: unknown key 'password' in clusters[0]"),
                    "7: clusters[0].probe.calm: expected a duration from 10ms to 1m, found '5ms'",
                    "7: clusters[0].probe.fast: expected a duration from 1ms to 20ms, found '30ms'",
                    testing::StartsWith("9: clusters[0].members[0].address: "),
                    "10: clusters[0].members[1].name: the member 'a' stands already in line 9; names must differ",
                    "11: clusters[0].members[2].address: 10.0.0.2:3306 is the address of member 'a' of "
                    "cluster 'orders' already",
                    "12: clusters[1].name: the cluster 'orders' stands already in line 4; names must differ",
                    "14: clusters[1].members: expected at least one member with a name and an address",
                    testing::StartsWith("16: endpoints[0].role: "),
                    testing::StartsWith("16: endpoints[0].cluster: there is no cluster 'order'"),
                    testing::StartsWith("17: endpoints[1].hold.time: "),
                    "17: endpoints[1].name: the endpoint 'w' stands already in line 16; names must differ",
                    "17: endpoints[1].listen: 127.0.0.1:1 is the address of endpoint 'w' already"));
}

TEST_F(ConfigTest, what_does_not_go_together_is_told) {
    EXPECT_THAT(
        faults(R"(clusters:
  - name: orders
    engine: mysql
    user: signalbox
    database: x
    tls: verify-full
    topology: {preset: aurora, query: SELECT 1}
    switchover: {drain: 1s}
    members: [{name: a, address: "10.0.0.1:3306"}]
  - name: other
    user: signalbox
    members: [{name: b, address: "10.0.0.1:3306"}]
endpoints:
  - {name: k, cluster: orders, mode: kernel, listen: "127.0.0.1:1", hold: {time: 3s}, readers: {max_lag: 1s}}
  - {name: d, cluster: orders, mode: dns, listen: "127.0.0.1:53"}
  - {name: t, cluster: orders, mode: target-group, listen: "127.0.0.1:2"}
  - {name: u, cluster: orders, mode: target-group, target_group: {haproxy: s.sock, backend: b}}
  - {name: v, cluster: orders, mode: target-group, target_group: {haproxy: s.sock, backend: b}}
  - {name: r, cluster: orders, role: reader, listen: "127.0.0.1:3", readers: {max_lag: 1s, any_lag: true}}
)"),
        testing::ElementsAre(
            "5: clusters[0].database: is for PostgreSQL alone", "6: clusters[0].tls: verify-full needs tls_ca_file",
            testing::HasSubstr("expected `preset: aurora` or a `query`, one of the two"),
            testing::StartsWith("8: clusters[0].switchover.hook: expected the program"),
            "12: clusters[1].members[0].address: 10.0.0.1:3306 is the address of member 'a' of cluster "
            "'orders' already",
            "14: endpoints[0].hold: only `mode: stream` can hold clients",
            "14: endpoints[0].readers: is for `role: reader`",
            testing::HasSubstr("15: endpoints[1].dns: expected `dns: {name:"),
            "16: endpoints[2].listen: a target group listens where its balancer does",
            testing::HasSubstr("16: endpoints[2].target_group: expected"),
            testing::ContainsRegex("18: .*is the place of endpoint 'u' already"),
            "19: endpoints[5].readers.max_lag: give max_lag or any_lag, not both"));
}

TEST_F(ConfigTest, each_mode_and_engine_is_read) {
    const std::string text = R"(clusters:
  - name: pg
    engine: postgresql
    user: signalbox
    discover: true
    topology: {preset: aurora}
    switchover: {hook: [/bin/promote, now], drain: 1s}
    members: [{name: a, address: "10.0.0.1:5432"}]
endpoints:
  - {name: k, cluster: pg, mode: kernel, listen: "127.0.0.1:1", kernel: {on_daemon_loss: static, masquerade: false}}
  - {name: d, cluster: pg, mode: dns, listen: "127.0.0.1:53", dns: {name: w.db.example., ttl: 5s}}
  - {name: e, cluster: pg, mode: dns, role: reader, listen: "127.0.0.1:53", dns: {name: r.db.example}}
  - {name: r, cluster: pg, role: reader, listen: "127.0.0.1:3", readers: {any_lag: true, include_writer: when-alone}}
)";
    const auto config = load(text);
    ASSERT_TRUE(config) << config.error().text();
    const auto& cluster = config->clusters.at(0);
    EXPECT_EQ(cluster.engine, clusters::Engine::PostgreSql);
    EXPECT_TRUE(cluster.discover);
    EXPECT_THAT(cluster.topology.query, testing::HasSubstr("aurora_replica_status()"));
    EXPECT_THAT(cluster.switchover.hook, testing::ElementsAre("/bin/promote", "now"));
    const auto& endpoints = config->endpoints;
    EXPECT_EQ(endpoints.at(0).kernel.on_daemon_loss, routing::OnDaemonLoss::Static);
    EXPECT_FALSE(endpoints.at(0).kernel.masquerade);
    EXPECT_EQ(endpoints.at(0).protocol, routing::Protocol::PostgreSql);
    EXPECT_EQ(endpoints.at(1).dns.name, "w.db.example");
    EXPECT_EQ(endpoints.at(3).role, routing::Role::Reader);
    EXPECT_FALSE(endpoints.at(3).reader.max_lag);
    EXPECT_EQ(endpoints.at(3).reader.include_writer, routing::IncludeWriter::WhenAlone);
}

TEST_F(ConfigTest, the_api_listens_on_this_machine_alone) {
    EXPECT_THAT(faults("api: {listen: \"0.0.0.0:7070\"}\n"),
                testing::ElementsAre("1: api.listen: 0.0.0.0:7070 is not this machine alone: another address needs TLS "
                                     "and tokens with roles, which this version does not have; use 127.0.0.1:PORT or "
                                     "unix:PATH"));
    EXPECT_THAT(faults("api: {listen: nowhere}\n"),
                testing::ElementsAre("1: api.listen: expected ADDRESS:PORT or unix:PATH, found 'nowhere'"));
    // A name that begins like an address of this machine.
    EXPECT_EQ(faults("api: {listen: \"127.example.org:7070\"}\n").size(), 1U);
}

TEST_F(ConfigTest, a_file_that_is_not_there_is_a_configuration_fault) {
    const auto missing = load_config("/nonexistent/signalbox.yaml");
    ASSERT_FALSE(missing);
    EXPECT_EQ(base::exit_code(missing.error().kind), 2);
    EXPECT_THAT(missing.error().text(), testing::HasSubstr("/nonexistent/signalbox.yaml"));
}

TEST_F(ConfigTest, a_members_address_is_no_name) {
    EXPECT_THAT(faults("clusters:\n  - name: o\n    user: u\n    members: [{name: a, address: \"db1.local:3306\"}]\n"),
                testing::ElementsAre(testing::HasSubstr("'db1.local' is a name; expected an IP address")));
}

TEST_F(ConfigTest, a_password_comes_from_one_place_that_exists) {
    const std::string head = "clusters:\n  - {name: o, user: u, members: [{name: a, address: 10.0.0.1:1}], ";
    EXPECT_THAT(faults(head + "password_file: nowhere}\n"),
                testing::ElementsAre(testing::AllOf(testing::StartsWith("2: clusters[0].password_file: "),
                                                    testing::HasSubstr("nowhere"))));
    EXPECT_THAT(faults(head + "password_env: SIGNALBOX_NO_SUCH_VARIABLE}\n"),
                testing::ElementsAre("2: clusters[0].password_env: the environment has no variable "
                                     "SIGNALBOX_NO_SUCH_VARIABLE"));
    EXPECT_THAT(faults(head + "password_file: pw, password_env: HOME}\n"), testing::Not(testing::IsEmpty()));
    // A command that only asks the daemon does without.
    EXPECT_TRUE(load_config(write("c.yaml", head + "password_env: SIGNALBOX_NO_SUCH_VARIABLE}\n"), Secrets::Skip));
}

TEST_F(ConfigTest, what_is_no_yaml_is_one_line) {
    EXPECT_THAT(faults("store: [\n"), testing::ElementsAre(testing::HasSubstr("not YAML")));
    EXPECT_THAT(faults("- a list\n"), testing::ElementsAre(testing::HasSubstr("expected a mapping")));
    const auto missing = load_config(folder_ + "/nowhere.yaml");
    ASSERT_FALSE(missing);
    EXPECT_THAT(missing.error().text(), testing::HasSubstr("nowhere.yaml"));
}

}  // namespace
}  // namespace signalbox::app
