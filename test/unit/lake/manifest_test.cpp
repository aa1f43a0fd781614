// Manifests and lists by hand: what is inherited, what is unknown, and bad input of which each is named.

#include <gmock/gmock.h>

#include "adapters/iceberg/manifest_reader.hpp"
#include "adapters/iceberg/table_reader.hpp"
#include "avro_builder.hpp"
#include "engine/table_snapshot.hpp"

namespace signalbox::iceberg {
namespace {

using base::ErrorKind;
using lake::EntryStatus;
using testing::HasSubstr;
using namespace signalbox::test;

constexpr std::string_view v2_schema = R"({"type":"record","name":"manifest_entry","fields":[
    {"name":"status","type":"int","field-id":0},
    {"name":"snapshot_id","type":["null","long"],"field-id":1},
    {"name":"sequence_number","type":["null","long"],"field-id":3},
    {"name":"data_file","field-id":2,"type":{"type":"record","name":"r2","fields":[
        {"name":"content","type":"int","field-id":134},
        {"name":"file_path","type":"string","field-id":100},
        {"name":"file_format","type":"string","field-id":101},
        {"name":"partition","field-id":102,"type":{"type":"record","name":"r102","fields":[]}},
        {"name":"record_count","type":"long","field-id":103},
        {"name":"file_size_in_bytes","type":"long","field-id":104},
        {"name":"content_offset","type":["null","long"],"field-id":144},
        {"name":"content_size_in_bytes","type":["null","long"],"field-id":145}]}}]})";

std::string optional_long(std::optional<std::int64_t> value) {
    return value ? avro_long(1) + avro_long(*value) : avro_long(0);
}

struct Row {
    int status = 1;
    std::optional<std::int64_t> snapshot_id{};
    std::optional<std::int64_t> sequence{};
    int content = 0;
    std::string path = "s3://b/t/data/a.parquet";
    std::string format = "PARQUET";
    std::int64_t records = 10;
    std::int64_t bytes = 1000;
    std::optional<std::int64_t> offset{};
    std::optional<std::int64_t> size{};

    std::string encode() const {
        return avro_long(status) + optional_long(snapshot_id) + optional_long(sequence) + avro_long(content) +
               avro_text(path) + avro_text(format) + avro_long(records) + avro_long(bytes) + optional_long(offset) +
               optional_long(size);
    }
};

std::string manifest_of(const std::vector<Row>& rows, std::string_view codec = "null") {
    std::string data;
    for (const Row& row : rows) data += row.encode();
    return avro_file(v2_schema, codec, {{static_cast<std::int64_t>(rows.size()), data}});
}

lake::TableMetadata unpartitioned() {
    lake::TableMetadata metadata;
    metadata.format_version = 2;
    metadata.specs = {{0, {}}};
    return metadata;
}

lake::ManifestFile line(bool deletes = false) {
    lake::ManifestFile manifest;
    manifest.path = "m.avro";
    manifest.spec_id = 0;
    manifest.holds_deletes = deletes;
    manifest.sequence_number = 7;
    manifest.added_snapshot_id = 70;
    return manifest;
}

std::string error_of(const std::string& file, const lake::ManifestFile& manifest) {
    const auto aggregate = read_manifest(file, manifest, unpartitioned());
    return aggregate ? std::string("no error")
                     : fmt::format("{}: {}", base::to_string(aggregate.error().kind), aggregate.error().text());
}

TEST(Manifest, added_files_inherit_the_sequence_number_of_the_list_and_others_do_not) {
    const std::string file = manifest_of({{.status = 1}});
    EXPECT_EQ(read_manifest(file, line(), unpartitioned())->partitions.at("").data_sequence_min, 7);
    const std::string existing = manifest_of({{.status = 1}, {.status = 0, .sequence = 3, .path = "b"}});
    EXPECT_EQ(read_manifest(existing, line(), unpartitioned())->partitions.at("").data_sequence_min, 3);
    const std::string unknown = manifest_of({{.status = 0}});
    EXPECT_EQ(read_manifest(unknown, line(), unpartitioned())->partitions.at("").data_sequence_min, 0)
        << "may be as old as anything";
    const std::string deletes = manifest_of({{.status = 0, .content = 2}});
    EXPECT_EQ(read_manifest(deletes, line(true), unpartitioned())->partitions.at("").deletes[0].data_sequence,
              INT64_MAX)
        << "may apply to anything";
}

