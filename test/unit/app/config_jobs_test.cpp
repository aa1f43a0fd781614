#include "app/config_jobs.hpp"

#include <gmock/gmock.h>

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

struct Read {
    JobsConfig config;
    std::string faults;
};

Read read(const std::string& text) {
    const std::vector<jobs::Source> sources = {{"orders-rw", {{"10.0.1.10", 3306}}},
                                               {"orders", {{"10.0.1.11", 3306}, {"10.0.2.11", 3306}}}};
    auto document = *yaml::Document::parse("provider: {lab: {socket: /s}}\n" + text, "test.yaml");
    auto root = document.root();
    Read result;
    result.config = read_jobs(root, "/etc/test.yaml", sources);
    root.finish();
    if (const auto status = document.status(); !status) result.faults = status.error().message;
    return result;
}

constexpr const char* connections =
    "connections:\n"
    "  - {name: a, subnet: data-a, security_groups: [default]}\n"
    "  - {name: b, subnet: data-b, security_groups: [default], data_source: orders-rw}\n"
    "  - {name: theirs, managed: false}\n";

// A job with these keys more.
Read job(const std::string& keys) {
    return read(std::string(connections) + "jobs:\n  - {name: j, connections: [a, b], command: [/bin/true]" +
                (keys.empty() ? "" : ", " + keys) + "}\n");
}

TEST(JobsConfig, a_job_without_a_word_about_it_is_resilient_and_tried_once) {
    const auto good = job("");
    ASSERT_EQ(good.faults, "");
    const jobs::Job& one = good.config.jobs.at(0);
    EXPECT_EQ(one.strategy, jobs::Strategy::Resilient);
    EXPECT_EQ(one.workers, 2);
    EXPECT_EQ(one.workers_min, 2);
    EXPECT_EQ(one.full_size_wait, 5min);
    EXPECT_EQ(one.retry, jobs::RetryPolicy{});
    EXPECT_EQ(job("workers: 1").config.jobs.at(0).workers_min, 1);
}

TEST(JobsConfig, every_key_is_read) {
    const auto good = job(
        "workers: 9, workers_min: 3, full_size_wait: 90s, low_risk: true, sources: [orders, orders-rw, '10.9.9.9:80'],"
        " retry: {attempts: 4, backoff: 1s, backoff_max: 1m, budget: 3, budget_ratio: 0.25, budget_window: 2h,"
        " rules: [{exit_codes: [3, 4], class: zone}, {log: 'too many connections', class: transient}], otherwise: "
        "permanent}");
    ASSERT_EQ(good.faults, "");
    const jobs::Job& one = good.config.jobs.at(0);
    EXPECT_EQ(one.workers_min, 3);
    EXPECT_EQ(one.full_size_wait, 90s);
    EXPECT_TRUE(one.low_risk);
    ASSERT_EQ(one.sources.size(), 3u);
    EXPECT_EQ(one.sources[0].addresses.size(), 2u) << "a cluster is all its members";
    EXPECT_EQ(one.sources[2].addresses[0].text(), "10.9.9.9:80");
    EXPECT_EQ(one.retry.attempts_max, 4);
    EXPECT_EQ(one.retry.backoff_base, 1s);
    EXPECT_EQ(one.retry.backoff_max, 1min);
    EXPECT_EQ(one.retry.budget_min, 3);
    EXPECT_EQ(one.retry.budget_ratio, 0.25);
    EXPECT_EQ(one.retry.budget_window, 2h);
    ASSERT_EQ(one.retry.rules.size(), 2u);
    EXPECT_EQ(one.retry.rules[0].exit_codes, (std::vector{3, 4}));
    EXPECT_EQ(one.retry.rules[1].log_pattern, "too many connections");
    EXPECT_EQ(one.retry.otherwise, jobs::RetryClass::Permanent);
    const auto program = job("strategy: program, program: {command: [./order.py, -v], deadline: 2s}");
    ASSERT_EQ(program.faults, "");
    EXPECT_EQ(program.config.jobs.at(0).strategy, jobs::Strategy::Program);
    EXPECT_EQ(program.config.jobs.at(0).program.deadline, 2s);
}

TEST(JobsConfig, a_connection_that_is_not_managed_has_a_name_alone) {
    const auto mixed = read(std::string(connections) + "jobs: [{name: j, connections: [theirs, a], command: [x]}]\n");
    ASSERT_EQ(mixed.faults, "");
    EXPECT_FALSE(mixed.config.jobs.at(0).connections[0].managed);
    EXPECT_THAT(read(std::string(connections) + "jobs: [{name: j, connections: [theirs], command: [x]}]\n").faults,
                HasSubstr("at least one connection that is managed"));
    EXPECT_THAT(read("connections: [{name: x, managed: false, subnet: s}]\n").faults, HasSubstr("has a name alone"));
}

TEST(JobsConfig, every_fault_is_one_clear_line) {
    const struct {
        std::string keys;
        std::string fault;
    } faults[] = {
        {"strategy: best", "one of resilient, ordered, random, capacity, program"},
        {"strategy: program", "needs 'program: {command"},
        {"program: {command: []}", "expected a list: the program"},
        {"program: {command: [x], deadline: 31s}", "deadline"},
        {"strategy: ordered, program: {command: [x]}", "by 'strategy: program' alone"},
        {"strategy: capacity, full_size_wait: 1m", "concerns the strategy 'resilient' alone"},
        {"strategy: ordered, low_risk: true", "concerns the strategy 'resilient' alone"},
        {"workers: 3, workers_min: 4", "at most 'workers', 3, found 4"},
        {"workers_min: 0", "workers_min"},
        {"sources: [nobody]", "the name of an endpoint or a cluster, found 'nobody'"},
        {"sources: ['10.0.0.1:x']", "sources"},
        {"sources: [orders, orders]", "stands twice"},
        {"retry: {attempts: 21}", "attempts"},
        {"retry: {attempts: 0}", "attempts"},
        {"retry: {backoff: 1h, backoff_max: 1m}", "at least the backoff, 1h, found 1m"},
        {"retry: {budget_ratio: -1}", "budget_ratio"},
        {"retry: {rules: [{class: zone}]}", "needs 'exit_codes' or 'log'"},
        {"retry: {rules: [{exit_codes: [0], class: zone}]}", "exit codes from 1 to 255, found '0'"},
        {"retry: {rules: [{exit_codes: [9]}]}", "one of transient, connection, zone, permanent"},
        {"retry: {rules: [{exit_codes: [9], class: never}]}", "one of transient, connection, zone, permanent"},
        {"retry: {otherwise: maybe}", "one of transient, connection, zone, permanent"},
        {"retry: {retries: 3}", "retries"},
    };
    for (const auto& [keys, fault] : faults) {
        const std::string found = job(keys).faults;
        EXPECT_THAT(found, HasSubstr(fault)) << keys;
        EXPECT_THAT(found, HasSubstr("test.yaml:7")) << keys;
        EXPECT_EQ(std::count(found.begin(), found.end(), '\n'), 0) << keys << ": " << found;
    }
    EXPECT_THAT(read("connections: [{name: x, subnet: s, security_groups: [g], data_source: orders}]\n").faults,
                HasSubstr("has 2 addresses"));
}

}  // namespace
}  // namespace signalbox::app
