#include <gmock/gmock.h>

#include "base/prng.hpp"
#include "unit/lake/avro_builder.hpp"
#include "wire/avro/container.hpp"

namespace signalbox::avro {
namespace {

using base::ErrorKind;
using testing::HasSubstr;
using namespace signalbox::test;

constexpr std::string_view two_fields = R"({"type":"record","name":"r","fields":[
    {"name":"a","type":"long","field-id":1},{"name":"b","type":["null","string"],"field-id":2}]})";

PlanRequest two_wanted() {
    PlanRequest request;
    request.fields = {{no_id, 1, Expect::Integer, true, "a"}, {no_id, 2, Expect::Text, false, "b"}};
    return request;
}

Plan plan_of(std::string_view schema, const PlanRequest& request) {
    auto parsed = parse_schema(schema);
    EXPECT_TRUE(parsed) << parsed.error().text();
    auto plan = Plan::compile(*parsed, request);
    EXPECT_TRUE(plan) << plan.error().text();
    return std::move(*plan);
}

std::string plan_error(std::string_view schema, const PlanRequest& request) {
    auto parsed = parse_schema(schema);
    if (!parsed) return parsed.error().text();
    auto plan = Plan::compile(*parsed, request);
    return plan ? "" : plan.error().text();
}

// Reads a file whose rows are two_fields; "a:b" per row, or the error.
std::string read_two(std::string_view file, Limits limits = {}) {
    ContainerReader reader(file, limits);
    if (auto status = reader.open(); !status) return "error " + status.error().text();
    auto schema = parse_schema(reader.schema_text());
    if (!schema) return "error " + schema.error().text();
    auto plan = Plan::compile(*schema, two_wanted());
    if (!plan) return "error " + plan.error().text();
    std::string out;
    auto status = reader.for_each_row(*plan, [&](const RowCursor& row) -> base::Status {
        out += fmt::format("{}:{} ", row[0].integer, row[1].null() ? "null" : row[1].text);
        return {};
    });
    return status ? out : "error " + status.error().text();
}

std::string two_rows() {
    return avro_long(7) + avro_long(1) + avro_text("x") + avro_long(-123456789012345) + avro_long(0);
}

TEST(Avro, every_codec_gives_the_same_rows) {
    for (const char* codec : {"null", "deflate", "snappy", "zstandard"}) {
        const std::string file = avro_file(two_fields, codec, {{2, two_rows()}, {0, ""}, {2, two_rows()}});
        EXPECT_EQ(read_two(file), "7:x -123456789012345:null 7:x -123456789012345:null ") << codec;
    }
    EXPECT_THAT(read_two(avro_file(two_fields, "bzip2", {})), HasSubstr("'bzip2' is not supported"));
}

TEST(Avro, a_file_cut_anywhere_but_between_blocks_is_an_error_that_names_the_byte) {
    for (const char* codec : {"null", "deflate", "snappy", "zstandard"}) {
        const std::string file = avro_file(two_fields, codec, {{2, two_rows()}});
        const std::size_t header = avro_file(two_fields, codec, {}).size();
        for (std::size_t size = 0; size < file.size(); ++size) {
            if (size == header) continue;  // a file without rows is whole
            EXPECT_THAT(read_two(std::string_view(file).substr(0, size)), HasSubstr("error at byte ")) << codec << size;
        }
    }
}

TEST(Avro, flipped_bits_never_crash_and_checksummed_blocks_never_lie) {
    base::Prng prng(11);
    for (const char* codec : {"null", "deflate", "snappy", "zstandard"}) {
        const std::string file = avro_file(two_fields, codec, {{2, two_rows()}});
        const std::string good = read_two(file);
        const std::size_t header = avro_file(two_fields, codec, {}).size();
        for (std::size_t at = 0; at < file.size(); ++at) {
            std::string copy = file;
            copy[at] = static_cast<char>(copy[at] ^ (1 << prng.below(8)));
            const std::string read = read_two(copy);
            if (std::string_view(codec) == "snappy" && at >= header) {
                EXPECT_TRUE(read == good || read.rfind("error", 0) == 0) << at << read;
            }
        }
    }
}

TEST(Avro, a_bomb_is_stopped_at_the_limit) {
    const std::string zeros(1 << 20, '\0');
    Limits limits;
    limits.block_max_bytes = 1 << 18;
    for (const char* codec : {"null", "deflate", "snappy", "zstandard"}) {
        EXPECT_THAT(read_two(avro_file(two_fields, codec, {{2, zeros}}), limits), HasSubstr("grows past 262144 bytes"))
            << codec;
    }
}

