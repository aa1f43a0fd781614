#include "domain/lake/metadata.hpp"

#include <gmock/gmock.h>

namespace signalbox::lake {
namespace {

using base::ErrorKind;
using testing::HasSubstr;

constexpr std::string_view small_table = R"({"format-version":2,"location":"s3://b/t","last-updated-ms":1,
    "last-sequence-number":2,"current-snapshot-id":3055729675574597004,"partition-specs":[{"spec-id":0,"fields":[]}],
    "snapshots":[{"snapshot-id":3055729675574597004,"timestamp-ms":5,"sequence-number":2,"manifest-list":"s3://b/t/metadata/l.avro",
                  "summary":{"operation":"append","total-records":"7"}}],"unknown":{"later":true}})";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    text.replace(text.find(from), from.size(), to);
    return text;
}

TEST(Metadata, is_read_and_faults_are_named) {
    const std::string good(small_table);
    const auto metadata = parse_table_metadata(good);
    ASSERT_TRUE(metadata) << metadata.error().text();
    ASSERT_NE(metadata->current_snapshot(), nullptr);
    EXPECT_EQ(metadata->current_snapshot()->summary.at("total-records"), "7");
    const auto error = [&](const std::string& from, const std::string& to) {
        const auto parsed = parse_table_metadata(replaced(good, from, to));
        return parsed ? std::string() : parsed.error().text();
    };
    EXPECT_THAT(error("\"format-version\":2", "\"format-version\":4"), HasSubstr("version 4 is not supported"));
    EXPECT_EQ(error("\"format-version\":2", "\"format-version\":3"), "");
    EXPECT_THAT(error("\"location\"", "\"place\""), HasSubstr("'location' is missing"));
    EXPECT_THAT(error("\"timestamp-ms\":5", "\"timestamp-ms\":\"5\""),
                HasSubstr("snapshot 3055729675574597004: 'timestamp-ms'"));
    EXPECT_THAT(error("\"manifest-list\":\"s3", "\"list\":\"s3"), HasSubstr("'manifest-list' is missing"));
    EXPECT_THAT(error("}]", "]"), HasSubstr("not JSON"));
    EXPECT_THAT(error("\"last-sequence-number\":2", "\"last-sequence-number\":9").c_str(), testing::StrEq(""));
}

TEST(Metadata, a_table_without_a_snapshot_is_fine_however_it_says_so) {
    const std::string id = "\"current-snapshot-id\":3055729675574597004";
    for (const char* other : {"\"current-snapshot-id\":-1", "\"current-snapshot-id\":null", "\"nothing\":0"}) {
        const auto metadata = parse_table_metadata(replaced(std::string(small_table), id, other));
        ASSERT_TRUE(metadata) << metadata.error().text();
        EXPECT_EQ(metadata->current_snapshot(), nullptr);
    }
}

TEST(Metadata, a_rounded_current_id_is_the_only_one_that_rounds_to_it_and_said) {
    const std::string rounded = replaced(std::string(small_table), "\"current-snapshot-id\":3055729675574597004",
                                         "\"current-snapshot-id\":3.055729675574597e18");
    const auto metadata = parse_table_metadata(rounded);
    ASSERT_TRUE(metadata) << metadata.error().text();
    EXPECT_EQ(metadata->current_snapshot_id, 3055729675574597004);
    EXPECT_THAT(metadata->notes, testing::ElementsAre(HasSubstr("rounded to a double the ids are the same")));
    EXPECT_EQ(metadata->snapshot(3055729675574597120)->id, 3055729675574597004);
    EXPECT_EQ(metadata->snapshot(3055729675574590000), nullptr);
}

TEST(Metadata, a_current_id_that_nothing_has_is_found_by_sequence_number_and_said) {
    const std::string rounded =
        replaced(std::string(small_table), "\"current-snapshot-id\":3055729675574597004", "\"current-snapshot-id\":77");
    const auto metadata = parse_table_metadata(rounded);
    ASSERT_TRUE(metadata) << metadata.error().text();
    EXPECT_EQ(metadata->current_snapshot_id, 3055729675574597004);
    EXPECT_THAT(metadata->notes, testing::ElementsAre(HasSubstr("by its sequence number 2")));
    EXPECT_THAT(parse_table_metadata(replaced(rounded, "\"last-sequence-number\":2", "\"last-sequence-number\":9"))
                    .error()
                    .text(),
                HasSubstr("no snapshot has that id"));
}

