#include "domain/lake/metrics.hpp"

#include <gmock/gmock.h>

namespace signalbox::lake {
namespace {

using testing::HasSubstr;

constexpr std::string_view small_table = R"({"format-version":2,"location":"s3://b/t","last-updated-ms":1,
    "last-sequence-number":2,"current-snapshot-id":3055729675574597004,"partition-specs":[{"spec-id":0,"fields":[]}],
    "snapshots":[{"snapshot-id":3055729675574597004,"timestamp-ms":5,"sequence-number":2,"manifest-list":"s3://b/t/metadata/l.avro",
                  "summary":{"operation":"append","total-records":"7"}}],"unknown":{"later":true}})";

// A table of one unpartitioned spec, to be filled with entries.
struct Sample {
    TableMetadata metadata = parse_table_metadata(small_table).value();
    const Snapshot& snapshot = *metadata.current_snapshot();
    TableState state;
    ChangeBuilder change{snapshot.id};
    ManifestFile manifest;

    base::Status add(std::vector<ManifestEntry> entries) {
        manifest.path += "m";
        AggregateBuilder builder(manifest);
        for (ManifestEntry& entry : entries) SB_CHECK(builder.add(entry, 0));
        SB_TRY(const ManifestAggregate aggregate, builder.finish());
        change.add(aggregate);
        return state.add(aggregate);
    }
    TableMetrics metrics() const { return compute_metrics(metadata, &snapshot, state, change.claims()); }
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
        for (const Metric& m : metrics().metrics) {
            if (m.name == name) return m.value;
        }
        return {};
    }
};

TEST(Aggregate, a_deletion_in_a_manifest_that_this_snapshot_wrote_is_its_own_also_under_the_id_of_the_adding_snapshot) {
    Sample sample;
    sample.manifest.added_snapshot_id = sample.snapshot.id;
    ManifestEntry removed = sample.entry(EntryStatus::Deleted, 3, 50);
    removed.snapshot_id = sample.snapshot.id - 1;
    ASSERT_TRUE(sample.add({removed}));
    sample.manifest.added_snapshot_id = sample.snapshot.id - 1;
    ASSERT_TRUE(sample.add({removed}));
    EXPECT_EQ(sample.metric("snapshot.deleted_records"), MetricValue(std::int64_t{3}));
}

TEST(Aggregate, data_and_delete_files_are_kept_apart) {
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
    EXPECT_TRUE(sample.metrics().drift.empty());
}

TEST(Aggregate, a_summary_that_lies_is_shown_as_drift) {
    Sample sample;
    ASSERT_TRUE(sample.add({sample.entry(EntryStatus::Added, 8, 100)}));
    const auto drift = sample.metrics().drift;
    ASSERT_EQ(drift.size(), 1U);
    EXPECT_EQ(drift[0].field, "total-records");
    EXPECT_EQ(drift[0].summary, "7");
    EXPECT_EQ(drift[0].manifests, 8);
}

TEST(Aggregate, an_entry_of_an_unknown_snapshot_makes_the_changes_unknown_but_not_the_totals) {
    Sample sample;
    ManifestEntry entry = sample.entry(EntryStatus::Added, 7, 100);
    entry.snapshot_id.reset();
    ASSERT_TRUE(sample.add({entry}));
    EXPECT_EQ(sample.metric("snapshot.added_records"), MetricValue());
    EXPECT_EQ(sample.metric("snapshot.total_records"), MetricValue(std::int64_t{7}));
}

TEST(Aggregate, what_cannot_be_true_is_refused) {
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

TEST(Aggregate, each_count_that_the_list_claims_is_checked) {
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