TEST(Avro, a_block_that_grows_more_than_guessed_is_read_whole) {
    const std::string row = avro_long(7) + avro_long(1) + avro_text(std::string(1 << 20, 'x'));
    const std::string expected = "7:" + std::string(1 << 20, 'x') + " ";
    for (const char* codec : {"null", "deflate", "snappy", "zstandard"}) {
        EXPECT_TRUE(read_two(avro_file(two_fields, codec, {{1, row}})) == expected) << codec;
    }
}

TEST(Avro, a_block_that_lies_about_its_rows_is_refused) {
    for (const std::int64_t rows : {std::int64_t{1}, std::int64_t{3}, INT64_MAX}) {
        EXPECT_THAT(read_two(avro_file(two_fields, "null", {{rows, two_rows()}})), HasSubstr("error at byte"));
    }
    EXPECT_THAT(read_two(avro_file(two_fields, "null", {{-1, two_rows()}})), HasSubstr("negative number of rows"));
}

TEST(Avro, python_writers_leave_part_of_zlibs_checksum_and_it_is_checked) {
    const std::string data = two_rows();
    std::string body = deflate(data);
    const std::uint32_t adler = libdeflate_adler32(1, data.data(), data.size());
    for (int shift = 24; shift > 0; shift -= 8) body += static_cast<char>(adler >> shift & 0xff);
    Decompressor decompressor(1 << 20);
    EXPECT_EQ(decompressor.decompress(Codec::Deflate, body).value(), data);
    body.back() = static_cast<char>(body.back() ^ 1);
    EXPECT_THAT(decompressor.decompress(Codec::Deflate, body).error().message, HasSubstr("3 bytes follow"));
}

TEST(Avro, gzip_of_several_members_is_read_whole) {
    Decompressor decompressor(1 << 20);
    const std::string large(300'000, 'z');
    EXPECT_EQ(decompressor.decompress(Codec::Gzip, gzip("first ") + gzip(large)).value(), "first " + large);
    EXPECT_FALSE(decompressor.decompress(Codec::Gzip, gzip("first").substr(0, 20)));
    EXPECT_FALSE(decompressor.decompress(Codec::Gzip, ""));
    EXPECT_FALSE(decompressor.decompress(Codec::Zstandard, ""));
    EXPECT_FALSE(decompressor.decompress(Codec::Zstandard, zstd(large).substr(0, 12)));
}

TEST(Avro, fields_are_found_by_id_whatever_their_name_and_place) {
    const Plan plan = plan_of(R"({"type":"record","name":"other","fields":[
        {"name":"a","type":"string","field-id":9},
        {"name":"renamed_b","type":["string","null"],"field-id":2},
        {"name":"renamed_a","type":"int","field-id":1},
        {"name":"b","type":"string"}]})",
                              two_wanted());
    const std::string row = avro_text("not a") + avro_long(0) + avro_text("b's") + avro_long(-5) + avro_text("not b");
    RowCursor rows(plan, row, 1);
    ASSERT_TRUE(rows.next()) << rows.failure();
    EXPECT_EQ(rows[0].integer, -5);
    EXPECT_EQ(rows[1].text, "b's");
    EXPECT_FALSE(rows.next());
    EXPECT_FALSE(rows.failed()) << rows.failure();
}

TEST(Avro, the_same_id_inside_another_record_is_another_field) {
    PlanRequest request;
    request.fields = {{2, 1, Expect::Integer, true, "inner"}, {no_id, 1, Expect::Integer, true, "outer"}};
    const Plan plan = plan_of(R"({"type":"record","name":"r","fields":[
        {"name":"x","field-id":3,"type":{"type":"record","name":"r3","fields":[{"name":"v","type":"long","field-id":1}]}},
        {"name":"y","field-id":2,"type":["null",{"type":"record","name":"r2","fields":[{"name":"v","type":"long","field-id":1}]}]},
        {"name":"z","field-id":1,"type":"long"}]})",
                              request);
    const std::string row = avro_long(100) + avro_long(1) + avro_long(200) + avro_long(300);
    RowCursor rows(plan, row, 1);
    ASSERT_TRUE(rows.next()) << rows.failure();
    EXPECT_EQ(rows[0].integer, 200);
    EXPECT_EQ(rows[1].integer, 300);
}