TEST(Manifest, entries_inherit_their_snapshot_and_those_of_another_are_no_claims_of_this_one) {
    const std::string file = manifest_of({{.status = 1, .path = "a"},
                                          {.status = 1, .snapshot_id = 70, .path = "b"},
                                          {.status = 1, .snapshot_id = 60, .path = "c"}});
    const auto aggregate = read_manifest(file, line(), unpartitioned());
    ASSERT_TRUE(aggregate) << aggregate.error().text();
    EXPECT_EQ(aggregate->partitions.at("").live[0].files, 3);
    EXPECT_EQ(aggregate->partitions.at("").added[0].files, 2);
}

TEST(Manifest, vectors_that_share_a_file_are_apart_and_have_their_own_sizes) {
    const Row vector{
        .content = 1, .path = "d.puffin", .format = "puffin", .records = 3, .bytes = 9000, .offset = 4, .size = 40};
    Row second = vector;
    second.offset = 44;
    const std::string file = manifest_of({vector, second});
    const auto aggregate = read_manifest(file, line(true), unpartitioned());
    ASSERT_TRUE(aggregate) << aggregate.error().text();
    EXPECT_EQ(aggregate->deletion_vectors, 2);
    EXPECT_EQ(aggregate->partitions.at("").live[1].size_bytes, 80);
    std::vector<lake::LiveFile> files;
    ASSERT_TRUE(read_live_files(file, line(true), unpartitioned(), files));
    ASSERT_EQ(files.size(), 2U);
    EXPECT_NE(files[0].hash, files[1].hash);
}

TEST(Manifest, live_files_are_what_the_aggregate_adds_up) {
    const std::string file = manifest_of(
        {{.path = "a"}, {.status = 2, .path = "b"}, {.status = 0, .sequence = 1, .path = "c", .records = 5}});
    std::vector<lake::LiveFile> files;
    ASSERT_TRUE(read_live_files(file, line(), unpartitioned(), files));
    lake::FileSum sum;
    for (const lake::LiveFile& live : files) sum += {1, live.records, live.size_bytes, live.hash};
    EXPECT_EQ(read_manifest(file, line(), unpartitioned())->partitions.at("").live[0], sum);
}

TEST(BadManifest, each_fault_is_named) {
    lake::ManifestFile short_claim = line();
    short_claim.length_bytes = 5;
    EXPECT_THAT(error_of(manifest_of({Row{}}), short_claim), HasSubstr("it has 5 bytes: it is cut short or replaced"));
    lake::ManifestFile encrypted = line();
    encrypted.encrypted = true;
    EXPECT_THAT(error_of(manifest_of({Row{}}), encrypted),
                HasSubstr("the manifest is encrypted, which is not supported"));
    EXPECT_THAT(error_of(manifest_of({{.status = 3}}), line()), HasSubstr("status is 3, expected 0, 1 or 2"));
    EXPECT_THAT(error_of(manifest_of({{.content = 9}}), line()), HasSubstr("content is 9"));
    EXPECT_THAT(error_of(manifest_of({{.records = -1}}), line()), HasSubstr("impossible record count -1"));
    EXPECT_THAT(error_of(manifest_of({{.sequence = -4}}), line()), HasSubstr("impossible sequence number -4"));
    EXPECT_THAT(error_of(manifest_of({{.content = 1}}), line()), HasSubstr("is a delete file"));
    lake::ManifestFile claims = line();
    claims.claimed[static_cast<std::size_t>(EntryStatus::Added)] = {2, 10};
    EXPECT_THAT(error_of(manifest_of({Row{}}), claims), HasSubstr("claims 2 added files, and the manifest holds 1"));
    lake::ManifestFile spec = line();
    spec.spec_id = 4;
    EXPECT_THAT(error_of(manifest_of({Row{}}), spec), HasSubstr("the table's metadata has no partition spec 4"));
    EXPECT_THAT(error_of("PAR1 is no Avro", line()), HasSubstr("corrupt"));
}

