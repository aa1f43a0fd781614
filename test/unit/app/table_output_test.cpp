#include "app/table_output.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/alarm_output.hpp"
#include "app/table_book.hpp"
#include "app/table_history.hpp"
#include "app/table_series.hpp"
#include "app/text_plot.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
namespace json = base::json;

const base::WallTime noon = *base::parse_time("2026-03-04T12:00:00Z");

ports::CommitRecord commit(std::int64_t id, base::WallTime at, const std::string& operation, json::value added) {
    ports::CommitRecord record;
    record.table = "lake.shop.orders";
    record.snapshot_id = id;
    record.kind = "main";
    record.ref = "main";
    record.timestamp_ms = std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
    record.data = {{"operation", operation},
                   {"author", "spark 3.5"},
                   {"change", json::object{{"added_records", added},
                                           {"deleted_records", 2},
                                           {"added_data_files", 1},
                                           {"deleted_data_files", 0},
                                           {"added_delete_files", 0},
                                           {"removed_delete_files", 0}}},
                   {"metrics", json::object{{"snapshot.total_records", 108},
                                            {"snapshot.total_data_files", 4},
                                            {"snapshot.added_records", added}}}};
    return record;
}

TEST(TableOutput, what_is_unknown_is_unknown_and_never_0) {
    const std::string text = commits_text({commit(7, noon, "append", nullptr)});
    EXPECT_THAT(text, HasSubstr("+unknown -2"));
    const std::string listed =
        tables_text({ports::TableRecord{"lake.shop.orders", 1, {}, {{"metrics", nullptr}}}}, noon);
    EXPECT_THAT(listed, HasSubstr("unknown"));
    EXPECT_THAT(listed, HasSubstr("none"));
    EXPECT_THAT(listed, Not(HasSubstr(" 0 ")));
}

TEST(TableOutput, a_commit_is_a_line_with_what_it_did_and_what_is_wrong_with_it) {
    auto record = commit(7, noon, "append", 10);
    record.data["latency_ms"] = 38.4;
    record.data["drift"] = json::array{json::object{{"field", "total-records"}, {"summary", "9"}, {"manifests", 108}}};
    EXPECT_EQ(
        commit_line(record),
        "2026-03-04T12:00:00.000Z lake.shop.orders main append: records +10 -2, files +1 (38 ms after the commit); the "
        "summary is wrong in 1 field\n");
    EXPECT_THAT(drift_text({record}), HasSubstr("total-records"));
    EXPECT_EQ(drift_json({record, commit(8, noon, "append", 1)}).size(), 1);
}

TEST(TableOutput, an_event_is_told_by_its_text) {
    ports::CommitRecord event;
    event.table = "t";
    event.kind = "rollback";
    event.data = {{"text", "main went back to 5"}};
    EXPECT_FALSE(is_commit(event));
    EXPECT_THAT(commit_line(event), HasSubstr("t rollback: main went back to 5"));
    EXPECT_EQ(commit_json(event).at("snapshot_id"), nullptr);
}

TEST(TableOutput, a_list_shows_age_shares_and_alarms) {
    ports::TableRecord table{"lake.shop.orders", 3, {}, {}};
    table.data = {
        {"last_commit", json::object{{"snapshot_id", 7}, {"timestamp_ms", 1772625600000}, {"operation", "append"}}},
        {"metrics", json::object{{"snapshot.total_records", 108},
                                 {"snapshot.total_data_files", 4},
                                 {"files.small_file_share", 0.25},
                                 {"deletes.record_ratio", 0.0}}},
        {"drift_commits", 2},
        {"in_alarm", json::array{"rows"}},
        {"trouble", nullptr}};
    const std::string text = tables_text({table}, noon + 3h);
    EXPECT_THAT(text, HasSubstr("3 h ago "));
    EXPECT_THAT(text, HasSubstr(" append "));
    EXPECT_THAT(text, HasSubstr("25.0 %"));
    EXPECT_THAT(text, HasSubstr("0.0 %"));
    EXPECT_THAT(text, HasSubstr("rows"));
}