// Two snapshots whose ids are the same once rounded, and a third.
constexpr std::string_view versions = R"({"format-version":2,"location":"s3://b/t","last-updated-ms":1,
    "last-sequence-number":3,"current-snapshot-id":3055729675574598000,"current-schema-id":4,"default-spec-id":1,"default-sort-order-id":0,
    "partition-specs":[{"spec-id":0,"fields":[]},{"spec-id":1,"fields":[]}],
    "refs":{"main":{"snapshot-id":3055729675574598000,"type":"branch"},"audit":{"snapshot-id":3055729675574597004,"type":"branch"},
            "old":{"snapshot-id":3055729675574597005,"type":"tag"},"gone":{"snapshot-id":5,"type":"tag"}},
    "snapshot-log":[{"timestamp-ms":5,"snapshot-id":3055729675574597004},{"timestamp-ms":6,"snapshot-id":1}],
    "metadata-log":[{"timestamp-ms":1,"metadata-file":"a"},{"timestamp-ms":2,"metadata-file":"b"}],
    "snapshots":[{"snapshot-id":3055729675574597004,"timestamp-ms":5,"sequence-number":1,"manifest-list":"l1","schema-id":3},
                 {"snapshot-id":3055729675574597005,"timestamp-ms":6,"sequence-number":2,"manifest-list":"l2",
                  "parent-snapshot-id":3055729675574597004},
                 {"snapshot-id":3055729675574598000,"timestamp-ms":7,"sequence-number":3,"manifest-list":"l3",
                  "parent-snapshot-id":3055729675574597100}]})";

TEST(Metadata, references_logs_and_current_ids_are_read) {
    const auto metadata = parse_table_metadata(versions);
    ASSERT_TRUE(metadata) << metadata.error().text();
    ASSERT_EQ(metadata->refs.size(), 3U);
    EXPECT_EQ(metadata->refs[0].name, "audit");
    EXPECT_EQ(metadata->refs[2].name, "old");
    EXPECT_TRUE(metadata->refs[2].tag);
    EXPECT_THAT(metadata->notes, testing::ElementsAre(HasSubstr("'gone': no snapshot has its id 5")));
    ASSERT_EQ(metadata->snapshot_log.size(), 2U);
    EXPECT_EQ(metadata->snapshot_log[1].snapshot_id, 1) << "an expired one stays as it is";
    EXPECT_EQ(metadata->metadata_log_count, 2);
    EXPECT_EQ(metadata->current_schema_id, 4);
    EXPECT_EQ(metadata->default_spec_id, 1);
    EXPECT_EQ(metadata->default_sort_order_id, 0);
    EXPECT_EQ(metadata->snapshots[0].schema_id, 3);
    EXPECT_EQ(metadata->snapshots[2].parent_id, 3055729675574597100) << "two ids round to it: neither is taken";
}

TEST(Metadata, a_rounded_parent_or_reference_is_mended_where_only_one_can_be_meant) {
    std::string text = replaced(std::string(versions), "\"snapshot-id\":3055729675574597005,\"timestamp",
                                "\"snapshot-id\":3055729675574612345,\"timestamp");
    text =
        replaced(text, "\"old\":{\"snapshot-id\":3055729675574597005", "\"old\":{\"snapshot-id\":3055729675574612400");
    const auto metadata = parse_table_metadata(text);
    ASSERT_TRUE(metadata) << metadata.error().text();
    EXPECT_EQ(metadata->snapshots[2].parent_id, 3055729675574597004);
    EXPECT_EQ(metadata->refs[2].snapshot_id, 3055729675574612345);
    EXPECT_THAT(metadata->notes, testing::Contains(HasSubstr("2 ids of snapshots had been rounded")));
}

TEST(Metadata, a_snapshot_that_is_named_twice_is_refused) {
    const auto metadata =
        parse_table_metadata(replaced(std::string(versions), "\"snapshot-id\":3055729675574597005,\"timestamp",
                                      "\"snapshot-id\":3055729675574598000,\"timestamp"));
    ASSERT_FALSE(metadata);
    EXPECT_EQ(metadata.error().kind, ErrorKind::CorruptData);
    EXPECT_THAT(metadata.error().text(), HasSubstr("two snapshots with the id 3055729675574598000"));
}

TEST(Metadata, version_1_tells_its_schema_and_spec_in_its_own_way) {
    const auto metadata = parse_table_metadata(
        R"({"format-version":1,"location":"/t","last-updated-ms":1,"schema":{"type":"struct","schema-id":0,"fields":[]},"partition-spec":[]})");
    ASSERT_TRUE(metadata) << metadata.error().text();
    EXPECT_EQ(metadata->current_schema_id, 0);
    EXPECT_EQ(metadata->default_spec_id, 0);
    EXPECT_FALSE(metadata->default_sort_order_id);
    EXPECT_EQ(metadata->metadata_log_count, 0);
}

}  // namespace
}  // namespace signalbox::lake
