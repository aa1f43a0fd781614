// The program's reading of tables that pyiceberg and Iceberg's Java library wrote, against pyiceberg's own; then the
// same tables moved, re-packed, cut and damaged.

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>

#include "app/cmd_table.hpp"
#include "app/table_report.hpp"
#include "avro_builder.hpp"
#include "base/prng.hpp"
#include "base/text.hpp"

namespace signalbox::app {
namespace {

using base::ErrorKind;
using testing::HasSubstr;
namespace fs = std::filesystem;
namespace json = base::json;

const std::string examples = "examples/tables/";

std::string slurp(const fs::path& path) { return base::read_file(path.string(), 1 << 24).value(); }

void spit(const fs::path& path, std::string_view content) {
    std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
}

// A copy of an example in a folder of its own, gone at the end.
class Copy {
  public:
    explicit Copy(const std::string& name) {
        std::string pattern = (fs::temp_directory_path() / "signalbox-lake-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
        root_ = pattern;
        fs::copy(examples + name, root_ / name, fs::copy_options::recursive);
        table_ = root_ / name;
    }
    ~Copy() { fs::remove_all(root_); }
    Copy(const Copy&) = delete;
    Copy& operator=(const Copy&) = delete;

    const fs::path& table() const { return table_; }
    fs::path metadata_file() const { return only("json").front(); }
    // The metadata files with that extension, of every snapshot, by name.
    std::vector<fs::path> only(const std::string& extension) const {
        std::vector<fs::path> files;
        for (const auto& entry : fs::directory_iterator(table_ / "metadata")) {
            if (entry.path().extension() == "." + extension) files.push_back(entry.path());
        }
        std::sort(files.begin(), files.end());
        return files;
    }

  private:
    fs::path root_;
    fs::path table_;
};

std::string read_json(const std::string& path) {
    const auto report = read_table_report(path);
    if (!report) return "error " + report.error().text();
    json::value value = report_json(*report, 1000);
    value.as_object().erase("metadata_file");
    return base::pretty_json(value);
}

json::value expected_of(const std::string& name) {
    return base::parse_json(slurp(examples + name + ".expected.json")).value();
}

double number(const json::value& value) {
    return value.is_double() ? value.get_double() : static_cast<double>(value.as_int64());
}

class Examples : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, Examples,
                         testing::Values("orders", "evolved", "plain_v1", "empty", "merge_on_read",
                                         "deletion_vectors"));

TEST_P(Examples, metrics_equal_those_of_pyiceberg) {
    const auto report = read_table_report(examples + GetParam());
    ASSERT_TRUE(report) << report.error().text();
    const json::value ours = report_json(*report, 1000);
    const json::value theirs = expected_of(GetParam());
    EXPECT_EQ(ours.at("snapshot_id"), theirs.at("snapshot_id"));
    EXPECT_EQ(ours.at("format_version"), theirs.at("format_version"));
    EXPECT_EQ(ours.at("table"), GetParam());
    EXPECT_EQ(ours.at("metrics").as_object().size(), 61U);
    for (const auto& [name, value] : theirs.at("metrics").as_object()) {
        const json::value& found = ours.at("metrics").at(name);
        if (value.is_null()) {
            EXPECT_TRUE(found.is_null()) << name << found;
        } else {
            ASSERT_FALSE(found.is_null()) << name;
            EXPECT_NEAR(number(found), number(value), 1e-9 * std::abs(number(value))) << name;
        }
    }
    EXPECT_TRUE(ours.at("summary_drift").as_array().empty()) << ours.at("summary_drift");
}

TEST_P(Examples, partitions_equal_those_of_pyiceberg) {
    const auto report = read_table_report(examples + GetParam());
    ASSERT_TRUE(report) << report.error().text();
    const json::value theirs = expected_of(GetParam());
    using Row = std::tuple<std::int64_t, std::int64_t>;
    std::vector<Row> found, expected;
    for (const lake::PartitionMetrics& partition : report->metrics.partitions) {
        found.emplace_back(partition.record_count, partition.file_count);
    }
    for (const json::value& partition : theirs.at("partitions").as_array()) {
        expected.emplace_back(partition.at("record_count").as_int64(), partition.at("file_count").as_int64());
    }
    EXPECT_THAT(found, testing::UnorderedElementsAreArray(expected));
}

TEST(ExamplePartitions, have_the_names_of_their_values) {
    const auto report = read_table_report(examples + "orders");
    ASSERT_TRUE(report) << report.error().text();
    std::map<std::string, std::int64_t> found, expected;
    for (const auto& partition : report->metrics.partitions) found[partition.name] = partition.record_count;
    const json::value theirs = expected_of("orders");
    for (const json::value& row : theirs.at("partitions").as_array()) {
        const json::value& values = row.at("partition");
        expected[fmt::format("ordered_day={}/region={}", values.at("ordered_day").as_string().c_str(),
                             values.at("region").as_string().c_str())] = row.at("record_count").as_int64();
    }
    EXPECT_EQ(found, expected);
}

TEST_P(Examples, a_moved_table_reads_the_same_by_folder_metadata_folder_and_file) {
    const Copy copy(GetParam());
    const std::string original = read_json(examples + GetParam());
    EXPECT_THAT(original, HasSubstr("\"metrics\""));
    EXPECT_EQ(read_json(copy.table().string()), original);
    EXPECT_EQ(read_json(copy.table().string() + "/"), original);
    EXPECT_EQ(read_json((copy.table() / "metadata").string()), original);
    EXPECT_EQ(read_json(copy.metadata_file().string()), original);
}

TEST_P(Examples, packed_metadata_reads_the_same) {
    const std::string original = read_json(examples + GetParam());
    using Pack = std::string (*)(std::string_view);
    const std::vector<std::pair<std::string, Pack>> forms{{"00009-x.gz.metadata.json", &test::gzip},
                                                          {"00009-x.metadata.json.gz", &test::gzip},
                                                          {"00009-x.zst.metadata.json", &test::zstd}};
    for (const auto& [name, pack] : forms) {
        const Copy copy(GetParam());
        fs::remove(copy.table() / "metadata/version-hint.text");
        const fs::path file = copy.metadata_file();
        if (slurp(file).front() != '{') continue;  // its writer packed it
        spit(file.parent_path() / name, pack(slurp(file)));
        fs::remove(file);
        EXPECT_EQ(read_json(copy.table().string()), original) << name;
    }
}

// Every cut of every Avro file of the table must be an error, since a whole file is known by its length (manifests) or
// by what the summary says of it (an emptied list).
TEST_P(Examples, a_file_cut_short_anywhere_is_an_error_that_names_file_and_byte) {
    const Copy copy(GetParam());
    const std::string good = read_json(copy.table().string());
    const std::string metrics =
        base::pretty_json(report_json(read_table_report(copy.table().string()).value(), 1000).at("metrics"));
    for (const fs::path& file : copy.only("avro")) {
        const std::string content = slurp(file);
        spit(file, "");
        if (const auto report = read_table_report(copy.table().string())) {  // of an older snapshot, or of the parent
            EXPECT_EQ(base::pretty_json(report_json(*report, 1000).at("metrics")), metrics);
            EXPECT_TRUE(report->truth == lake::Truth::Difference || !report->notes.empty());
            spit(file, content);
            continue;
        }
        for (std::size_t size = 0; size < content.size(); size += 1 + size / 20) {
            spit(file, std::string_view(content).substr(0, size));
            EXPECT_THAT(read_json(copy.table().string()),
                        testing::AllOf(testing::StartsWith("error " + file.string()), HasSubstr("at byte ")))
                << size;
        }
        spit(file, content);
    }
    EXPECT_EQ(read_json(copy.table().string()), good);
}

// Avro has no checksum of its own. What must hold for any flipped bit: no crash, and no count that differs silently.
TEST_P(Examples, a_flipped_bit_is_an_error_or_changes_no_count_silently) {
    const Copy copy(GetParam());
    const std::string path = copy.table().string();
    const auto good = read_table_report(path);
    ASSERT_TRUE(good);
    base::Prng prng(23);
    int errors = 0;
    for (const fs::path& file : copy.only("avro")) {
        const std::string content = slurp(file);
        spit(file, "");
        if (read_table_report(path)) continue;
        for (int i = 0; i < 150; ++i) {
            std::string damaged = content;
            const std::size_t at = prng.below(damaged.size());
            damaged[at] = static_cast<char>(damaged[at] ^ (1 << prng.below(8)));
            spit(file, damaged);
            const auto found = read_table_report(path);
            if (!found) {
                ++errors;
                // A damaged list leads to a path that is not there: then that is the file to name.
                EXPECT_THAT(found.error().text(), HasSubstr(copy.table().parent_path().string()));
                continue;
            }
            if (!found->metrics.drift.empty() || !found->notes.empty()) continue;  // it is said
            EXPECT_EQ(base::pretty_json(report_json(*found, 1000)), base::pretty_json(report_json(*good, 1000)))
                << file << " byte " << at;
        }
        spit(file, content);
    }
    if (!copy.only("avro").empty()) {
        EXPECT_GT(errors, 50);
    }
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    EXPECT_NE(text.find(from), std::string::npos) << from;
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
        text.replace(at, from.size(), to);
    }
    return text;
}

TEST(Table, inline_manifests_of_version_1_are_read_and_what_they_do_not_tell_is_unknown) {
    const Copy copy("plain_v1");
    const fs::path file = copy.metadata_file();
    json::value metadata = base::parse_json(slurp(file)).value();
    json::array manifests;
    const std::string location(metadata.at("location").as_string().c_str());
    for (const fs::path& avro : copy.only("avro")) {
        if (avro.filename().string().rfind("snap-", 0) == 0) continue;
        manifests.emplace_back(location + "/metadata/" + avro.filename().string());
    }
    for (json::value& snapshot : metadata.at("snapshots").as_array()) {
        snapshot.as_object().erase("manifest-list");
        snapshot.as_object()["manifests"] = manifests;
    }
    spit(file, json::serialize(metadata));
    const auto report = read_table_report(copy.table().string());
    ASSERT_TRUE(report) << report.error().text();
    const json::value ours = report_json(*report, 10);
    EXPECT_EQ(ours.at("metrics").at("snapshot.total_records"), 1043);
    EXPECT_EQ(ours.at("metrics").at("files.max_record_count"), 1000);
}

TEST(Table, the_version_hint_leads_and_a_later_commit_is_still_found) {
    const Copy copy("plain_v1");
    const fs::path first = copy.metadata_file();
    const fs::path folder = first.parent_path();
    const std::string newest = slurp(first);
    spit(folder / "v1.metadata.json",
         slurp(examples + "empty/metadata/" +
               fs::directory_iterator(examples + "empty/metadata")->path().filename().string()));
    fs::remove(first);
    spit(folder / "v2.metadata.json", newest);
    spit(folder / "v9.metadata.json", "not reached");
    spit(folder / "version-hint.text", "1\n");
    EXPECT_EQ(read_json(copy.table().string()), read_json(examples + "plain_v1"));
    spit(folder / "version-hint.text", "v1.metadata.json");
    EXPECT_EQ(read_json(copy.table().string()), read_json(examples + "empty"));
    fs::remove(folder / "version-hint.text");
    EXPECT_THAT(read_json(copy.table().string()), HasSubstr("v9.metadata.json: not JSON"));
}

TEST(Table, of_two_files_with_the_highest_version_the_later_is_taken_and_said) {
    const Copy copy("plain_v1");
    const fs::path file = copy.metadata_file();
    const std::string text = slurp(file);
    const std::string stamp =
        fmt::format("\"last-updated-ms\":{}", base::parse_json(text)->at("last-updated-ms").as_int64());
    spit(file.parent_path() / "00003-aaaa.metadata.json", replaced(text, stamp, "\"last-updated-ms\":1"));
    const auto report = read_table_report(copy.table().string());
    ASSERT_TRUE(report) << report.error().text();
    EXPECT_EQ(report->metadata_file, file.string());
    EXPECT_THAT(report->metadata.notes, testing::ElementsAre(HasSubstr("share the highest version")));
}

TEST(Table, errors_name_what_is_missing_or_out_of_place) {
    EXPECT_THAT(read_json("/nowhere/at-all"), HasSubstr("error /nowhere/at-all: there is no such"));
    const Copy copy("orders");
    const std::string path = copy.table().string();
    const fs::path file = copy.metadata_file();
    const std::string text = slurp(file);
    const std::string location(base::parse_json(text)->at("location").as_string().c_str());

    spit(file, replaced(text, "\"location\":\"" + location + "\"", "\"location\":\"s3://elsewhere/t\""));
    EXPECT_THAT(read_json(path), HasSubstr("is not below the table's location 's3://elsewhere/t'"));
    spit(file, replaced(text, location + "/metadata/snap-", location + "/metadata/../../../snap-"));
    EXPECT_THAT(read_json(path), HasSubstr("leaves the table's folder"));
    // The same place in other words is the same place.
    spit(file, replaced(text, "\"location\":\"" + location + "\"",
                        "\"location\":\"" + replaced(location, "file://", "file:") + "//\""));
    EXPECT_THAT(read_json(path), HasSubstr("\"metrics\""));
    spit(file, replaced(text, "\"format-version\":2", "\"format-version\":4"));
    EXPECT_THAT(read_json(path), HasSubstr("format version 4 is not supported"));
    spit(file, text.substr(0, text.size() / 2));
    EXPECT_THAT(read_json(path), HasSubstr(file.string() + ": not JSON"));
    fs::remove(file);
    EXPECT_THAT(read_json(path), HasSubstr("holds no Iceberg metadata"));
}

TEST(Table, a_missing_manifest_is_an_error_never_a_smaller_table) {
    const Copy copy("orders");
    const std::string path = copy.table().string();
    int missed = 0;
    for (const fs::path& file : copy.only("avro")) {
        const std::string content = slurp(file);
        fs::remove(file);
        const auto report = read_table_report(path);
        spit(file, content);
        if (report) continue;
        ++missed;
        EXPECT_THAT(report.error().text(), HasSubstr(file.string() + ": cannot read"));
        EXPECT_EQ(base::exit_code(report.error().kind), 3);
    }
    EXPECT_GE(missed, 5);
}

TEST(Table, a_manifest_of_another_length_is_refused_even_if_it_reads_the_same) {
    const Copy copy("orders");
    int refused = 0;
    for (const fs::path& file : copy.only("avro")) {
        if (file.filename().string().rfind("snap-", 0) == 0) continue;
        const std::string content = slurp(file);
        const std::string nothing = test::deflate("");
        const std::string empty_block = test::avro_long(0) +
                                        test::avro_long(static_cast<std::int64_t>(nothing.size())) + nothing +
                                        content.substr(content.size() - 16);
        spit(file, content + empty_block);
        const std::string read = read_json(copy.table().string());
        if (read.rfind("error", 0) == 0) {
            ++refused;
            EXPECT_THAT(read, HasSubstr(fmt::format("it has {} bytes: it is cut short or replaced", content.size())));
        }
        spit(file, content);
    }
    EXPECT_GE(refused, 5);
}

struct Outcome {
    int status = -1;
    std::string out;
    std::string err;
};

Outcome run(std::vector<std::string> arguments) {
    CLI::App app("signalbox");
    Outcome result;
    register_table(app, result.status);
    std::reverse(arguments.begin(), arguments.end());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    try {
        app.parse(arguments);
    } catch (const CLI::ParseError&) {
        result.status = 2;
    }
    result.out = testing::internal::GetCapturedStdout();
    result.err = testing::internal::GetCapturedStderr();
    return result;
}

TEST(TableCommand, prints_tables_for_people_and_json_for_programs) {
    const Outcome people = run({"table", "metrics", examples + "orders", "--partitions", "3"});
    EXPECT_EQ(people.status, 0) << people.err;
    EXPECT_THAT(people.out, HasSubstr("Table orders, Iceberg version 2"));
    EXPECT_THAT(people.out, HasSubstr("and 11 more; --partitions 14 shows all"));
    EXPECT_THAT(run({"table", "metrics", examples + "empty"}).out, HasSubstr("unknown"));
    const Outcome programs = run({"table", "metrics", examples + "orders", "--output", "json", "--partitions", "3"});
    const json::value value = base::parse_json(programs.out).value();
    EXPECT_EQ(value.at("partitions").as_array().size(), 3U);
    EXPECT_EQ(value.at("partition_count"), 14);
}

TEST(TableCommand, exit_codes_tell_usage_from_a_bad_table) {
    EXPECT_EQ(run({"table", "metrics"}).status, 2);
    EXPECT_EQ(run({"table", "metrics", examples + "orders", "--output", "xml"}).status, 2);
    EXPECT_EQ(run({"table", "metrics", examples + "orders", "--partitions", "-1"}).status, 2);
    const Outcome missing = run({"table", "metrics", "/nowhere/at-all"});
    EXPECT_EQ(missing.status, 3);
    EXPECT_EQ(missing.err, "signalbox: /nowhere/at-all: there is no such file or folder\n");
    const Copy copy("orders");
    const std::vector<fs::path> files = copy.only("avro");
    for (const fs::path& file : files) spit(file, slurp(file).substr(0, 300));
    const Outcome cut = run({"table", "metrics", copy.table().string(), "--output", "json"});
    EXPECT_EQ(cut.status, 3);
    EXPECT_EQ(cut.out, "");
    EXPECT_THAT(cut.err, HasSubstr("at byte"));
}

}  // namespace
}  // namespace signalbox::app
