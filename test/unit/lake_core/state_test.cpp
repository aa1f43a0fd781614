// What a state refuses, how changes are known, and that damaged blobs are named. That the sums are right:
// property_test.cpp.

#include "domain/lake/state.hpp"

#include <gmock/gmock.h>

#include "base/prng.hpp"
#include "domain/lake/blob.hpp"
#include "domain/lake/metrics.hpp"

namespace signalbox::lake {
namespace {

using base::ErrorKind;
using testing::ElementsAre;
using testing::HasSubstr;

ManifestEntry entry(EntryStatus status, std::string_view path, std::int64_t records = 10, std::int64_t bytes = 100) {
    ManifestEntry e;
    e.status = status;
    e.path = path;
    e.record_count = records;
    e.size_bytes = bytes;
    e.data_sequence = 1;
    return e;
}

ManifestAggregate aggregate(const std::string& path, std::optional<std::int64_t> snapshot,
                            std::vector<ManifestEntry> entries) {
    ManifestFile manifest;
    manifest.path = path;
    manifest.length_bytes = 1000;
    manifest.added_snapshot_id = snapshot;
    manifest.holds_deletes = !entries.empty() && entries[0].content != FileContent::Data;
    AggregateBuilder builder(manifest);
    for (ManifestEntry& e : entries) EXPECT_TRUE(builder.add(e, 0));
    return builder.finish().value();
}

TEST(State, a_manifest_that_is_listed_twice_is_named_and_nothing_is_counted) {
    TableState state;
    const auto manifest = aggregate("m1", 1, {entry(EntryStatus::Added, "a")});
    ASSERT_TRUE(state.add(manifest));
    const auto twice = state.add(manifest);
    ASSERT_FALSE(twice);
    EXPECT_EQ(twice.error().kind, ErrorKind::CorruptData);
    EXPECT_THAT(twice.error().text(), HasSubstr("names manifest 'm1' twice"));
    EXPECT_EQ(state.live()[0].files, 1);
}

TEST(State, what_was_not_added_or_is_not_as_it_was_cannot_be_taken_away) {
    TableState state;
    ASSERT_TRUE(state.add(aggregate("m1", 1, {entry(EntryStatus::Added, "a")})));
    TableState before = state;
    EXPECT_THAT(state.remove(aggregate("m2", 1, {})).error().text(),
                HasSubstr("'m2' is taken away, and it was not there"));
    EXPECT_THAT(state.remove(aggregate("m1", 1, {entry(EntryStatus::Added, "a", 11)})).error().text(),
                HasSubstr("'m1' is taken away, and it is not as it was added"));
    EXPECT_TRUE(state.same_as(before));
}

TEST(State, sums_past_64_bits_are_refused_before_anything_is_counted) {
    TableState state;
    ASSERT_TRUE(state.add(aggregate("m1", 1, {entry(EntryStatus::Added, "a", INT64_MAX - 5)})));
    const auto status = state.add(aggregate("m2", 1, {entry(EntryStatus::Added, "b", 6)}));
    EXPECT_THAT(status.error().text(), HasSubstr("outgrows 64 bits"));
    EXPECT_EQ(state.manifests().size(), 1U);
    EXPECT_EQ(state.live()[0].files, 1);
}

TEST(State, the_lowest_sequence_number_is_a_bound_once_its_manifest_left_and_is_counted_again) {
    TableState state;
    auto old_file = entry(EntryStatus::Added, "a");
    auto new_file = entry(EntryStatus::Added, "b");
    new_file.data_sequence = 9;
    auto deletes = entry(EntryStatus::Added, "d");
    deletes.content = FileContent::PositionDeletes;
    deletes.data_sequence = 4;
    const auto first = aggregate("m1", 1, {old_file});
    const auto second = aggregate("m2", 9, {new_file});
    const auto third = aggregate("m3", 4, {deletes});
    for (const auto* manifest : {&first, &second, &third}) ASSERT_TRUE(state.add(*manifest));
    const PartitionState& partition = state.partitions().at("");
    EXPECT_EQ(dangling_deletes(partition, std::nullopt, false), 0);
    ASSERT_TRUE(state.remove(first));
    EXPECT_TRUE(state.wants_recount());
    EXPECT_EQ(dangling_deletes(partition, std::nullopt, false), 0) << "a lower bound";
    state.recount_sequences({&second, &third});
    EXPECT_FALSE(state.wants_recount());
    EXPECT_EQ(partition.data_sequence_min, 9);
    EXPECT_EQ(dangling_deletes(partition, std::nullopt, false), 1);
}

TEST(Dangling, deletes_reach_what_the_specification_says) {
    PartitionState partition;
    partition.data_sequence_min = 5;
    const auto dangling = [&](FileContent content, std::int64_t sequence, std::optional<std::int64_t> table_min,
                              bool global) {
        partition.deletes = {{content, sequence, 1, 1, 1}};
        return dangling_deletes(partition, table_min, global);
    };
    EXPECT_EQ(dangling(FileContent::PositionDeletes, 5, 1, false), 0) << "of the same commit";
    EXPECT_EQ(dangling(FileContent::PositionDeletes, 4, 1, true), 1) << "never of another partition";
    EXPECT_EQ(dangling(FileContent::EqualityDeletes, 6, 1, false), 0);
    EXPECT_EQ(dangling(FileContent::EqualityDeletes, 5, 1, false), 1) << "only of older files";
    EXPECT_EQ(dangling(FileContent::EqualityDeletes, 5, 1, true), 0) << "of the whole table";
    EXPECT_EQ(dangling(FileContent::PositionDeletes, INT64_MAX, 1, false), 0) << "of unknown age";
    partition.data_sequence_min.reset();
    EXPECT_EQ(dangling(FileContent::PositionDeletes, 9, 1, false), 1) << "no data is left";
    EXPECT_EQ(dangling(FileContent::EqualityDeletes, 9, 1, true), 0);
}

TEST(Change, is_the_difference_where_statuses_confirm_it) {
    const auto kept_name = entry(EntryStatus::Existing, "a");
    const auto gone = aggregate("m1", 1, {kept_name, entry(EntryStatus::Existing, "b", 20)});
    const auto added =
        aggregate("m2", 2, {kept_name, entry(EntryStatus::Deleted, "b", 20), entry(EntryStatus::Added, "c", 7)});
    const auto change = change_of(2, {&added}, {&gone});
    ASSERT_TRUE(change);
    EXPECT_EQ(change->truth, Truth::Difference);
    EXPECT_EQ(change->added[0].records, 7);
    EXPECT_EQ(change->removed[0].records, 20);
    EXPECT_THAT(change->partitions, ElementsAre(""));
}

TEST(Change, added_files_that_are_marked_existing_are_found_by_their_paths) {
    const auto gone = aggregate("m1", 1, {entry(EntryStatus::Added, "a")});
    const auto added = aggregate("m2", 2, {entry(EntryStatus::Existing, "a"), entry(EntryStatus::Existing, "b", 3)});
    EXPECT_FALSE(change_of(2, {&added}, {&gone}));
    const LiveFile a{hash_path("a", {}), FileContent::Data, 10, 100, ""};
    const LiveFile b{hash_path("b", {}), FileContent::Data, 3, 100, ""};
    const Change change = change_of_paths({a, b}, {a});
    EXPECT_EQ(change.truth, Truth::Recounted);
    EXPECT_EQ(change.added[0].files, 1);
    EXPECT_EQ(change.added[0].records, 3);
    EXPECT_EQ(change.removed[0].files, 0);
    EXPECT_THAT(change.notes, ElementsAre(HasSubstr("the files' paths were compared")));
}

TEST(Change, equal_counts_of_other_files_do_not_pass) {
    const auto gone = aggregate("m1", 1, {entry(EntryStatus::Added, "a")});
    const auto added = aggregate("m2", 2, {entry(EntryStatus::Existing, "b")});
    EXPECT_FALSE(change_of(2, {&added}, {&gone})) << "as many files, records and bytes, another path";
}

TEST(Change, two_vectors_in_one_file_are_two_files) {
    EXPECT_NE(hash_path("dv.puffin", 4), hash_path("dv.puffin", 44));
    EXPECT_NE(hash_path("dv.puffin", 0), hash_path("dv.puffin", std::nullopt));
}

TEST(Change, without_a_parent_the_claims_are_told_as_such_and_nameless_ones_are_unknown) {
    const auto old = aggregate("m1", 1, {entry(EntryStatus::Added, "a")});
    const auto own = aggregate("m2", 2, {entry(EntryStatus::Added, "b", 3)});
    const Change change = change_by_claims(2, {&old, &own});
    EXPECT_EQ(change.truth, Truth::Claims);
    EXPECT_EQ(change.added[0].records, 3);
    const auto nameless = aggregate("m3", std::nullopt, {entry(EntryStatus::Added, "c")});
    EXPECT_EQ(change_by_claims(2, {&own, &nameless}).truth, Truth::Unknown);
}

TEST(Change, a_manifest_without_a_list_tells_its_writer_by_its_entries) {
    auto one = entry(EntryStatus::Added, "a");
    one.snapshot_id = 5;
    auto two = entry(EntryStatus::Added, "b");
    two.snapshot_id = 5;
    EXPECT_EQ(aggregate("m", std::nullopt, {one, two}).added_snapshot_id, 5);
    two.snapshot_id = 6;
    EXPECT_EQ(aggregate("m", std::nullopt, {one, two}).added_snapshot_id, std::nullopt);
}

TEST(Change, sums_past_64_bits_are_unknown) {
    const auto one = aggregate("m1", 2, {entry(EntryStatus::Deleted, "a", INT64_MAX)});
    const auto two = aggregate("m2", 2, {entry(EntryStatus::Deleted, "b", 1)});
    const auto change = change_of(2, {&one, &two}, {});
    ASSERT_TRUE(change);
    EXPECT_EQ(change->truth, Truth::Unknown);
}

TEST(Histogram, counts_what_lies_wholly_below_a_target) {
    SizeHistogram histogram;
    for (const std::int64_t size : {0, 1, 1023, 1024, 2047, 2048}) histogram.add(size);
    EXPECT_EQ(histogram.below(1024).files, 3);
    EXPECT_EQ(histogram.below(2047).files, 3) << "2047 is no power of two: its bucket does not count";
    EXPECT_EQ(histogram.below(2048).files, 5);
    EXPECT_EQ(histogram.below(2048).size_bytes, 1 + 1023 + 1024 + 2047);
    histogram.add(INT64_MAX);
    EXPECT_EQ(histogram.below(INT64_MAX).files, 6);
}

std::string sample_blob() {
    auto e = entry(EntryStatus::Added, "a");
    e.partition = {{1000, std::string_view("eu")}, {1001, std::int64_t{7}}};
    auto other = entry(EntryStatus::Deleted, "b", 7, 70);
    return aggregate("s3://b/t/metadata/m1.avro", 5, {e, other}).encode();
}

TEST(Blobs, a_cut_or_longer_aggregate_is_damaged) {
    const std::string blob = sample_blob();
    ASSERT_TRUE(decode_aggregate(blob));
    for (std::size_t size = 0; size < blob.size(); ++size) {
        const auto decoded = decode_aggregate(std::string_view(blob).substr(0, size));
        ASSERT_FALSE(decoded) << size;
        EXPECT_EQ(decoded.error().kind, ErrorKind::CorruptData);
    }
    EXPECT_THAT(decode_aggregate(blob + "x").error().text(), HasSubstr("is damaged: read the table again"));
    EXPECT_THAT(decode_aggregate("\x07" + blob.substr(1)).error().text(), HasSubstr("has format 7, expected 1"));
}

TEST(Blobs, any_changed_byte_is_refused_or_gives_what_encodes_to_the_same_bytes) {
    const std::string blob = sample_blob();
    for (std::size_t at = 0; at < blob.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string damaged = blob;
            damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
            if (const auto decoded = decode_aggregate(damaged)) {
                EXPECT_EQ(decoded->encode(), damaged) << at;
            }
        }
    }
}

TEST(Blobs, a_billion_claimed_partitions_are_refused_without_being_made) {
    BlobWriter out;
    out.byte(1);
    out.text("m");
    out.number(1);
    out.byte(0);
    out.optional(5);
    PowerSums().encode(out);
    PowerSums().encode(out);
    for (int i = 0; i < 4; ++i) out.optional(std::nullopt);
    out.number(0);
    out.count(1'000'000'000);
    EXPECT_THAT(decode_aggregate(out.take()).error().text(), HasSubstr("is damaged"));
}

TEST(Blobs, scalars_that_the_partitions_contradict_are_refused) {
    TableState state;
    ASSERT_TRUE(state.add(aggregate("m1", 1, {entry(EntryStatus::Added, "a")})));
    EXPECT_TRUE(TableState::decode(state.encode_scalars(), state.partitions(), state.manifests()));
    EXPECT_THAT(TableState::decode(state.encode_scalars(), {}, state.manifests()).error().text(),
                HasSubstr("a stored table's state is damaged"));
    EXPECT_FALSE(decode_partition_state(PartitionState().encode())) << "an empty partition is not stored";
}

TEST(Blobs, numbers_have_one_form_each) {
    BlobWriter out;
    for (const std::int64_t value : {std::int64_t{0}, std::int64_t{-1}, INT64_MAX, INT64_MIN}) out.number(value);
    const std::string text = out.take();
    BlobReader in(text);
    for (const std::int64_t value : {std::int64_t{0}, std::int64_t{-1}, INT64_MAX, INT64_MIN})
        EXPECT_EQ(in.number(), value);
    EXPECT_TRUE(in.done());
    BlobReader longer(std::string_view("\x80\x00", 2));
    longer.number();
    EXPECT_TRUE(longer.failed());
    BlobReader endless(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10));
    endless.number();
    EXPECT_TRUE(endless.failed());
}

}  // namespace
}  // namespace signalbox::lake
