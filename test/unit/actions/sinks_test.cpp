// Where metrics go: what is written, what is bounded, what happens when a receiver is away.

#include <cmath>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <set>
#include <sstream>
#include <unistd.h>

#include "adapters/prometheus/lake_page.hpp"
#include "adapters/sinks/json_lines.hpp"
#include "adapters/sinks/otlp.hpp"
#include "adapters/sinks/otlp_json.hpp"
#include "adapters/sinks/partitions.hpp"
#include "base/json.hpp"
#include "unit/actions/scripted_server.hpp"

namespace signalbox::sinks {
namespace {

using namespace std::chrono_literals;
using ports::MetricPoint;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const base::WallTime t0{1'700'000'000s};

MetricPoint point(const std::string& name, std::optional<double> value, const std::string& partition = {},
                  std::int64_t snapshot = 7, const std::string& table = "db.orders") {
    return {table, name, partition, value, name.find("size") == std::string::npos ? "Count" : "Bytes", t0, snapshot};
}

std::vector<MetricPoint> commit(std::int64_t snapshot, double added) {
    return {point("snapshot.added_records", added, {}, snapshot), point("snapshot.total_records", 100, {}, snapshot),
            point("partitions.skew_record_count", std::nullopt, {}, snapshot),
            point("snapshot.total_files_size", 4096, {}, snapshot)};
}

TEST(Partitions, the_largest_stay_and_the_rest_is_one_sum) {
    std::vector<MetricPoint> points = {point("snapshot.total_records", 60)};
    for (int i = 1; i <= 10; ++i) points.push_back(point("record_count", i, "day=" + std::to_string(i)));
    points.push_back(point("record_count", std::nullopt, "day=11"));
    points.push_back(point("record_count", 5, "day=1", 8));
    std::vector<std::string> texts;
    for (const auto& one : limit_partitions(points, 2))
        texts.push_back(fmt::format("{} {} {} {}", one.snapshot_id, one.name, one.partition, one.value.value_or(-1)));
    EXPECT_THAT(texts, ElementsAre("7 snapshot.total_records  60", "7 record_count day=9 9", "7 record_count day=10 10",
                                   "7 record_count other 36", "8 record_count day=1 5"));
    EXPECT_EQ(limit_partitions(points, 0).size(), 3u) << "sums alone";
    EXPECT_EQ(limit_partitions(points, 100).size(), 12u) << "no sum of nothing";
}

class Lines : public testing::Test {
  protected:
    Lines() : path_("/tmp/signalbox-lines-test-" + std::to_string(::getpid())) { std::filesystem::remove(path_); }
    ~Lines() override {
        for (const char* ending : {"", ".1"}) std::filesystem::remove(path_ + ending);
    }
    std::vector<std::string> lines(const std::string& path) {
        std::ifstream file(path);
        std::vector<std::string> found;
        for (std::string line; std::getline(file, line);) found.push_back(line);
        return found;
    }
    std::string path_;
};

TEST_F(Lines, each_commit_is_one_line_and_what_is_unknown_is_null) {
    JsonLines sink(path_, 10);
    auto points = commit(7, 5);
    points.push_back(point("record_count", 3, "day=1"));
    for (const auto& one : commit(9'007'199'254'740'993, 2.5)) points.push_back(one);
    ASSERT_TRUE(sink.write(points));
    const auto found = lines(path_);
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0],
              R"({"at":"2023-11-14T22:13:20.000Z","table":"db.orders","snapshot_id":7,"metrics":)"
              R"({"snapshot.added_records":5,"snapshot.total_records":100,"partitions.skew_record_count":null,)"
              R"("snapshot.total_files_size":4096},"partitions":{"day=1":{"record_count":3}}})");
    const auto second = base::parse_json(found[1]);
    ASSERT_TRUE(second);
    EXPECT_EQ(second->at("snapshot_id"), 9'007'199'254'740'993) << "not through a double";
    EXPECT_EQ(second->at("metrics").at("snapshot.added_records"), 2.5);
}

TEST_F(Lines, a_file_that_was_moved_away_is_made_anew) {
    JsonLines sink(path_, 10);
    ASSERT_TRUE(sink.write(commit(1, 1)));
    std::filesystem::rename(path_, path_ + ".1");
    ASSERT_TRUE(sink.write(commit(2, 1)));
    EXPECT_EQ(lines(path_ + ".1").size(), 1u);
    EXPECT_EQ(lines(path_).size(), 1u);
}

TEST_F(Lines, a_half_line_of_a_crash_does_not_spoil_the_next) {
    std::ofstream(path_) << R"({"at":"2023)";
    JsonLines sink(path_, 10);
    ASSERT_TRUE(sink.write(commit(1, 1)));
    const auto found = lines(path_);
    ASSERT_EQ(found.size(), 2u);
    EXPECT_TRUE(base::parse_json(found[1]));
}

TEST_F(Lines, what_cannot_be_written_is_said) {
    const auto status = JsonLines("/nonexistent/folder/lines", 10).write(commit(1, 1));
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().text(), HasSubstr("/nonexistent/folder/lines: cannot be opened"));
    EXPECT_FALSE(JsonLines("/dev/null", 10).write(commit(1, 1))) << "no regular file";
    EXPECT_FALSE(JsonLines("/tmp", 10).write(commit(1, 1)));
}

TEST(OtlpRequest, is_gauges_with_attributes_and_without_what_is_unknown) {
    auto points = commit(7, 5);
    points.push_back(point("record_count", 3, "day=1"));
    points.push_back(point("record_count", NAN, "day=2"));
    const auto value = base::parse_json(otlp_request(points, {{"service.name", "signalbox"}}));
    ASSERT_TRUE(value);
    const auto& of_resource = value->at("resourceMetrics").at(0);
    EXPECT_EQ(of_resource.at("resource").at("attributes").at(0).at("value").at("stringValue"), "signalbox");
    const auto& metrics = of_resource.at("scopeMetrics").at(0).at("metrics").as_array();
    ASSERT_EQ(metrics.size(), 4u) << "the skew is unknown";
    EXPECT_EQ(metrics[0].at("name"), "record_count");
    const auto& points_of = metrics[0].at("gauge").at("dataPoints").as_array();
    ASSERT_EQ(points_of.size(), 1u) << "no NaN in JSON";
    EXPECT_EQ(points_of[0].at("timeUnixNano"), "1700000000000000000") << "a text, as protobuf's JSON has it";
    EXPECT_EQ(points_of[0].at("attributes").at(1).at("value").at("stringValue"), "day=1");
    EXPECT_EQ(metrics[2].at("unit"), "By");
    EXPECT_EQ(otlp_request({point("x", std::nullopt)}, {}), "");
}

TEST(OtlpAnswer, says_what_was_not_taken) {
    const auto partial = otlp_partial(R"({"partialSuccess": {"rejectedDataPoints": "3", "errorMessage": "too old"}})");
    EXPECT_EQ(partial.rejected, 3);
    EXPECT_EQ(partial.message, "too old");
    for (const char* nothing : {"", "{}", "[]", "no", R"({"partialSuccess": 1})"})
        EXPECT_EQ(otlp_partial(nothing).rejected, 0) << nothing;
    for (const unsigned status : {429u, 502u, 503u, 504u}) EXPECT_TRUE(otlp_retryable(status));
    for (const unsigned status : {400u, 401u, 404u, 500u, 501u}) EXPECT_FALSE(otlp_retryable(status)) << status;
}

OtlpOptions options_for(const std::string& url) {
    OtlpOptions options;
    options.url = url;
    options.headers = {{"Api-Key", "k"}};
    options.deadline = 2s;
    options.backoff_base = 5ms;
    options.backoff_max = 20ms;
    options.retry_time_max = 3s;
    options.flush_time_max = 1s;
    return options;
}

// Waits for a state that must come; a second or two is for a machine that is busy.
template <typename Condition>
bool soon(Condition condition) {
    for (int i = 0; i < 1000; ++i) {
        if (condition()) return true;
        std::this_thread::sleep_for(5ms);
    }
    return false;
}

TEST(OtlpSink, sends_again_what_a_busy_receiver_did_not_take) {
    const ScriptedServer server({ScriptedServer::answer("503 Busy", "Retry-After: 0\r\n"),
                                 ScriptedServer::answer("429 Slow"), ScriptedServer::answer("200 OK", "", "{}")});
    Otlp sink(options_for(server.url("/v1/metrics")));
    ASSERT_TRUE(sink.write(commit(7, 5)));
    EXPECT_TRUE(soon([&] { return sink.counters().sent == 3; }));
    EXPECT_EQ(sink.counters().dropped, 0u);
    ASSERT_EQ(server.requests().size(), 3u);
    EXPECT_EQ(body_of(server.requests()[0]), body_of(server.requests()[2]));
    EXPECT_EQ(header_of(server.requests()[0], "Api-Key"), "k");
    EXPECT_EQ(sink.counters().trouble, "");
}

TEST(OtlpSink, counts_what_is_refused_and_what_a_receiver_rejects) {
    const ScriptedServer server(
        {ScriptedServer::answer("400 Bad Request"),
         ScriptedServer::answer("200 OK", "",
                                R"({"partialSuccess": {"rejectedDataPoints": 2, "errorMessage": "old"}})")});
    Otlp sink(options_for(server.url("/v1/metrics")));
    ASSERT_TRUE(sink.write(commit(7, 5)));
    EXPECT_TRUE(soon([&] { return sink.counters().dropped == 3; }));
    EXPECT_THAT(sink.counters().trouble, HasSubstr("HTTP status 400"));
    ASSERT_TRUE(sink.write(commit(8, 5)));
    EXPECT_TRUE(soon([&] { return sink.counters().rejected == 2; }));
    EXPECT_EQ(sink.counters().sent, 1u);
    EXPECT_EQ(sink.counters().trouble, "old");
}

TEST(OtlpSink, a_receiver_that_is_away_costs_old_points_never_memory) {
    auto options = options_for("http://127.0.0.1:1/v1/metrics");
    options.queue_max = 10;
    options.retry_time_max = 60s;
    const auto began = std::chrono::steady_clock::now();
    {
        Otlp sink(options);
        for (int i = 0; i < 100; ++i) ASSERT_TRUE(sink.write(commit(i, i)));
        const auto counters = sink.counters();
        EXPECT_LE(counters.queued, 10u);
        EXPECT_GE(counters.dropped, 250u);
    }
    EXPECT_LT(std::chrono::steady_clock::now() - began, 5s) << "its end does not wait for the receiver";
}

TEST(OtlpSink, what_is_queued_is_sent_before_the_end) {
    const ScriptedServer server({ScriptedServer::answer("200 OK", "", "{}")});
    {
        Otlp sink(options_for(server.url("/v1/metrics")));
        ASSERT_TRUE(sink.write(commit(7, 5)));
    }
    EXPECT_EQ(server.requests().size(), 1u);
}

using prometheus_text::family_of;
using prometheus_text::LakePage;
using prometheus_text::Page;
using prometheus_text::partition_family_of;

std::string rendered(const LakePage& lake) {
    Page page;
    lake.render(page);
    return page.render();
}

TEST(LakeFamilies, follow_prometheus_conventions) {
    EXPECT_EQ(family_of("snapshot.total_records", "Count"), "signalbox_table_records");
    EXPECT_EQ(family_of("snapshot.added_files_size", "Bytes"), "signalbox_table_last_commit_added_files_bytes");
    EXPECT_EQ(family_of("snapshot.changed_partition_count", "Count"), "signalbox_table_last_commit_changed_partitions");
    EXPECT_EQ(family_of("partitions.avg_record_count", "Count"), "signalbox_table_partitions_avg_records");
    EXPECT_EQ(family_of("files.avg_file_size", "Bytes"), "signalbox_table_files_avg_file_bytes");
    EXPECT_EQ(family_of("table.commit_age", "Seconds"), "signalbox_table_table_commit_age_seconds");
    EXPECT_EQ(family_of("deletes.file_ratio", "Ratio"), "signalbox_table_delete_files_ratio");
    EXPECT_EQ(family_of("Some-thing.É total", "Count"), "signalbox_table_some_thing_value");
    EXPECT_EQ(family_of("...", "Count"), "");
    EXPECT_EQ(partition_family_of("record_count", "Count"), "signalbox_table_partition_records");
}

TEST(LakePage, a_commit_replaces_the_one_before_and_what_is_unknown_is_not_shown) {
    LakePage lake;
    auto first = commit(7, 5);
    first.push_back(point("deletes.file_ratio", 0.5, {}, 7));
    ASSERT_TRUE(lake.write(first));
    ASSERT_TRUE(lake.write(commit(8, 6)));
    ASSERT_TRUE(lake.write(commit(8, 6)));
    const std::string page = rendered(lake);
    EXPECT_THAT(page, HasSubstr("signalbox_table_last_commit_added_records{table=\"db.orders\"} 6\n"));
    EXPECT_THAT(page, HasSubstr("signalbox_table_added_records_total{table=\"db.orders\"} 11\n")) << "each commit once";
    EXPECT_THAT(page, HasSubstr("signalbox_table_commits_total{table=\"db.orders\"} 2\n"));
    EXPECT_THAT(page, HasSubstr("signalbox_table_last_commit_timestamp_seconds{table=\"db.orders\"} 1700000000\n"));
    EXPECT_THAT(page, Not(HasSubstr("delete_files_ratio"))) << "not known of this commit";
    EXPECT_THAT(page, Not(HasSubstr("skew")));
    lake.forget("db.orders");
    EXPECT_THAT(rendered(lake), Not(HasSubstr("db.orders")));
}

TEST(LakePage, partitions_and_tables_have_a_bound) {
    LakePage lake({3, 2, 200});
    std::vector<MetricPoint> points;
    for (int i = 1; i <= 1000; ++i) points.push_back(point("record_count", i, "day=" + std::to_string(i)));
    ASSERT_TRUE(lake.write(points));
    for (const char* table : {"db.a", "db.b", "db.c"})
        ASSERT_TRUE(lake.write({point("snapshot.total_records", 1, {}, 1, table)}));
    const std::string page = rendered(lake);
    std::size_t series = 0;
    std::istringstream text(page);
    for (std::string line; std::getline(text, line);) series += line.starts_with("signalbox_table_partition_records{");
    EXPECT_EQ(series, 4u);
    EXPECT_THAT(page, HasSubstr("partition=\"other\"} 497503\n"));
    EXPECT_THAT(page, HasSubstr("db.a"));
    EXPECT_THAT(page, Not(HasSubstr("db.b"))) << "two tables are all";
    EXPECT_THAT(page, HasSubstr("signalbox_lake_points_left_out_total 2\n"));
}

TEST(LakePage, a_partition_that_is_gone_is_not_shown_any_more) {
    LakePage lake;
    ASSERT_TRUE(lake.write({point("record_count", 1, "day=1"), point("record_count", 2, "day=2")}));
    ASSERT_TRUE(lake.write({point("record_count", 2, "day=2")}));
    EXPECT_THAT(rendered(lake), Not(HasSubstr("day=1")));
    EXPECT_THAT(rendered(lake), HasSubstr("day=2"));
}

TEST(LakePage, an_alarm_is_in_one_of_its_states_and_has_its_band) {
    LakePage lake;
    lake.set_alarms("db.orders", {{"volume", "db.orders", "snapshot.added_records", "ALARM", 3, 10, 20},
                                  {"late", "db.orders", "", "INSUFFICIENT_DATA", {}, {}, {}}});
    lake.set_reading({{"manifest", 2, 4096}});
    const std::string page = rendered(lake);
    EXPECT_THAT(page, HasSubstr(R"(signalbox_alarm_state{alarm="volume",table="db.orders",state="ALARM"} 1)"));
    EXPECT_THAT(page, HasSubstr(R"(signalbox_alarm_state{alarm="volume",table="db.orders",state="OK"} 0)"));
    EXPECT_THAT(
        page,
        HasSubstr(
            R"(signalbox_alarm_expected_upper{alarm="volume",table="db.orders",metric="snapshot.added_records"} 20)"));
    EXPECT_THAT(page, Not(HasSubstr(R"(signalbox_alarm_value{alarm="late")")));
    EXPECT_THAT(page, HasSubstr(R"(signalbox_lake_read_bytes_total{kind="manifest"} 4096)"));
    lake.set_alarms("db.orders", {{"volume", "db.orders", "snapshot.added_records", "OK", 12, -HUGE_VAL, 20}});
    EXPECT_THAT(rendered(lake), HasSubstr(R"(signalbox_alarm_state{alarm="volume",table="db.orders",state="OK"} 1)"));
    EXPECT_THAT(rendered(lake), Not(HasSubstr("late")));
    EXPECT_THAT(rendered(lake), Not(HasSubstr("expected_lower")));
}

}  // namespace
}  // namespace signalbox::sinks