TEST(Avro, an_open_record_gives_all_its_fields_in_order_of_the_schema) {
    PlanRequest request;
    request.open_record = 5;
    const Plan plan = plan_of(R"({"type":"record","name":"r","fields":[
        {"name":"p","field-id":5,"type":{"type":"record","name":"r5","fields":[
            {"name":"d","type":["null",{"type":"int","logicalType":"date"}],"field-id":1001},
            {"name":"f","type":{"type":"fixed","name":"f3","size":3},"field-id":1000},
            {"name":"s","type":"boolean","field-id":1002},
            {"name":"r","type":"float","field-id":1003},
            {"name":"n","type":["null","double"],"field-id":1004}]}}]})",
                              request);
    EXPECT_THAT(plan.open_ids(), testing::ElementsAre(1001, 1000, 1002, 1003, 1004));
    const std::string row = avro_long(1) + avro_long(20000) + "abc" + "\x01" + avro_float(0.5F) + avro_long(0);
    RowCursor rows(plan, row, 1);
    ASSERT_TRUE(rows.next()) << rows.failure();
    EXPECT_EQ(rows[0].integer, 20000);
    EXPECT_EQ(rows[1].text, "abc");
    EXPECT_EQ(rows[2].kind, ValueKind::Boolean);
    EXPECT_EQ(rows[3].real, 0.5);
    EXPECT_TRUE(rows[4].null());
}

// Every type once, as a field that nobody wants, with a wanted field behind it that shows that the step was right.
struct Skipped {
    std::string type;
    std::vector<std::string> values;
};

std::vector<Skipped> skipped_types() {
    const std::string key_values =
        avro_long(2) + avro_long(1) + avro_text("low") + avro_long(300) + avro_text("high") + avro_long(0);
    std::string many = avro_long(500);
    for (int i = 0; i < 500; ++i) many += avro_long(i) + avro_long(-i * 1'000'003LL);
    return {
        {R"("null")", {""}},
        {R"("boolean")", {std::string("\0", 1), "\x01"}},
        {R"("int")", {avro_long(0), avro_long(INT32_MIN)}},
        {R"("long")", {avro_long(INT64_MIN), avro_long(INT64_MAX)}},
        {R"("float")", {avro_float(1.5F)}},
        {R"("double")", {avro_double(-2.5)}},
        {R"("bytes")", {avro_text(""), avro_text(std::string(1000, 'b'))}},
        {R"("string")", {avro_text("text")}},
        {R"({"type":"fixed","name":"f","size":16})", {std::string(16, 'f')}},
        {R"({"type":"fixed","name":"f","size":0})", {""}},
        {R"({"type":"enum","name":"e","symbols":["A","B"]})", {avro_long(1)}},
        {R"({"type":"record","name":"i","fields":[{"name":"x","type":"int"},{"name":"y","type":"string"}]})",
         {avro_long(1) + avro_text("y")}},
        {R"({"type":"record","name":"none","fields":[]})", {""}},
        {R"(["null","long"])", {avro_long(0), avro_long(1) + avro_long(77)}},
        {R"(["int","string","double"])",
         {avro_long(0) + avro_long(9), avro_long(1) + avro_text("s"), avro_long(2) + avro_double(1)}},
        {R"(["int"])", {avro_long(0) + avro_long(9)}},
        {R"({"type":"array","items":"long"})",
         {avro_long(0), avro_long(1) + avro_long(5) + avro_long(2) + avro_long(6) + avro_long(-7) + avro_long(0),
          avro_long(-2) + avro_long(2) + avro_long(1) + avro_long(1) + avro_long(0)}},
        {R"({"type":"array","items":"null"})", {avro_long(1'000'000'000'000) + avro_long(0)}},
        {R"({"type":"array","items":{"type":"array","items":"string"}})",
         {avro_long(1) + avro_long(1) + avro_text("in") + avro_long(0) + avro_long(0)}},
        {R"({"type":"map","values":"long"})", {avro_long(1) + avro_text("k") + avro_long(3) + avro_long(0)}},
        {R"({"type":"array","logicalType":"map","items":{"type":"record","name":"kv","fields":[
            {"name":"key","type":"int","field-id":126},{"name":"value","type":"bytes","field-id":127}]}})",
         {avro_long(0), key_values}},
        {R"(["null",{"type":"array","logicalType":"map","items":{"type":"record","name":"kv","fields":[
            {"name":"key","type":"int","field-id":117},{"name":"value","type":"long","field-id":118}]}}])",
         {avro_long(0), avro_long(1) + many + avro_long(0)}},
    };
}