TEST(BadManifest, a_wrong_codec_or_a_lying_length_is_named) {
    const std::string data = Row{}.encode();
    EXPECT_THAT(error_of(avro_file(v2_schema, "bzip2", {{1, data}}), line()),
                HasSubstr("codec 'bzip2' is not supported"));
    std::string lying = avro_file(v2_schema, "null", {{1, data}});
    const std::string said = avro_long(1) + avro_long(static_cast<std::int64_t>(data.size())) + data;
    lying.replace(lying.find(said), said.size(), avro_long(1) + avro_long(INT64_MAX) + data);
    EXPECT_THAT(error_of(lying, line()), HasSubstr("at byte"));
    EXPECT_THAT(error_of(avro_file(v2_schema, "null", {{1'000'000'000'000, data}}), line()),
                HasSubstr("claims more rows than it has room for"));
    std::string text = Row{}.encode();
    text.replace(text.find(avro_text(Row{}.path)), 1, avro_long(1'000'000'000));
    EXPECT_THAT(error_of(avro_file(v2_schema, "null", {{1, text}}), line()), HasSubstr("the data ends inside a value"));
    std::string other = manifest_of({Row{}}, "deflate");
    other.replace(other.find(avro_text("deflate")), 8, avro_text("snappy"));
    EXPECT_NE(error_of(other, line()), "no error");
}

TEST(BadManifest, a_bomb_is_refused_before_it_fills_the_memory) {
    const std::string zeros(std::size_t{300} << 20, '\0');
    EXPECT_THAT(error_of(avro_file(v2_schema, "zstandard", {{1, zeros}}), line()), HasSubstr("at byte"));
}

// A table's files by URI.
class Files : public ports::TableFiles {
  public:
    std::map<std::string, std::string> contents;
    base::Result<std::string> read(const std::string& uri, std::uint64_t) override {
        ++counters_.requests;
        const auto found = contents.find(uri);
        if (found == contents.end()) {
            return tl::unexpected<base::Error>(base::Error{ErrorKind::NotFound, "cannot read: no such file", uri, 0});
        }
        counters_.bytes += found->second.size();
        return found->second;
    }
    ports::ReadCounters counters() const override { return counters_; }

  private:
    ports::ReadCounters counters_;
};

constexpr std::string_view list_schema = R"({"type":"record","name":"manifest_file","fields":[
    {"name":"manifest_path","type":"string","field-id":500},
    {"name":"manifest_length","type":"long","field-id":501},
    {"name":"partition_spec_id","type":"int","field-id":502},
    {"name":"content","type":"int","field-id":517},
    {"name":"sequence_number","type":"long","field-id":515},
    {"name":"added_snapshot_id","type":"long","field-id":503}]})";

struct Listed {
    std::string path;
    std::int64_t sequence = 0;
    std::int64_t snapshot = 0;
};

// A table whose snapshots list such manifests.
struct Sample {
    Files files;
    lake::TableMetadata metadata = unpartitioned();

    void manifest(const std::string& path, const std::vector<Row>& rows) { files.contents[path] = manifest_of(rows); }
    void snapshot(std::int64_t id, std::optional<std::int64_t> parent, const std::vector<Listed>& listed) {
        std::string data;
        for (const Listed& l : listed) {
            data += avro_text(l.path) + avro_long(static_cast<std::int64_t>(files.contents[l.path].size())) +
                    avro_long(0) + avro_long(0) + avro_long(l.sequence) + avro_long(l.snapshot);
        }
        lake::Snapshot snapshot;
        snapshot.id = id;
        snapshot.parent_id = parent;
        snapshot.sequence_number = id;
        snapshot.manifest_list = fmt::format("snap-{}.avro", id);
        files.contents[snapshot.manifest_list] =
            avro_file(list_schema, "null", {{static_cast<std::int64_t>(listed.size()), data}});
        metadata.snapshots.push_back(snapshot);
        metadata.current_snapshot_id = id;
    }
    base::Result<engine::SnapshotReading> read() {
        TableReader reader(files);
        return engine::read_snapshot(reader, metadata, *metadata.current_snapshot(), {});
    }
};

