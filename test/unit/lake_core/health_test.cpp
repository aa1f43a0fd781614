#include "domain/lake/health.hpp"

#include <gmock/gmock.h>

#include "domain/lake/partition_filter.hpp"

namespace signalbox::lake {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

PartitionSpec spec_of(std::string transform, std::string type) {
    return {0, {{1000, 1, "p", std::move(transform), std::move(type), "col"}}};
}

template <typename T>
std::string filter_of(T value, const PartitionSpec& spec) {
    std::vector<PartitionValue> values{{1000, value}};
    std::string key;
    partition_key(values, key);
    return partition_filter(key, spec).value_or("(none)");
}

TEST(PartitionFilter, says_each_transform_by_the_columns_own_literals) {
    const auto number = [](std::int64_t value, const char* transform, const char* type) {
        return filter_of(value, spec_of(transform, type));
    };
    EXPECT_EQ(number(5, "identity", "int"), "col = 5");
    EXPECT_EQ(number(20000, "identity", "date"), "col = DATE '2024-10-04'");
    EXPECT_EQ(number(1'500'000, "identity", "timestamptz"), "col = TIMESTAMP '1970-01-01 00:00:01.500000 UTC'");
    EXPECT_EQ(number(0, "identity", "timestamp"), "col = TIMESTAMP_NTZ '1970-01-01 00:00:00'");
    EXPECT_EQ(number(20000, "day", "timestamptz"),
              "col >= TIMESTAMP '2024-10-04 00:00:00 UTC' AND col < TIMESTAMP '2024-10-05 00:00:00 UTC'");
    EXPECT_EQ(number(20000, "day", "date"), "col = DATE '2024-10-04'");
    EXPECT_EQ(number(-1, "hour", "timestamp"),
              "col >= TIMESTAMP_NTZ '1969-12-31 23:00:00' AND col < TIMESTAMP_NTZ '1970-01-01 00:00:00'");
    EXPECT_EQ(number(-1, "month", "date"), "col >= DATE '1969-12-01' AND col < DATE '1970-01-01'");
    EXPECT_EQ(number(54, "year", "date"), "col >= DATE '2024-01-01' AND col < DATE '2025-01-01'");
    EXPECT_EQ(number(100, "truncate[10]", "int"), "col >= 100 AND col < 110");
    EXPECT_EQ(filter_of(true, spec_of("identity", "boolean")), "col = true");
    const auto text = [](std::string_view value, const char* transform, const char* type) {
        return filter_of(value, spec_of(transform, type));
    };
    EXPECT_EQ(text("it's a \\", "identity", "string"), "col = 'it\\'s a \\\\'");
    EXPECT_EQ(text("ab%", "truncate[3]", "string"), "col LIKE 'ab\\\\%%'");
    EXPECT_EQ(text("ab", "truncate[3]", "string"), "col = 'ab'");
    EXPECT_EQ(text(std::string_view("\x04\xd2", 2), "identity", "decimal(9, 2)"), "col = 12.34");
    EXPECT_EQ(filter_of(std::monostate{}, spec_of("bucket[4]", "string")), "col IS NULL");
    EXPECT_EQ(partition_filter("", {0, {}}), "");
}

TEST(PartitionFilter, says_nothing_where_nothing_can_be_said) {
    EXPECT_EQ(filter_of(std::int64_t{3}, spec_of("bucket[16]", "string")), "(none)");
    EXPECT_EQ(filter_of(std::int64_t{3}, spec_of("zorder", "string")), "(none)");
    EXPECT_EQ(filter_of(std::int64_t{3}, spec_of("identity", "time")), "(none)");
    EXPECT_EQ(filter_of(std::int64_t{INT64_MAX}, spec_of("day", "date")), "(none)");
    EXPECT_EQ(filter_of(std::int64_t{INT64_MIN}, spec_of("hour", "timestamp")), "(none)");
    EXPECT_EQ(filter_of(std::int64_t{INT64_MAX}, spec_of("truncate[10]", "long")), "(none)");
    EXPECT_EQ(filter_of(std::numeric_limits<double>::quiet_NaN(), spec_of("identity", "double")), "(none)");
    PartitionSpec gone = spec_of("identity", "string");
    gone.fields[0].source_name.clear();
    EXPECT_EQ(filter_of(std::string_view("x"), gone), "(none)");
}

TEST(PartitionFilter, names_are_quoted_where_they_need_it) {
    EXPECT_EQ(sql_name("db.orders"), "db.orders");
    EXPECT_EQ(sql_name("db.my orders`"), "db.`my orders```");
    EXPECT_EQ(sql_text("a'b\\"), "'a\\'b\\\\'");
}

// Tables of files of a size each, by region.
struct Sample {
    TableMetadata metadata;
    TableState state;
    HealthOptions options;
    int manifests = 0;