TEST(TableNames, the_end_of_a_name_will_do_where_it_is_unique) {
    const std::vector<std::string> names{"lake.shop.orders", "lake.old.orders", "lake.shop.customers"};
    EXPECT_EQ(*pick_table(names, "shop.orders"), "lake.shop.orders");
    EXPECT_EQ(*pick_table(names, "customers"), "lake.shop.customers");
    EXPECT_EQ(*pick_table(names, "lake.old.orders"), "lake.old.orders");
    EXPECT_THAT(pick_table(names, "orders").error().message, HasSubstr("lake.shop.orders, lake.old.orders"));
    EXPECT_THAT(pick_table(names, "rders").error().message, HasSubstr("there is no table 'rders'"));
    EXPECT_THAT(pick_table({}, "orders").error().message, HasSubstr("signalbox serve"));
}

TEST(Since, is_an_age_or_a_time) {
    EXPECT_EQ(*parse_since("2h", noon), noon - 2h);
    EXPECT_EQ(*parse_since("2026-03-04", noon), noon - 12h);
    EXPECT_EQ(*parse_since("2026-03-04T11:59:00Z", noon), noon - 1min);
    EXPECT_EQ(parse_since("yesterday", noon).error().kind, base::ErrorKind::InvalidArgument);
}

TEST(TableSeries, alarms_see_of_records_what_they_saw_of_commits) {
    auto event = commit(8, noon + 1h, "", nullptr);
    event.kind = "rollback";
    event.data = {{"from", 7}, {"to", 5}, {"text", "back"}};
    auto branch = commit(9, noon + 2h, "append", 5);
    branch.kind = "branch";
    branch.ref = "trial";
    const auto seen =
        observations_of({commit(7, noon, "replace", 10), event, branch, commit(10, noon + 3h, "append", nullptr)},
                        "snapshot.added_records");
    ASSERT_EQ(seen.size(), 4);
    const auto& point = std::get<alarms::MetricPoint>(seen[0]);
    EXPECT_EQ(point.point.value, 10);
    EXPECT_EQ(point.point.kind, alarms::PointClass::Rewrite);
    const auto& fact = std::get<alarms::CommitFact>(seen[1]);
    EXPECT_EQ(fact.records_before, 100);
    EXPECT_EQ(fact.commit.author, "spark 3.5");
    EXPECT_TRUE(std::get<alarms::CommitFact>(seen[2]).rollback);
    EXPECT_EQ(std::get<alarms::CommitFact>(seen[2]).abandoned_snapshot, 7);
    // What is not known is not observed.
    EXPECT_EQ(std::get<alarms::CommitFact>(seen[3]).added_records, std::nullopt);
    EXPECT_EQ(std::get<alarms::CommitFact>(seen[3]).records_before, std::nullopt);
}

TEST(Csv, reads_times_of_several_forms_in_order_and_names_a_wrong_line) {
    const auto points = *parse_csv(
        "timestamp,value,operation\n1772625660,2.5,replace\r\n2026-03-04 12:00:00,1\n2026-03-04T12:02:00Z, 3\n\n",
        "f.csv");
    ASSERT_EQ(points.size(), 3);
    EXPECT_EQ(points[0].at, noon);
    EXPECT_EQ(points[0].value, 1);
    EXPECT_EQ(points[1].at, noon + 1min);
    EXPECT_EQ(points[1].kind, alarms::PointClass::Rewrite);
    EXPECT_EQ(points[2].at, noon + 2min);
    EXPECT_THAT(parse_csv("t,v\n1,2\n1,x\n", "f.csv").error().message, HasSubstr("f.csv:3"));
    EXPECT_THAT(parse_csv("t,v\n1,inf\n", "f.csv").error().message, HasSubstr("f.csv:2"));
    EXPECT_THAT(parse_csv("t,v\n-1,1\n", "f.csv").error().message, HasSubstr("f.csv:2"));
    EXPECT_THAT(parse_csv("t,v\n99999999999999,1\n", "f.csv").error().message, HasSubstr("f.csv:2"));
    EXPECT_THAT(parse_csv("\n", "f.csv").error().message, HasSubstr("no point"));
}