TEST(ReadSnapshot, the_change_is_the_difference_to_the_parent) {
    Sample sample;
    sample.manifest("m1", {{.path = "a"}, {.path = "b", .records = 5}});
    sample.snapshot(1, std::nullopt, {{"m1", 1, 1}});
    sample.manifest("m2", {{.status = 0, .snapshot_id = 1, .sequence = 1, .path = "a"},
                           {.status = 2, .snapshot_id = 2, .sequence = 1, .path = "b", .records = 5},
                           {.path = "c", .records = 3}});
    sample.snapshot(2, 1, {{"m2", 2, 2}});
    const auto reading = sample.read();
    ASSERT_TRUE(reading) << reading.error().text();
    EXPECT_EQ(reading->state.live()[0].records, 13);
    EXPECT_EQ(reading->change.truth, lake::Truth::Difference);
    EXPECT_EQ(reading->change.added[0].records, 3);
    EXPECT_EQ(reading->change.removed[0].records, 5);
}

TEST(ReadSnapshot, statuses_that_lie_are_found_out_by_paths) {
    Sample sample;
    sample.manifest("m1", {{.path = "a"}, {.path = "b", .records = 5}});
    sample.snapshot(1, std::nullopt, {{"m1", 1, 1}});
    sample.manifest("m2", {{.status = 0, .snapshot_id = 2, .sequence = 1, .path = "a"},
                           {.status = 0, .snapshot_id = 2, .sequence = 2, .path = "c", .records = 3}});
    sample.snapshot(2, 1, {{"m2", 2, 2}});
    const auto reading = sample.read();
    ASSERT_TRUE(reading) << reading.error().text();
    EXPECT_EQ(reading->change.truth, lake::Truth::Recounted);
    EXPECT_EQ(reading->change.added[0].records, 3);
    EXPECT_EQ(reading->change.removed[0].records, 5);
}

TEST(ReadSnapshot, with_the_parent_gone_the_change_is_what_is_claimed_and_that_is_said) {
    Sample sample;
    sample.manifest("m1", {{.path = "a"}});
    sample.snapshot(1, std::nullopt, {{"m1", 1, 1}});
    sample.manifest("m2", {{.path = "b", .records = 3}});
    sample.snapshot(2, 1, {{"m1", 1, 1}, {"m2", 2, 2}});
    sample.files.contents.erase("snap-1.avro");
    auto reading = sample.read();
    ASSERT_TRUE(reading) << reading.error().text();
    EXPECT_EQ(reading->change.truth, lake::Truth::Claims);
    EXPECT_EQ(reading->change.added[0].records, 3);
    EXPECT_THAT(reading->change.notes, testing::ElementsAre(HasSubstr("the parent snapshot 1 can't be read")));
    sample.metadata.snapshots.back().parent_id.reset();
    reading = sample.read();
    ASSERT_TRUE(reading) << reading.error().text();
    EXPECT_EQ(reading->change.truth, lake::Truth::Claims) << "a writer that leaves parents out";
    EXPECT_EQ(reading->change.added[0].records, 3);
}

TEST(ReadSnapshot, a_manifest_that_the_list_names_twice_is_an_error) {
    Sample sample;
    sample.manifest("m1", {{.path = "a"}});
    sample.snapshot(1, std::nullopt, {{"m1", 1, 1}, {"m1", 1, 1}});
    const auto reading = sample.read();
    ASSERT_FALSE(reading);
    EXPECT_EQ(reading.error().kind, ErrorKind::CorruptData);
    EXPECT_THAT(reading.error().text(), HasSubstr("names manifest 'm1' twice"));
}

TEST(ReadSnapshot, a_missing_manifest_is_not_found_and_named) {
    Sample sample;
    sample.manifest("m1", {{.path = "a"}});
    sample.snapshot(1, std::nullopt, {{"m1", 1, 1}});
    sample.files.contents.erase("m1");
    EXPECT_EQ(sample.read().error().kind, ErrorKind::NotFound);
    EXPECT_THAT(sample.read().error().text(), HasSubstr("m1: cannot read"));
}

}  // namespace
}  // namespace signalbox::iceberg
