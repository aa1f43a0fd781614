#include "app/config_alarms.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Read {
    std::vector<engine::AlarmBinding> alarms;
    engine::TableLoopConfig loop;
    std::string faults;
};

Read read(const std::string& text) {
    alarms::ActionConfig page;
    page.name = "page";
    auto document = *yaml::Document::parse(text, "test.yaml");
    auto root = document.root();
    Read result;
    result.alarms = read_alarms(root, {page});
    if (auto tables = root.mapping("tables")) {
        read_first_look(*tables, result.loop);
        tables->finish();
    }
    root.finish();
    if (const auto status = document.status(); !status) result.faults = status.error().message;
    return result;
}

TEST(AlarmsConfig, without_the_key_every_table_has_the_default_alarms) {
    const auto result = read("store: x\n");
    EXPECT_THAT(result.faults, HasSubstr("store"));
    ASSERT_EQ(result.alarms.size(), alarms::default_alarms().size());
    EXPECT_EQ(result.alarms.front().config.name, alarms::default_alarms().front().name);
    EXPECT_THAT(result.alarms.front().tables, ElementsAre("*"));
}

TEST(AlarmsConfig, an_empty_list_is_no_alarm) {
    const auto result = read("alarms: []\n");
    EXPECT_EQ(result.faults, "");
    EXPECT_TRUE(result.alarms.empty());
}

TEST(AlarmsConfig, is_read_with_every_field) {
    const auto result = read(
        "alarms:\n"
        "  - {name: rows, kind: band, tables: ['lake.*', '*.orders'], metric: snapshot.added_records, k: 4.5, k_alone: "
        "9,\n"
        "     side: below, clear_after: 2, judge_rewrites: true, m: 3, n: 5, missing: ignore, playbook: look, actions: "
        "[page],\n"
        "     exclusions: [{from: 2026-01-01T00:00:00Z, until: 2026-01-02T00:00:00Z}]}\n"
        "  - {name: files, kind: threshold, metric: files.small_file_count, comparison: greater-or-equal, threshold: "
        "100,\n"
        "     clear_threshold: 50, period: 1h, statistic: maximum, m: 1, n: 1}\n"
        "  - {name: silent, kind: late, interval: 2h}\n");
    EXPECT_EQ(result.faults, "");
    ASSERT_EQ(result.alarms.size(), 3);
    const auto& rows = result.alarms[0].config;
    EXPECT_THAT(result.alarms[0].tables, ElementsAre("lake.*", "*.orders"));
    EXPECT_EQ(rows.kind, alarms::AlarmKind::Band);
    EXPECT_EQ(rows.k, 4.5);
    EXPECT_EQ(rows.k_alone, 9);
    EXPECT_EQ(rows.side, alarms::Side::Below);
    EXPECT_EQ(rows.m, 3);
    EXPECT_EQ(rows.n, 5);
    EXPECT_EQ(rows.missing, alarms::MissingData::Ignore);
    EXPECT_EQ(rows.clear_after, 2);
    EXPECT_TRUE(rows.judge_rewrites);
    EXPECT_EQ(rows.playbook, "look");
    EXPECT_THAT(rows.actions, ElementsAre("page"));
    ASSERT_EQ(rows.exclusions.size(), 1);
    EXPECT_EQ(rows.exclusions[0].until - rows.exclusions[0].from, 24h);
    const auto& files = result.alarms[1].config;
    EXPECT_EQ(files.comparison, alarms::Comparison::GreaterOrEqual);
    EXPECT_EQ(files.threshold, 100);
    EXPECT_EQ(files.clear_threshold, 50);
    EXPECT_EQ(files.period, 1h);
    EXPECT_EQ(files.statistic, alarms::Statistic::Maximum);
    EXPECT_EQ(result.alarms[2].config.interval, 2h);
}

TEST(AlarmsConfig, one_of_m_and_n_alone_moves_the_other_so_that_m_is_at_most_n) {
    const auto result = read(
        "alarms:\n"
        "  - {name: a, kind: band, metric: snapshot.added_records, n: 1}\n"
        "  - {name: b, kind: band, metric: snapshot.added_records, m: 4}\n");
    EXPECT_EQ(result.faults, "");
    EXPECT_EQ(result.alarms[0].config.m, 1);
    EXPECT_EQ(result.alarms[1].config.n, 4);
}

TEST(AlarmsConfig, names_every_fault_with_its_line) {
    const auto result = read(
        "alarms:\n"
        "  - {name: a, kind: bend}\n"
        "  - {name: b, kind: band, metric: added_records}\n"
        "  - {name: c, kind: band}\n"
        "  - {name: d, kind: drift, metric: snapshot.added_records}\n"
        "  - {name: e, kind: threshold, metric: snapshot.added_records}\n"
        "  - {name: f, kind: late, actions: [pgae]}\n"
        "  - {name: g, kind: drift, interval: 1h}\n"
        "  - {name: h, kind: drift, exclusions: [{from: 2026-01-02T00:00:00Z, until: 2026-01-01T00:00:00Z}]}\n"
        "  - {name: i, kind: drift, exclusions: [{from: yesterday, until: 2026-01-01T00:00:00Z}]}\n"
        "  - {name: j, kind: drift, tables: []}\n"
        "  - {name: j, kind: drift, colour: red}\n");
    EXPECT_THAT(result.faults, HasSubstr("test.yaml:2: alarms[0].kind"));
    EXPECT_THAT(result.faults, HasSubstr("did you mean snapshot.added_records?"));
    EXPECT_THAT(result.faults, HasSubstr("test.yaml:4: "));
    EXPECT_THAT(result.faults, HasSubstr("looks at commits, not at a metric"));
    EXPECT_THAT(result.faults, HasSubstr("test.yaml:6: "));
    EXPECT_THAT(result.faults, HasSubstr("there is no action 'pgae'; did you mean page?"));
    EXPECT_THAT(result.faults, HasSubstr("it concerns the kind 'late' alone"));
    EXPECT_THAT(result.faults, HasSubstr("expected a time after 'from'"));
    EXPECT_THAT(result.faults, HasSubstr("found 'yesterday'"));
    EXPECT_THAT(result.faults, HasSubstr("expected at least one name or pattern"));
    EXPECT_THAT(result.faults, HasSubstr("test.yaml:12: "));
    EXPECT_THAT(result.faults, HasSubstr("colour"));
}

TEST(AlarmsConfig, says_how_a_table_is_first_looked_at) {
    const auto result = read("alarms: []\ntables: {first_look: baseline, partitions_max: 7}\n");
    EXPECT_EQ(result.faults, "");
    EXPECT_EQ(result.loop.first_look, lake::FirstLook::Baseline);
    EXPECT_EQ(result.loop.partitions_max, 7);
    EXPECT_THAT(read("alarms: []\ntables: {first_look: never}\n").faults, HasSubstr("test.yaml:2: tables.first_look"));
}

}  // namespace
}  // namespace signalbox::app
