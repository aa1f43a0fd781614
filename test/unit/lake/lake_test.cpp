#include <cmath>
#include <gmock/gmock.h>

#include "base/prng.hpp"
#include "domain/lake/metrics.hpp"

namespace signalbox::lake {
namespace {

using base::ErrorKind;
using testing::HasSubstr;

// The textbook's two passes, in long double.
struct TwoPass {
    long double deviation = 0;
    long double skew = 0;
};
TwoPass two_pass(const std::vector<std::int64_t>& values) {
    const auto n = static_cast<long double>(values.size());
    long double mean = 0, m2 = 0, m3 = 0;
    for (const auto value : values) mean += static_cast<long double>(value) / n;
    for (const auto value : values) {
        const long double d = static_cast<long double>(value) - mean;
        m2 += d * d / n;
        m3 += d * d * d / n;
    }
    return {std::sqrt(m2 * n / (n - 1)), std::sqrt(n * (n - 1)) / (n - 2) * m3 / std::pow(m2, 1.5L)};
}

TEST(PowerSums, agree_with_two_passes_also_far_from_zero) {
    base::Prng prng(5);
    for (const std::int64_t offset : {std::int64_t{0}, std::int64_t{1'000'000}, std::int64_t{4'000'000'000}}) {
        std::vector<std::int64_t> values;
        PowerSums sums;
        for (int i = 0; i < 1000; ++i) {
            values.push_back(offset + static_cast<std::int64_t>(prng.below(1 + prng.below(5000))));
            sums.add(values.back());
        }
        const TwoPass expected = two_pass(values);
        EXPECT_NEAR(sums.deviation().value(), static_cast<double>(expected.deviation),
                    1e-9 * static_cast<double>(expected.deviation));
        EXPECT_NEAR(sums.skew().value(), static_cast<double>(expected.skew), 1e-6);
    }
}

TEST(PowerSums, what_is_added_and_taken_away_leaves_no_trace) {
    PowerSums whole, part;
    for (const std::int64_t value : {1, 5, 9}) whole.add(value);
    const auto skew = whole.skew();
    for (const std::int64_t value : {1'000'000'000'000, 7L}) part.add(value);
    whole.add(part);
    EXPECT_NE(whole.skew(), skew);
    whole.subtract(part);
    EXPECT_EQ(whole.skew(), skew);
    EXPECT_EQ(whole.count(), 3);
}

TEST(PowerSums, too_few_values_are_undefined_and_equal_ones_are_not_skewed) {
    PowerSums sums;
    EXPECT_FALSE(sums.mean());
    sums.add(7);
    EXPECT_EQ(sums.mean(), 7.0);
    EXPECT_FALSE(sums.deviation());
    sums.add(7);
    EXPECT_EQ(sums.deviation(), 0.0);
    EXPECT_FALSE(sums.skew());
    sums.add(7);
    EXPECT_EQ(sums.skew(), 0.0);
}

TEST(PowerSums, an_overflow_is_unknown_not_wrong) {
    PowerSums sums;
    for (int i = 0; i < 3; ++i) sums.add(INT64_MAX - i);
    EXPECT_FALSE(sums.mean());
    EXPECT_FALSE(sums.deviation());
    EXPECT_FALSE(sums.skew());
}

PartitionSpec one_field(std::string transform, std::string type) {
    return {0, {{1000, 1, "p", std::move(transform), std::move(type)}}};
}

template <typename T>
std::string name_of(T value, const PartitionSpec& spec) {
    std::vector<PartitionValue> values(1);
    values[0].field_id = 1000;
    values[0].value = value;
    std::string key;
    partition_key(values, key);
    return partition_name(key, spec);
}

TEST(Partition, names_are_what_people_write) {
    const auto integer = [](std::int64_t value, const char* transform, const char* type) {
        return name_of(value, one_field(transform, type));
    };
    EXPECT_EQ(integer(20000, "day", "timestamp"), "p=2024-10-04");
    EXPECT_EQ(integer(-1, "identity", "date"), "p=1969-12-31");
    EXPECT_EQ(integer(54, "year", "date"), "p=2024");
    EXPECT_EQ(integer(-1, "month", "date"), "p=1969-12");
    EXPECT_EQ(integer(648, "month", "date"), "p=2024-01");
    EXPECT_EQ(integer(-1, "hour", "timestamp"), "p=1969-12-31-23");
    EXPECT_EQ(integer(1'500'000, "identity", "timestamptz"), "p=1970-01-01T00:00:01.500000");
    EXPECT_EQ(integer(61'000'000, "identity", "time"), "p=00:01:01");
    EXPECT_EQ(integer(7, "bucket[16]", "string"), "p=7");
    EXPECT_EQ(integer(INT64_MIN, "day", "date"), "p=-9223372036854775808");
    EXPECT_EQ(integer(INT64_MAX, "hour", "timestamp").substr(0, 2), "p=");
    EXPECT_EQ(name_of(true, one_field("identity", "boolean")), "p=true");
    EXPECT_EQ(name_of(0.5, one_field("identity", "double")), "p=0.5");
    const auto text = [](std::string_view value, const char* transform, const char* type) {
        return name_of(value, one_field(transform, type));
    };
    EXPECT_EQ(text("a/b=c%\n", "identity", "string"), "p=a%2Fb%3Dc%25%0A");
    EXPECT_EQ(text("null", "identity", "string"), "p=%6Eull");
    EXPECT_EQ(text("\xff", "identity", "string"), "p=ff");
    EXPECT_EQ(text("\x01\x00", "identity", "binary"), "p=01");
    EXPECT_EQ(text(std::string_view("\xff\x38", 2), "identity", "decimal(9, 2)"), "p=-2.00");
    EXPECT_EQ(text("\x05", "identity", "decimal(9,2)"), "p=0.05");
    EXPECT_EQ(text("0123456789abcdef", "identity", "uuid"), "p=30313233-3435-3637-3839-616263646566");
    EXPECT_EQ(name_of(std::monostate{}, one_field("identity", "string")), "p=null");
    EXPECT_EQ(partition_name("", PartitionSpec{}), "(unpartitioned)");
}

TEST(Partition, keys_do_not_depend_on_order_and_nulls_do_not_count) {
    std::vector<PartitionValue> a(3), b(2);
    a[0] = {1001, std::string_view("x")};
    a[1] = {1000, std::int64_t{1}};
    a[2] = {1002, std::monostate{}};
    b[0] = {1000, std::int64_t{1}};
    b[1] = {1001, std::string_view("x")};
    std::string key_a, key_b;
    partition_key(a, key_a);
    partition_key(b, key_b);
    EXPECT_EQ(key_a, key_b);
    b[0].value = 1.0;
    partition_key(b, key_b);
    EXPECT_NE(key_a, key_b);
}

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

TEST(Metadata, a_rounded_current_id_is_found_by_sequence_number_and_said) {
    const std::string rounded = replaced(std::string(small_table), "\"current-snapshot-id\":3055729675574597004",
                                         "\"current-snapshot-id\":3.055729675574597e18");
    const auto metadata = parse_table_metadata(rounded);
    ASSERT_TRUE(metadata) << metadata.error().text();
    EXPECT_EQ(metadata->current_snapshot_id, 3055729675574597004);
    EXPECT_THAT(metadata->notes, testing::ElementsAre(HasSubstr("by its sequence number 2")));
    EXPECT_THAT(parse_table_metadata(replaced(rounded, "\"last-sequence-number\":2", "\"last-sequence-number\":9"))
                    .error()
                    .text(),
                HasSubstr("no snapshot has that id"));
}

// A table of one unpartitioned spec, to be filled with entries.
struct Sample {
    TableMetadata metadata = parse_table_metadata(small_table).value();
    const Snapshot& snapshot = *metadata.current_snapshot();
    TableTotals totals{snapshot.id};
    ManifestFile manifest;

    base::Status add(std::vector<ManifestEntry> entries) {
        manifest.path += "m";
        SB_CHECK(totals.begin_manifest(manifest));
        for (ManifestEntry& entry : entries) SB_CHECK(totals.add(entry, 0));
        return totals.end_manifest();
    }
    ManifestEntry entry(EntryStatus status, std::int64_t records, std::int64_t bytes) const {
        ManifestEntry e;
        e.status = status;
        e.snapshot_id = snapshot.id;
        e.path = "s3://b/t/data/f";
        e.record_count = records;
        e.size_bytes = bytes;
        return e;
    }
    MetricValue metric(std::string_view name) const {
        for (const Metric& m : compute_metrics(metadata, &snapshot, &totals).metrics) {
            if (m.name == name) return m.value;
        }
        return {};
    }
};

TEST(Totals, a_deletion_in_a_manifest_that_this_snapshot_wrote_is_its_own_also_under_the_id_of_the_adding_snapshot) {
    Sample sample;
    sample.manifest.added_snapshot_id = sample.snapshot.id;
    ManifestEntry removed = sample.entry(EntryStatus::Deleted, 3, 50);
    removed.snapshot_id = sample.snapshot.id - 1;
    ASSERT_TRUE(sample.add({removed}));
    sample.manifest.added_snapshot_id = sample.snapshot.id - 1;
    ASSERT_TRUE(sample.add({removed}));
    EXPECT_EQ(sample.metric("snapshot.deleted_records"), MetricValue(std::int64_t{3}));
}

TEST(Totals, data_and_delete_files_are_kept_apart) {
    Sample sample;
    ASSERT_TRUE(sample.add({sample.entry(EntryStatus::Added, 7, 100), sample.entry(EntryStatus::Deleted, 3, 50)}));
    sample.manifest.holds_deletes = true;
    ManifestEntry deletes = sample.entry(EntryStatus::Added, 2, 10);
    deletes.content = FileContent::PositionDeletes;
    ManifestEntry equality = sample.entry(EntryStatus::Added, 4, 20);
    equality.content = FileContent::EqualityDeletes;
    ASSERT_TRUE(sample.add({deletes, equality}));
    EXPECT_EQ(sample.metric("snapshot.total_records"), MetricValue(std::int64_t{7}));
    EXPECT_EQ(sample.metric("snapshot.total_data_files"), MetricValue(std::int64_t{1}));
    EXPECT_EQ(sample.metric("snapshot.total_delete_files"), MetricValue(std::int64_t{2}));
    EXPECT_EQ(sample.metric("snapshot.added_position_deletes"), MetricValue(std::int64_t{2}));
    EXPECT_EQ(sample.metric("snapshot.added_files_size"), MetricValue(std::int64_t{130}));
    EXPECT_EQ(sample.metric("snapshot.deleted_records"), MetricValue(std::int64_t{3}));
    EXPECT_EQ(sample.metric("snapshot.removed_files_size"), MetricValue(std::int64_t{50}));
    EXPECT_EQ(sample.metric("files.avg_file_size"), MetricValue(100.0));
    EXPECT_EQ(sample.metric("partitions.deviation_record_count"), MetricValue());
    EXPECT_TRUE(compute_metrics(sample.metadata, &sample.snapshot, &sample.totals).drift.empty());
}

TEST(Totals, a_summary_that_lies_is_shown_as_drift) {
    Sample sample;
    ASSERT_TRUE(sample.add({sample.entry(EntryStatus::Added, 8, 100)}));
    const auto drift = compute_metrics(sample.metadata, &sample.snapshot, &sample.totals).drift;
    ASSERT_EQ(drift.size(), 1U);
    EXPECT_EQ(drift[0].field, "total-records");
    EXPECT_EQ(drift[0].summary, "7");
    EXPECT_EQ(drift[0].manifests, 8);
}

TEST(Totals, an_entry_of_an_unknown_snapshot_makes_the_changes_unknown_but_not_the_totals) {
    Sample sample;
    ManifestEntry entry = sample.entry(EntryStatus::Added, 7, 100);
    entry.snapshot_id.reset();
    ASSERT_TRUE(sample.add({entry}));
    EXPECT_EQ(sample.metric("snapshot.added_records"), MetricValue());
    EXPECT_EQ(sample.metric("snapshot.total_records"), MetricValue(std::int64_t{7}));
}

TEST(Totals, what_cannot_be_true_is_refused) {
    const auto refused = [](const ManifestEntry& entry) {
        Sample sample;
        const auto status = sample.add({entry});
        return status ? std::string() : status.error().text();
    };
    const Sample sample;
    EXPECT_THAT(refused(sample.entry(EntryStatus::Added, -1, 1)), HasSubstr("impossible record count -1"));
    EXPECT_THAT(refused(sample.entry(EntryStatus::Added, 1, -1)), HasSubstr("impossible size -1"));
    ManifestEntry deletes = sample.entry(EntryStatus::Added, 2, 10);
    deletes.content = FileContent::EqualityDeletes;
    EXPECT_THAT(refused(deletes), HasSubstr("says that this manifest holds data files"));
    Sample large;
    EXPECT_THAT(large.add({sample.entry(EntryStatus::Added, INT64_MAX, 1), sample.entry(EntryStatus::Deleted, 1, 1)})
                    .error()
                    .text(),
                HasSubstr("outgrows 64 bits"));
    Sample twice;
    ASSERT_TRUE(twice.add({}));
    twice.manifest.path.clear();
    EXPECT_THAT(twice.add({}).error().text(), HasSubstr("twice"));
}

TEST(Totals, each_count_that_the_list_claims_is_checked) {
    for (std::size_t i = 0; i < 3; ++i) {
        const auto status = static_cast<EntryStatus>(i);
        Sample good;
        good.manifest.claimed[i] = {1, 5};
        EXPECT_TRUE(good.add({good.entry(status, 5, 1)}));
        Sample files;
        files.manifest.claimed[i].files = 2;
        EXPECT_THAT(files.add({files.entry(status, 5, 1)}).error().text(), HasSubstr("claims 2"));
        Sample rows;
        rows.manifest.claimed[i].rows = 6;
        EXPECT_THAT(rows.add({rows.entry(status, 5, 1)}).error().text(), HasSubstr("claims 6 rows"));
    }
}

}  // namespace
}  // namespace signalbox::lake
