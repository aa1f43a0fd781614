// Tables with every commit that they ever had, by Spark with Iceberg's runtime: each metadata file, read as it was when
// its commit was the newest, against the writer's own metadata tables of that time (examples/make_histories.py).

#include <filesystem>
#include <gmock/gmock.h>

#include "app/table_report.hpp"
#include "base/text.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;

const std::string tables = "examples/tables/";

json::value expected_of(const std::string& name) {
    const std::string text = base::read_file(tables + name + ".expected.json", 1 << 24).value();
    return base::parse_json(text).value();
}

struct Pair {
    const char* expected;
    const char* metric;
};
// Whole numbers of one commit. `…_files_size` holds data and delete files; the truth has them apart.
constexpr Pair counts[] = {
    {"added_data_files", "snapshot.added_data_files"},
    {"added_records", "snapshot.added_records"},
    {"removed_data_files", "snapshot.deleted_data_files"},
    {"removed_records", "snapshot.deleted_records"},
    {"added_position_deletes", "snapshot.added_position_deletes"},
    {"changed_partitions", "snapshot.changed_partition_count"},
    {"total_data_files", "snapshot.total_data_files"},
    {"total_records", "snapshot.total_records"},
    {"total_delete_files", "snapshot.total_delete_files"},
};

void expect_commit(const json::value& commit, const json::value& report) {
    const json::value& metrics = report.at("metrics");
    EXPECT_EQ(report.at("operation"), commit.at("operation"));
    EXPECT_TRUE(report.at("summary_drift").as_array().empty()) << report.at("summary_drift");
    for (const auto& [expected, metric] : counts) EXPECT_EQ(metrics.at(metric), commit.at(expected)) << metric;
    const auto sum = [&](const char* data, const char* deletes) {
        return commit.at(data).as_int64() + commit.at(deletes).as_int64();
    };
    EXPECT_EQ(metrics.at("snapshot.added_files_size"), sum("added_bytes", "added_delete_bytes"));
    EXPECT_EQ(metrics.at("snapshot.removed_files_size"), sum("removed_bytes", "removed_delete_bytes"));
    EXPECT_EQ(metrics.at("snapshot.total_files_size"), sum("total_bytes", "total_delete_bytes"));
}

class Histories : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, Histories, testing::Values("history_v1", "history_spark", "history_v3"));

TEST_P(Histories, every_commit_is_read_as_its_writer_saw_it_then) {
    const json::value expected = expected_of(GetParam());
    int compared = 0;
    for (const json::value& commit : expected.at("commits").as_array()) {
        const std::string file(commit.at("metadata_file").as_string().c_str());
        const auto report = read_table_report(fmt::format("{}{}/metadata/{}", tables, GetParam(), file));
        ASSERT_TRUE(report) << file << ": " << report.error().text();
        const json::value ours = report_json(*report, 1000);
        if (ours.at("snapshot_id") != commit.at("snapshot_id")) {
            EXPECT_NE(commit.at("ref"), "main") << "a commit of main was its newest snapshot: " << file;
            continue;
        }
        SCOPED_TRACE(file);
        expect_commit(commit, ours);
        ++compared;
    }
    EXPECT_GE(compared, 4);
}

TEST_P(Histories, the_newest_metadata_gives_the_metrics_that_the_writer_tables_give) {
    const json::value expected = expected_of(GetParam());
    const json::value& current = expected.at("current");
    const auto report = read_table_report(tables + GetParam());
    ASSERT_TRUE(report) << report.error().text();
    const json::value ours = report_json(*report, 1000);
    EXPECT_EQ(ours.at("snapshot_id"), current.at("snapshot_id"));
    EXPECT_EQ(ours.at("format_version"), current.at("format_version"));
    EXPECT_EQ(ours.at("partition_count").to_number<std::size_t>(), current.at("partitions").as_array().size());
    const json::object& metrics = ours.at("metrics").as_object();
    for (const auto& [name, value] : current.at("metrics").as_object()) {
        const json::value* found = metrics.if_contains(name);
        if (found == nullptr) continue;
        // A table without a manifest list does not tell how long its manifests are.
        const bool untold = GetParam() == "history_v1" && name.starts_with("manifests.") && name.ends_with("_size");
        if (value.is_null() || untold) {
            EXPECT_TRUE(found->is_null()) << name << ": " << *found;
        } else {
            const auto wanted = value.to_number<double>();
            EXPECT_NEAR(found->to_number<double>(), wanted, 1e-9 * std::abs(wanted)) << name;
        }
    }
}

// DuckDB 1.5.5 leaves replaced deletion vectors out of its summaries, and writes entries DELETED that the parent had as
// DELETED already. What is live, and what was added, is true all the same, and the summary is called wrong.
TEST(DuckDb, a_wrong_summary_and_repeated_deletions_change_no_total) {
    const json::value expected = expected_of("history_duckdb");
    std::vector<bool> wrong;
    for (const json::value& commit : expected.at("commits").as_array()) {
        const std::string file(commit.at("metadata_file").as_string().c_str());
        const auto report = read_table_report(fmt::format("{}history_duckdb/metadata/{}", tables, file));
        ASSERT_TRUE(report) << file << ": " << report.error().text();
        const json::value ours = report_json(*report, 1000);
        ASSERT_EQ(ours.at("snapshot_id"), commit.at("snapshot_id"));
        const json::object& metrics = ours.at("metrics").as_object();
        for (const auto& [name, metric] : counts) EXPECT_EQ(metrics.at(metric), commit.at(name)) << metric;
        if (const json::value* removed = metrics.if_contains("snapshot.removed_delete_files")) {
            EXPECT_EQ(*removed, commit.at("removed_delete_files")) << file;
        }
        wrong.push_back(!ours.at("summary_drift").as_array().empty());
    }
    EXPECT_THAT(wrong, testing::ElementsAre(false, false, false, true, true, true));
}

}  // namespace
}  // namespace signalbox::app