alarms::BacktestStep step(base::WallTime at, double value, std::optional<alarms::Range> expected = {}) {
    alarms::BacktestStep made;
    made.at = at;
    made.value = value;
    made.expected = expected;
    return made;
}

TEST(TextPlot, draws_values_their_range_and_what_is_outside) {
    const std::string text =
        text_plot({step(noon, 10, alarms::Range{5, 15}), step(noon + 1h, 30, alarms::Range{5, 15})}, {20, 6});
    EXPECT_THAT(text, HasSubstr("•"));
    EXPECT_THAT(text, HasSubstr("!"));
    EXPECT_THAT(text, HasSubstr("░"));
    EXPECT_THAT(text, HasSubstr("30 |"));
    EXPECT_THAT(text, HasSubstr("2026-03-04T12:00"));
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 7);
}

TEST(TextPlot, holds_with_one_value_with_equal_ones_and_with_none) {
    EXPECT_EQ(text_plot({}, {}), "");
    EXPECT_THAT(text_plot({step(noon, 0)}, {20, 3}), HasSubstr("•"));
    EXPECT_THAT(text_plot({step(noon, 5), step(noon + 1h, 5)}, {20, 1}), HasSubstr("•"));
}

StoredAlarm stored(const alarms::AlarmConfig* config, alarms::AlarmState state) {
    StoredAlarm alarm{"rows", "lake.shop.orders", config, {}};
    alarm.memory.state = state;
    alarm.memory.since = noon;
    alarm.memory.text = "12 is below 100";
    return alarm;
}

TEST(AlarmOutput, the_list_begins_with_what_is_in_alarm) {
    alarms::AlarmConfig config;
    std::vector<ListedAlarm> listed{{stored(&config, alarms::AlarmState::Ok), nullptr},
                                    {stored(&config, alarms::AlarmState::Alarm), nullptr}};
    sort_alarms(listed);
    EXPECT_EQ(listed[0].stored.memory.state, alarms::AlarmState::Alarm);
    EXPECT_THAT(alarms_text(listed, noon + 3h), HasSubstr("3 h"));
}

TEST(AlarmOutput, a_story_tells_evidence_playbook_what_clears_it_and_what_else_happened) {
    alarms::AlarmConfig config;
    config.kind = alarms::AlarmKind::Threshold;
    config.metric = "snapshot.added_records";
    config.comparison = alarms::Comparison::LessThan;
    config.threshold = 100;
    config.playbook = "call the loader's owner";
    config.actions = {"page"};
    AlarmStory story{{stored(&config, alarms::AlarmState::Alarm), nullptr}, {}};
    ports::JournalEntry entry;
    entry.at = noon;
    entry.data = {{"from", "OK"},
                  {"to", "ALARM"},
                  {"text", "12 is below 100"},
                  {"related", json::array{json::object{
                                  {"at", "2026-03-04T11:58:00Z"}, {"kind", "failover"}, {"subject", "orders"}}}}};
    story.entries.push_back(entry);
    const std::string text = story_text(story, noon + 1min);
    for (const char* part :
         {"rows of lake.shop.orders: ALARM since", "12 is below 100", "snapshot.added_records < 100, 2 of 2 commits",
          "it is not < 100", "call the loader's owner", "page", "failover orders"})
        EXPECT_THAT(text, HasSubstr(part));
    EXPECT_EQ(story_json(story, noon).at("related").as_array().size(), 1);
}

TEST(AlarmOutput, one_that_is_not_configured_any_more_is_shown_as_such) {
    AlarmStory story{{stored(nullptr, alarms::AlarmState::Alarm), nullptr}, {}};
    EXPECT_THAT(story_text(story, noon), HasSubstr("not configured any more"));
    EXPECT_EQ(story_json(story, noon).at("watches"), nullptr);
}

}  // namespace
}  // namespace signalbox::app