TEST(Avro, every_type_is_stepped_over_to_the_byte) {
    for (const Skipped& skipped : skipped_types()) {
        const std::string schema = fmt::format(
            R"({{"type":"record","name":"r","fields":[{{"name":"s","type":{}}},{{"name":"a","type":"long","field-id":1}}]}})",
            skipped.type);
        const Plan plan = plan_of(schema, two_wanted());
        EXPECT_FALSE(plan.has(1));
        for (const std::string& value : skipped.values) {
            const std::string row = value + avro_long(4711);
            RowCursor rows(plan, row, 1);
            ASSERT_TRUE(rows.next()) << skipped.type << rows.failure();
            EXPECT_EQ(rows[0].integer, 4711) << skipped.type;
            EXPECT_FALSE(rows.next());
            EXPECT_FALSE(rows.failed()) << skipped.type << rows.failure();
            for (std::size_t size = 1; size < row.size(); ++size) {
                const std::vector<char> exact(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(size));
                RowCursor cut(plan, {exact.data(), exact.size()}, 1);
                while (cut.next()) {
                }
                EXPECT_TRUE(cut.failed()) << skipped.type << " cut to " << size;
            }
        }
    }
}

// What the reader expects of a row from the one before must never show in what it reads.
TEST(Avro, bounds_whose_keys_and_lengths_change_from_row_to_row_are_stepped_over_to_the_byte) {
    const Plan plan = plan_of(R"({"type":"record","name":"r","fields":[
        {"name":"m","type":["null",{"type":"array","logicalType":"map","items":{"type":"record","name":"kv","fields":[
            {"name":"key","type":"int","field-id":126},{"name":"value","type":"bytes","field-id":127}]}}]},
        {"name":"a","type":"long","field-id":1}]})",
                              two_wanted());
    base::Prng prng(20240131);
    for (int round = 0; round < 200; ++round) {
        const std::uint64_t elements = prng.below(600);
        const std::uint64_t key_max = prng.chance(0.5) ? 60 : 100'000;
        const double change = prng.unit() * prng.unit();
        std::vector<std::string> shape(elements);
        std::string block;
        constexpr int rows_count = 20;
        for (int row = 0; row < rows_count; ++row) {
            block += elements == 0 ? avro_long(0) : avro_long(1) + avro_long(static_cast<std::int64_t>(elements));
            for (std::string& element : shape) {
                if (element.empty() || prng.chance(change)) {
                    element = avro_long(static_cast<std::int64_t>(prng.below(key_max))) +
                              avro_text(std::string(prng.below(prng.chance(0.9) ? 16 : 200), '\x81'));
                }
                block += element;
            }
            if (elements > 0) block += avro_long(0);
            block += avro_long(row * 1'000'003LL);
        }
        const std::vector<char> exact(block.begin(), block.end());
        RowCursor rows(plan, {exact.data(), exact.size()}, rows_count);
        for (int row = 0; row < rows_count; ++row) {
            ASSERT_TRUE(rows.next()) << "round " << round << ": " << rows.failure();
            ASSERT_EQ(rows[0].integer, row * 1'000'003LL) << "round " << round;
        }
        EXPECT_FALSE(rows.next());
        EXPECT_FALSE(rows.failed()) << rows.failure();
    }
}

TEST(Avro, a_slot_that_a_row_leaves_out_does_not_keep_the_value_of_the_row_before) {
    PlanRequest request = two_wanted();
    request.open_record = 5;
    const Plan plan = plan_of(R"({"type":"record","name":"r","fields":[
        {"name":"a","type":["null","long"],"field-id":1},{"name":"b","type":["string","null"],"field-id":2},
        {"name":"p","field-id":5,"type":["null",{"type":"record","name":"r5","fields":[
            {"name":"x","type":"long","field-id":1000},{"name":"y","type":["null","long"],"field-id":1001}]}]}]})",
                              request);
    const std::string full = avro_long(1) + avro_long(7) + avro_long(0) + avro_text("b") + avro_long(1) + avro_long(8) +
                             avro_long(1) + avro_long(-300);
    const std::string empty = avro_long(0) + avro_long(1) + avro_long(0);
    const std::string block = full + empty;
    RowCursor rows(plan, block, 2);
    ASSERT_TRUE(rows.next()) << rows.failure();
    EXPECT_EQ(rows[3].integer, -300);
    EXPECT_EQ(rows.open_bytes(), avro_long(8) + avro_long(1) + avro_long(-300));
    ASSERT_TRUE(rows.next()) << rows.failure();
    for (std::size_t slot = 0; slot < 4; ++slot) EXPECT_TRUE(rows[slot].null()) << slot;
    EXPECT_EQ(rows.open_bytes(), "");
}