    Sample() {
        metadata.specs = {{0, {{1000, 1, "region", "identity", "string", "region"}}}};
        metadata.properties["write.target-file-size-bytes"] = "1048576";
        options.table = "db.orders";
        options.catalog = "lake";
        options.now_ms = 1'764'450'000'000;
        options.drift = 0;
    }
    void add(std::string_view region, int files, std::int64_t bytes, FileContent content = FileContent::Data,
             std::int64_t sequence = 1) {
        ManifestFile manifest;
        manifest.path = "m" + std::to_string(++manifests);
        manifest.length_bytes = 8000;
        manifest.holds_deletes = content != FileContent::Data;
        AggregateBuilder builder(manifest);
        for (int i = 0; i < files; ++i) {
            ManifestEntry entry;
            const std::string path = manifest.path + "/" + std::to_string(i);
            entry.path = path;
            entry.content = content;
            entry.record_count = 100;
            entry.size_bytes = bytes;
            entry.data_sequence = sequence;
            entry.partition = {{1000, region}};
            ASSERT_TRUE(builder.add(entry, 0));
        }
        ASSERT_TRUE(state.add(builder.finish().value()));
    }
    void add_snapshots(int count, std::int64_t age_days) {
        for (int i = 0; i < count; ++i) {
            Snapshot snapshot;
            snapshot.id = static_cast<std::int64_t>(metadata.snapshots.size()) + 1;
            if (snapshot.id > 1) snapshot.parent_id = snapshot.id - 1;
            snapshot.timestamp_ms = options.now_ms - age_days * 86'400'000 + i;
            metadata.snapshots.push_back(snapshot);
            metadata.current_snapshot_id = snapshot.id;
        }
    }
    Health health() const { return assess(metadata, state, options); }
};

const Advice* find(const Health& health, AdviceKind kind) {
    for (const Advice& advice : health.advice) {
        if (advice.kind == kind) return &advice;
    }
    return nullptr;
}

TEST(Health, a_table_of_full_files_is_perfect_and_needs_no_advice) {
    Sample sample;
    sample.add("eu", 10, 1 << 20);
    sample.add_snapshots(3, 1);
    const Health health = sample.health();
    EXPECT_NEAR(health.score.value(), 100, 0.5);
    EXPECT_THAT(health.advice, IsEmpty());
    EXPECT_THAT(health.partitions, IsEmpty());
}

TEST(Health, an_empty_table_is_perfect_too) {
    const Sample sample;
    EXPECT_EQ(sample.health().score, 100);
    EXPECT_THAT(sample.health().advice, IsEmpty());
}

TEST(Health, small_files_are_counted_where_they_are_and_their_compaction_is_advised) {
    Sample sample;
    sample.add("eu", 100, 64 << 10);
    sample.add("it's", 20, 64 << 10);
    sample.add("us", 50, 1 << 20);
    sample.add("ap", 4, 100);  // too few to be worth it
    const Health health = sample.health();
    ASSERT_EQ(health.partitions.size(), 2U);
    EXPECT_EQ(health.partitions[0].name, "region=eu");
    EXPECT_EQ(health.partitions[0].files_after, 7);
    EXPECT_EQ(health.partitions[0].bytes_to_rewrite, 100 * (64 << 10));
    EXPECT_LT(health.score.value(), 80);
    const Advice* advice = find(health, AdviceKind::CompactPartitions);
    ASSERT_NE(advice, nullptr);
    EXPECT_EQ(advice->count_before, 120);
    EXPECT_EQ(advice->count_after, 9);
    EXPECT_NEAR(advice->gain, 100 - health.score.value(), 1);
    EXPECT_EQ(advice->statement,
              "CALL lake.system.rewrite_data_files(table => 'db.orders', "
              "where => '(region = \\'eu\\') OR (region = \\'it\\\\\\'s\\')')");
    EXPECT_EQ(advice->note, "");
}

TEST(Health, at_most_so_many_partitions_are_listed_and_the_rest_is_counted) {
    Sample sample;
    sample.options.partitions_max = 3;
    for (char region = 'a'; region < 'a' + 10; ++region) sample.add(std::string(1, region), 10, 100);
    const Health health = sample.health();
    EXPECT_EQ(health.partitions.size(), 3U);
    EXPECT_EQ(health.troubled_partitions, 10U);
    EXPECT_THAT(health.advice.front().partitions, ElementsAre("region=a", "region=b", "region=c"));
    EXPECT_THAT(health.advice.front().text, HasSubstr("3 of 10 partitions"));
}

TEST(Health, a_partition_that_no_condition_names_has_a_statement_for_the_whole_table_and_says_so) {
    Sample sample;
    sample.metadata.specs[0].fields[0].transform = "bucket[4]";
    sample.add("eu", 10, 100);
    const Health health = sample.health();
    ASSERT_FALSE(health.advice.empty());
    EXPECT_EQ(health.advice[0].statement, "CALL lake.system.rewrite_data_files(table => 'db.orders')");
    EXPECT_THAT(health.advice[0].note, HasSubstr("for the whole table"));
}

TEST(Health, dangling_deletes_are_advised_away_by_the_procedure_that_can) {
    Sample sample;
    sample.add("eu", 10, 1 << 20, FileContent::Data, 5);
    sample.add("eu", 3, 1000, FileContent::PositionDeletes, 4);
    sample.add("eu", 1, 1000, FileContent::PositionDeletes, 5);
    const Advice* advice = nullptr;
    const Health health = sample.health();
    advice = find(health, AdviceKind::RemoveDanglingDeletes);
    ASSERT_NE(advice, nullptr);
    EXPECT_EQ(advice->count_before, 4);
    EXPECT_EQ(advice->count_after, 1);
    EXPECT_GT(advice->gain, 0);
    EXPECT_THAT(advice->statement, HasSubstr("rewrite_position_delete_files(table => 'db.orders'"));
    sample.add("eu", 1, 1000, FileContent::EqualityDeletes, 5);
    const Health more = sample.health();
    advice = find(more, AdviceKind::RemoveDanglingDeletes);
    ASSERT_NE(advice, nullptr);
    EXPECT_THAT(advice->statement, HasSubstr("'remove-dangling-deletes', 'true'"));
    EXPECT_THAT(advice->note, HasSubstr("1 of them are equality deletes"));
}

TEST(Health, many_small_manifests_old_snapshots_and_metadata_files_are_each_advised_on) {
    Sample sample;
    for (int i = 0; i < 150; ++i) sample.add("eu", 1, 1 << 20);
    sample.add_snapshots(300, 30);
    sample.metadata.metadata_log_count = 500;
    sample.metadata.refs = {{"old", 7, true}};
    const Health health = sample.health();
    const Advice* manifests = find(health, AdviceKind::RewriteManifests);
    ASSERT_NE(manifests, nullptr);
    EXPECT_EQ(manifests->count_before, 150);
    EXPECT_EQ(manifests->count_after, 1);
    const Advice* snapshots = find(health, AdviceKind::ExpireSnapshots);
    ASSERT_NE(snapshots, nullptr);
    EXPECT_EQ(snapshots->count_after, 2) << "main's newest and the tag's";
    EXPECT_EQ(
        snapshots->statement,
        "CALL lake.system.expire_snapshots(table => 'db.orders', older_than => TIMESTAMP '2025-11-24 21:00:00 UTC', "
        "retain_last => 1)");
    const Advice* files = find(health, AdviceKind::LimitMetadataFiles);
    ASSERT_NE(files, nullptr);
    EXPECT_THAT(files->statement, HasSubstr("'write.metadata.previous-versions-max' = '100'"));
    for (std::size_t i = 1; i < health.advice.size(); ++i) EXPECT_GE(health.advice[i - 1].gain, health.advice[i].gain);
}

TEST(Health, what_is_not_known_does_not_count) {
    Sample sample;
    sample.options.drift.reset();
    ManifestFile inline_manifest;
    inline_manifest.path = "inline";
    ASSERT_TRUE(sample.state.add(AggregateBuilder(inline_manifest).finish().value()));
    const Health health = sample.health();
    EXPECT_FALSE(health.parts[2].score) << health.parts[2].name;
    EXPECT_FALSE(health.parts[4].score) << health.parts[4].name;
    EXPECT_EQ(health.score, 100);
    EXPECT_FALSE(health_score({}));
}

}  // namespace
}  // namespace signalbox::lake
