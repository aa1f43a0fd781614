// The keys `actions` and `sinks` of the configuration.

#include "app/config_actions.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <unistd.h>

#include "app/config_sinks.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using alarms::ActionTrigger;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

JobsConfig some_jobs() {
    JobsConfig config;
    config.jobs.emplace_back().name = "compact";
    return config;
}

struct Read {
    std::vector<alarms::ActionConfig> actions;
    SinksConfig sinks;
    std::string faults;
};

Read read(const std::string& text, Secrets secrets = Secrets::Read) {
    auto document = yaml::Document::parse(text, "/tmp/s.yaml");
    EXPECT_TRUE(document);
    yaml::Reader root = document->root();
    Read result{read_actions(root, "/tmp/s.yaml", some_jobs(), secrets), read_sinks(root, "/tmp/s.yaml", secrets), {}};
    root.finish();
    if (const auto status = document->status(); !status) result.faults = status.error().message;
    return result;
}

class SecretFile {
  public:
    explicit SecretFile(const std::string& text) : path_("/tmp/signalbox-secret-" + std::to_string(::getpid())) {
        std::ofstream(path_) << text;
    }
    ~SecretFile() { std::filesystem::remove(path_); }
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

TEST(ConfigActions, all_four_kinds_are_read_with_their_defaults) {
    const SecretFile secret("whsec\n");
    const auto config = read(R"(
actions:
  - name: ops
    webhook: {url: "https://hooks.example/x", secret_file: )" +
                             secret.path() + R"(, deadline: 3s}
    rate_limit: 10/h
    retry: {tries: 5, backoff: 1s}
  - name: script
    command: {command: [/usr/bin/logger, hello]}
    on: [INSUFFICIENT_DATA]
    dry_run: true
  - name: compaction
    job: {job: compact, arguments: {table: "{table}"}}
    rate_limit: 1/30m
  - name: hold
    pause: {job: compact, resume_on_ok: true}
)");
    EXPECT_EQ(config.faults, "");
    ASSERT_EQ(config.actions.size(), 4u);
    const auto& webhook = std::get<alarms::WebhookAction>(config.actions[0].what);
    EXPECT_EQ(webhook.secret, "whsec");
    EXPECT_EQ(webhook.deadline, 3s);
    EXPECT_EQ(config.actions[0].rate_limit, (alarms::RateLimit{10, 1h}));
    EXPECT_EQ(config.actions[0].retry.tries_max, 5);
    EXPECT_THAT(config.actions[0].on, ElementsAre(ActionTrigger::Alarm, ActionTrigger::Ok));
    EXPECT_EQ(std::get<alarms::CommandAction>(config.actions[1].what).directory, "/tmp/.");
    EXPECT_THAT(config.actions[1].on, ElementsAre(ActionTrigger::InsufficientData));
    EXPECT_TRUE(config.actions[1].dry_run);
    EXPECT_THAT(config.actions[2].on, ElementsAre(ActionTrigger::Alarm)) << "a job is not started by an OK";
    EXPECT_EQ(config.actions[2].rate_limit, (alarms::RateLimit{1, 30min}));
    EXPECT_THAT(config.actions[3].on, ElementsAre(ActionTrigger::Alarm, ActionTrigger::Ok));
    EXPECT_EQ(alarms::kind_of(config.actions[3]), "pause");
}

TEST(ConfigActions, every_fault_is_named_with_its_line) {
    const auto config = read(R"(
actions:
  - name: a
    webhook: {url: "https://u:SECRET@h/"}
  - name: a
    job: {job: compat}
    rate_limit: often
  - name: c
    on: [ALARM, FIRE]
  - name: d
    command: {command: []}
    pause: {job: compact}
    retry: {backoff: 1h, backoff_max: 1s}
  - name: e
    pause: {job: compact, resume_on_ok: true}
    on: [ALARM]
  - name: f
    webhook: {url: "http://h/", url_env: X}
  - name: g
    webhook: {url: "http://h/", secret_file: /nonexistent/secret, colour: red}
)");
    for (const char* part :
         {"s.yaml:4: actions[0].webhook.url: expected a URL without a user", "the action 'a' stands already",
          "there is no job 'compat'; did you mean compact?", "expected a count and an interval",
          "actions[2]: expected one of webhook, command, job and pause", "found 'FIRE'", "an action does one thing",
          "expected the program and its arguments", "expected at least the backoff", "resume_on_ok needs OK",
          "expected one of url, url_file and url_env", "/nonexistent/secret", "unknown key 'colour'"})
        EXPECT_THAT(config.faults, HasSubstr(part));
    EXPECT_THAT(config.faults, Not(HasSubstr("SECRET")));
}

TEST(ConfigActions, a_url_can_be_a_secret_and_is_not_needed_where_secrets_are_skipped) {
    ::setenv("SIGNALBOX_TEST_URL", "https://hooks.example/T0/KEY", 1);
    const std::string text = "actions: [{name: a, webhook: {url_env: SIGNALBOX_TEST_URL}}]";
    const auto config = read(text);
    EXPECT_EQ(config.faults, "");
    EXPECT_EQ(std::get<alarms::WebhookAction>(config.actions.at(0).what).url, "https://hooks.example/T0/KEY");
    ::unsetenv("SIGNALBOX_TEST_URL");
    EXPECT_EQ(read(text, Secrets::Skip).faults, "");
    EXPECT_THAT(read(text).faults, HasSubstr("the environment has no variable SIGNALBOX_TEST_URL"));
}

TEST(ConfigActions, rates_are_counts_and_intervals) {
    EXPECT_EQ(parse_rate_limit("3/d").value(), (alarms::RateLimit{3, 24h}));
    EXPECT_EQ(parse_rate_limit("1/90s").value(), (alarms::RateLimit{1, 90s}));
    for (const char* wrong : {"", "3", "/h", "0/h", "-1/h", "3/0s", "3/8d", "3/fortnight", "99999/h"})
        EXPECT_FALSE(parse_rate_limit(wrong)) << wrong;
}

TEST(ConfigSinks, are_read_and_what_is_not_there_yet_is_said) {
    const SecretFile headers("# of the collector\nApi-Key: k:1\n\nX-Tenant:  ops \n");
    const auto config = read(
        "sinks:\n  json_lines: {path: metrics.jsonl}\n  prometheus: {partitions: 5}\n  otlp: "
        "{url: 'http://127.0.0.1:4318/v1/metrics', headers_file: " +
        headers.path() + ", queue: 500, resource: {service.name: sb, site: a}}\n");
    EXPECT_EQ(config.faults, "");
    EXPECT_EQ(config.sinks.json_lines->path, "/tmp/metrics.jsonl");
    EXPECT_EQ(config.sinks.prometheus_partitions_max, 5u);
    ASSERT_TRUE(config.sinks.otlp);
    using Pair = std::pair<std::string, std::string>;
    EXPECT_THAT(config.sinks.otlp->headers, ElementsAre(Pair("Api-Key", "k:1"), Pair("X-Tenant", "ops")));
    EXPECT_THAT(config.sinks.otlp->resource, ElementsAre(Pair("service.name", "sb"), Pair("site", "a")));
    EXPECT_EQ(config.sinks.otlp->queue_max, 500u);
    EXPECT_THAT(read("sinks: {cloudwatch: {}}").faults, HasSubstr("not supported by this version"));
    EXPECT_THAT(read("sinks: {otlp: {url: 'h:4318'}}").faults, HasSubstr("s.yaml:1: sinks.otlp.url: expected a URL"));
    EXPECT_THAT(read("sinks: {otlp: {}}").faults, HasSubstr("'url' is missing"));
}

TEST(ConfigSinks, a_wrong_header_is_named_by_its_line_and_not_shown) {
    const SecretFile headers("Api-Key: k\nSECRET\n");
    const auto config = read("sinks: {otlp: {url: 'http://h/', headers_file: " + headers.path() + "}}");
    EXPECT_THAT(config.faults, HasSubstr(":2: expected NAME: VALUE"));
    EXPECT_THAT(config.faults, Not(HasSubstr("SECRET")));
}

}  // namespace
}  // namespace signalbox::app