TEST(Avro, claims_that_the_data_has_no_room_for_end_at_once) {
    const auto failure = [](const std::string& type, const std::string& data) {
        const Plan plan = plan_of(
            fmt::format(
                R"({{"type":"record","name":"r","fields":[{{"name":"a","type":"long","field-id":1}},{{"name":"s","type":{}}}]}})",
                type),
            two_wanted());
        const std::string row = avro_long(1) + data;
        RowCursor rows(plan, row, 1);
        while (rows.next()) {
        }
        return rows.failure();
    };
    EXPECT_THAT(failure(R"({"type":"array","items":"string"})", avro_long(INT64_MAX)), HasSubstr("more elements"));
    EXPECT_THAT(failure(R"({"type":"array","items":"long"})", avro_long(1LL << 40)), HasSubstr("more elements"));
    EXPECT_THAT(failure(R"({"type":"array","items":"long"})", avro_long(INT64_MIN) + avro_long(-1)),
                HasSubstr("negative size"));
    EXPECT_THAT(failure(R"("string")", avro_long(INT64_MAX)), HasSubstr("ends inside"));
    EXPECT_THAT(failure(R"("string")", avro_long(-1)), HasSubstr("negative length"));
    EXPECT_THAT(failure(R"(["null","long"])", avro_long(2)), HasSubstr("branch"));
    EXPECT_THAT(failure(R"(["null","long"])", avro_long(-1)), HasSubstr("branch"));
    EXPECT_THAT(failure(R"(["null","long"])", std::string(11, '\xff')), HasSubstr("longer than 64 bits"));
}

TEST(Avro, a_schema_that_lacks_or_distorts_what_is_wanted_is_refused) {
    EXPECT_THAT(plan_error(R"({"type":"record","name":"r","fields":[]})", two_wanted()),
                HasSubstr("no field with id 1 (a)"));
    EXPECT_THAT(plan_error(R"({"type":"record","name":"r","fields":[{"name":"q","type":"string","field-id":1}]})",
                           two_wanted()),
                HasSubstr("field 1 ('q') has the unexpected type string"));
    EXPECT_THAT(plan_error(R"({"type":"record","name":"r","fields":[{"name":"q","type":"int","field-id":1},
                              {"name":"p","type":"int","field-id":1}]})",
                           two_wanted()),
                HasSubstr("two fields with id 1"));
    EXPECT_THAT(plan_error(R"("long")", two_wanted()), HasSubstr("no records"));
    EXPECT_THAT(plan_error(R"({"type":"record","name":"r","fields":[{"name":"me","type":"r"}]})", two_wanted()),
                HasSubstr("recursive"));
    EXPECT_THAT(plan_error(R"({"type":"record","name":"r","fields":[{"name":"me","type":"stranger"}]})", two_wanted()),
                HasSubstr("'stranger' without defining it"));
    EXPECT_THAT(plan_error(R"({"type":"record")", two_wanted()), HasSubstr("not JSON"));
    // Each type names the one before twice: 2^30 parts from a short text.
    std::string schema = R"({"type":"record","name":"r","fields":[{"name":"x","type":"int"})";
    schema += R"(,{"name":"n0","type":{"type":"record","name":"t0","fields":[{"name":"x","type":"int"}]}})";
    for (int i = 1; i < 30; ++i) {
        schema += fmt::format(
            R"(,{{"name":"n{0}","type":{{"type":"record","name":"t{0}","fields":[{{"name":"a","type":"t{1}"}},{{"name":"b","type":"t{1}"}}]}}}})",
            i, i - 1);
    }
    EXPECT_THAT(plan_error(schema + "]}", two_wanted()), HasSubstr("more than 200000 parts"));
}

}  // namespace
}  // namespace signalbox::avro
