#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/simulation_output.hpp"
#include "app/simulation_picture.hpp"
#include "app/simulation_scenario.hpp"
#include "base/text.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* good = R"(name: small
length: 2h
zones: [az1, az2]
subnets:
  - {name: data-a, zone: az1, addresses: 50}
  - {name: data-b, zone: az2, addresses: 60}
connections:
  - {name: via-a, subnet: data-a}
  - {name: via-b, subnet: data-b}
jobs:
  - name: load
    connections: [via-b, via-a]
    workers: 4
    retry: {attempts: 3, backoff: 20s}
    runs_per_hour: [10, 0.5]
    run_time: {median: 10m, sigma: 0.5, max: 2h}
outages:
  - {zone: az1, at: 30m, length: 1h, kind: gray, fails_after: {median: 4.5m}, announced_after: 26m}
  - {zone: az2, at: 1h, length: 5m, kind: hard}
count: outages
)";

std::string replaced(const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

// The one fault of a file.
std::string fault_of(const std::string& text) {
    const auto scenario = parse_scenario(text, "s.yaml");
    if (scenario) return "no fault";
    EXPECT_EQ(scenario.error().kind, base::ErrorKind::InvalidConfig);
    EXPECT_EQ(base::exit_code(scenario.error().kind), 2);
    EXPECT_EQ(base::split(scenario.error().text(), '\n').size(), 1U) << scenario.error().text();
    return scenario.error().text();
}

TEST(SimulationScenario, a_file_is_read_whole) {
    const auto scenario = parse_scenario(good, "s.yaml");
    ASSERT_TRUE(scenario) << scenario.error().text();
    EXPECT_EQ(scenario->name, "small");
    EXPECT_EQ(scenario->length, 2h);
    ASSERT_EQ(scenario->subnets.size(), 2U);
    EXPECT_EQ(scenario->subnets[1].addresses, 60U);
    const engine::SimJob& job = scenario->jobs.at(0);
    ASSERT_EQ(job.job.connections.size(), 2U);
    EXPECT_EQ(job.job.connections[0].name, "via-b");
    EXPECT_EQ(job.job.connections[0].subnet, "data-b");
    EXPECT_EQ(job.job.workers, 4);
    EXPECT_EQ(job.job.workers_min, 2);
    EXPECT_EQ(job.job.retry.attempts_max, 3);
    EXPECT_EQ(job.job.retry.backoff_base, 20s);
    EXPECT_EQ(job.runs_per_hour, (std::vector<double>{10, 0.5}));
    EXPECT_EQ(job.run_time.median, 10min);
    EXPECT_EQ(job.run_time.sigma, 0.5);
    ASSERT_EQ(scenario->outages.size(), 2U);
    EXPECT_EQ(scenario->outages[0].kind, engine::SimOutageKind::Gray);
    EXPECT_EQ(scenario->outages[0].fails_after.median, 4min + 30s);
    EXPECT_EQ(scenario->outages[0].announced_after, base::Duration(26min));
    EXPECT_EQ(scenario->outages[1].kind, engine::SimOutageKind::Hard);
    EXPECT_EQ(scenario->outages[1].symptom, engine::SimSymptom::Lost);
    EXPECT_FALSE(scenario->outages[1].announced_after);
    EXPECT_TRUE(scenario->count_outages_only);
}

struct Wrong {
    const char* from;
    const char* to;
    const char* fault;
};

class SimulationFault : public testing::TestWithParam<Wrong> {};

TEST_P(SimulationFault, is_told_once_with_its_line) {
    const Wrong& wrong = GetParam();
    EXPECT_THAT(fault_of(replaced(wrong.from, wrong.to)), HasSubstr(wrong.fault));
}

INSTANTIATE_TEST_SUITE_P(
    Each, SimulationFault,
    testing::Values(
        Wrong{"count: outages", "counts: outages", "s.yaml:20: unknown key 'counts'; did you mean: count"},
        Wrong{"workers: 4", "wokers: 4", "s.yaml:13: unknown key 'wokers' in jobs[0]; did you mean: workers"},
        Wrong{"[az1, az2]", "[az1, az2, az3]", "s.yaml:3: zones: the zone 'az3' has no subnet"},
        Wrong{"[az1, az2]", "[az1, az2, az2]", "s.yaml:3: zones: the zone 'az2' stands twice"},
        Wrong{"{zone: az2, at", "{zone: az3, at", "s.yaml:19: outages[1].zone: there is no zone 'az3'"},
        Wrong{"zone: az1, addresses", "zone: ax1, addresses", "s.yaml:5: subnets[0].zone: there is no zone 'ax1'"},
        Wrong{"addresses: 50", "addresses: 0", "s.yaml:5: subnets[0].addresses: expected a whole number from 1"},
        Wrong{"[10, 0.5]", "[10, -0.5]",
              "s.yaml:15: jobs[0].runs_per_hour: expected numbers from 0 to 100000, found '-0.5'"},
        Wrong{"    runs_per_hour: [10, 0.5]\n", "", "nothing submits runs of this job"},
        Wrong{"subnet: data-a}", "subnet: data-x}", "s.yaml:8: connections[0].subnet: there is no subnet 'data-x'"},
        Wrong{"[via-b, via-a]", "[via-b, via-c]", "s.yaml:12: jobs[0].connections: there is no connection 'via-c'"},
        Wrong{"[via-b, via-a]", "[via-b, via-b]", "s.yaml:12: jobs[0].connections: 'via-b' stands twice"},
        Wrong{"attempts: 3", "attempts: 0", "s.yaml:14: jobs[0].retry.attempts: expected a whole number from 1 to 20"},
        Wrong{"backoff: 20s", "backoff: 6m, backoff_max: 5m",
              "s.yaml:14: jobs[0].retry.backoff_max: expected at least the backoff, 6m"},
        Wrong{"median: 10m, ", "", "s.yaml:16: jobs[0].run_time: 'median' is missing"},
        Wrong{"max: 2h}", "max: 5m}", "s.yaml:16: jobs[0].run_time.max: expected at least the median"},
        Wrong{"sigma: 0.5", "sigma: -1", "s.yaml:16: jobs[0].run_time.sigma: expected a number from 0 to 3"},
        Wrong{"at: 30m", "at: 3h", "s.yaml:18: outages[0].at: expected a duration from 0s to 2h"},
        Wrong{"kind: hard", "kind: soft", "s.yaml:19: outages[1].kind: expected one of hard, gray"},
        Wrong{"fails_after: {median: 4.5m}, ", "", "s.yaml:18: outages[0]: 'fails_after' is missing"},
        Wrong{"length: 5m, kind: hard", "length: 5m, kind: hard, announced_longer: 5m",
              "this outage is never announced"},
        Wrong{"length: 2h", "length: 32d", "s.yaml:2: length: expected a duration from 1s to"}));

TEST(SimulationScenario, a_run_that_no_subnet_can_hold_is_a_fault) {
    EXPECT_THAT(
        fault_of(replaced("    workers: 4\n", "    workers: 80\n    workers_min: 70\n")),
        AllOf(HasSubstr("s.yaml:14: jobs[0].workers_min"), HasSubstr("no subnet of its connections has more than 60")));
}

TEST(SimulationScenario, all_faults_are_told_at_once) {
    const auto scenario = parse_scenario("name: x\nzones: []\nlength: 0\nfoo: 1\n", "s.yaml");
    ASSERT_FALSE(scenario);
    EXPECT_THAT(scenario.error().text(), AllOf(HasSubstr("s.yaml:2: zones"), HasSubstr("s.yaml:3: length"),
                                               HasSubstr("s.yaml:4: unknown key 'foo'"), HasSubstr("jobs")));
}

TEST(SimulationScenario, the_committed_scenarios_are_read) {
    for (const char* name : {"gray", "announced", "tight", "burst", "last_zone"}) {
        const auto scenario = load_scenario(fmt::format("examples/simulate/{}.yaml", name));
        ASSERT_TRUE(scenario) << scenario.error().text();
        EXPECT_EQ(scenario->name, name);
    }
}

SimulationReport report_by_hand() {
    SimulationReport report;
    report.scenario.name = "by hand";
    report.scenario.about = "two strategies & <no> more";
    report.request.seed = 4;
    report.request.seeds = 2;
    engine::SimResult ours;
    ours.strategy = engine::sim_strategies().front();
    ours.all = {200, 0.9996, 0.95, 1.0, 45.4, 130.0, 0.051, std::nullopt};
    ours.per_seed = {{100, 1.0, 0.93, 1.0, 44.0, 100.0, 0.07, std::nullopt},
                     {100, 0.9992, 0.97, 1.0, 47.0, 130.0, 0.03, std::nullopt}};
    engine::SimResult model;
    model.strategy = engine::sim_strategies().back();
    model.all.runs = 200;
    report.results = {ours, model};
    return report;
}

TEST(SimulationOutput, json_names_every_metric_and_leaves_what_is_unknown_null) {
    const base::json::object object = simulation_json(report_by_hand());
    const auto& ours = object.at("strategies").as_array().at(0).as_object();
    EXPECT_EQ(ours.at("name"), "resilient");
    EXPECT_EQ(ours.at("model"), false);
    EXPECT_EQ(ours.at("runs"), 200);
    EXPECT_EQ(ours.at("success"), 0.9996);
    EXPECT_EQ(ours.at("first"), 0.95);
    EXPECT_EQ(ours.at("full_size"), 1.0);
    EXPECT_EQ(ours.at("wait_p50_s"), 45.4);
    EXPECT_EQ(ours.at("wait_p99_s"), 130.0);
    EXPECT_EQ(ours.at("retries_per_run"), 0.051);
    EXPECT_TRUE(ours.at("retries_in_outage").is_null());
    EXPECT_EQ(ours.at("per_seed").at("first").at("min"), 0.93);
    EXPECT_EQ(ours.at("per_seed").at("first").at("max"), 0.97);
    const auto& model = object.at("strategies").as_array().at(1).as_object();
    EXPECT_EQ(model.at("name"), "aws-capacity");
    EXPECT_EQ(model.at("model"), true);
    EXPECT_TRUE(model.at("success").is_null());
}

TEST(SimulationOutput, the_table_never_rounds_a_share_up_to_whole) {
    const std::string text = simulation_text(report_by_hand());
    EXPECT_THAT(text, AllOf(HasSubstr("99.9 %"), HasSubstr("45 s"), HasSubstr("2.2 min"), HasSubstr("0.05"),
                            HasSubstr("200 runs in 2 worlds (seeds 4 to 5)")));
    EXPECT_THAT(text, HasSubstr("aws-capacity: the published recipe"));
}

TEST(SimulationPicture, has_a_panel_for_each_metric_that_is_known_and_escapes_texts) {
    const std::string svg = simulation_svg(report_by_hand());
    EXPECT_THAT(svg, AllOf(HasSubstr("first-attempt success"), HasSubstr("two strategies &amp; &lt;no&gt; more"),
                           HasSubstr("prefers-color-scheme: dark"), HasSubstr("99.9 %")));
    EXPECT_THAT(svg, Not(HasSubstr("in outages</text>"))) << "nothing is known of it";
}

}  // namespace
}  // namespace signalbox::app
