#include "lake_table.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <zlib.h>

#include "base/prng.hpp"

namespace signalbox::bench {
namespace {

namespace fs = std::filesystem;

// Avro's Java writer ends a block after so many bytes, before compression; Iceberg leaves that default.
constexpr std::size_t block_bytes = 64'000;
// Java's Deflater is zlib, and Iceberg asks for its level 9.
constexpr int deflate_level = 9;
constexpr std::int64_t first_ms = 1'700'000'000'000;
constexpr int first_day = 19'600;
constexpr std::int64_t first_snapshot_id = 5'000'000'000'000'000'001;
constexpr std::array<const char*, 10> regions{"eu-west-1", "eu-central-1", "us-east-1",  "us-west-2",  "ap-south-1",
                                              "sa-east-1", "ca-central-1", "me-south-1", "af-south-1", "ap-east-1"};
constexpr std::array<const char*, 6> column_types{"long", "timestamp", "double", "string", "int", "date"};

void put_long(std::string& out, std::int64_t value) {
    auto raw = (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
    for (; raw >= 0x80; raw >>= 7) out += static_cast<char>((raw & 0x7f) | 0x80);
    out += static_cast<char>(raw);
}

void put_text(std::string& out, std::string_view text) {
    put_long(out, static_cast<std::int64_t>(text.size()));
    out += text;
}

// A value of an optional field: its branch, then itself.
void put_optional_long(std::string& out, std::int64_t value) {
    put_long(out, 1);
    put_long(out, value);
}

template <typename T>
void put_bound(std::string& out, T value) {
    put_long(out, sizeof value);
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out.append(bytes, sizeof value);
}

std::string deflated(std::string_view data) {
    z_stream stream{};
    if (::deflateInit2(&stream, deflate_level, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        throw std::runtime_error("zlib did not start");
    }
    std::string out(::deflateBound(&stream, data.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int status = ::deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    ::deflateEnd(&stream);
    if (status != Z_STREAM_END) throw std::runtime_error("zlib did not finish");
    return out;
}

// An Avro container file with deflate, block by block.
class ContainerWriter {
  public:
    ContainerWriter(const std::vector<std::pair<std::string, std::string>>& header, base::Prng& prng) {
        file_.append("Obj\x01", 4);
        put_long(file_, static_cast<std::int64_t>(header.size()));
        for (const auto& [key, value] : header) {
            put_text(file_, key);
            put_text(file_, value);
        }
        put_long(file_, 0);
        for (int i = 0; i < 16; ++i) sync_ += static_cast<char>(prng.below(256));
        file_ += sync_;
    }

    std::string& row() { return block_; }
    void end_row() {
        ++rows_;
        if (block_.size() >= block_bytes) end_block();
    }
    std::size_t size() const { return file_.size(); }
    const std::string& finish() {
        if (rows_ > 0) end_block();
        return file_;
    }

  private:
    void end_block() {
        const std::string packed = deflated(block_);
        put_long(file_, rows_);
        put_text(file_, packed);
        file_ += sync_;
        block_.clear();
        rows_ = 0;
    }

    std::string file_;
    std::string sync_;
    std::string block_;
    std::int64_t rows_ = 0;
};

std::string optional_field(std::string_view name, std::string_view type, int id) {
    return fmt::format(R"({{"name":"{}","type":["null",{}],"default":null,"field-id":{}}})", name, type, id);
}

std::string field(std::string_view name, std::string_view type, int id) {
    return fmt::format(R"({{"name":"{}","type":"{}","field-id":{}}})", name, type, id);
}

// Iceberg's map from a column's id to something: an array of records.
std::string map_type(int key_id, int value_id, std::string_view value_type) {
    return fmt::format(
        R"({{"type":"array","items":{{"type":"record","name":"k{0}_v{1}","fields":[)"
        R"({{"name":"key","type":"int","field-id":{0}}},{{"name":"value","type":"{2}","field-id":{1}}}]}},)"
        R"("logicalType":"map"}})",
        key_id, value_id, value_type);
}

std::string entry_schema() {
    const std::string partition = fmt::format(
        R"({{"name":"partition","type":{{"type":"record","name":"r102","fields":[{},{}]}},"field-id":102}})",
        optional_field("ordered_day", R"({"type":"int","logicalType":"date"})", 1000),
        optional_field("region", R"("string")", 1001));
    const auto array = [](int id, const char* type) {
        return fmt::format(R"({{"type":"array","items":"{}","element-id":{}}})", type, id);
    };
    const std::vector<std::string> file{field("content", "int", 134),
                                        field("file_path", "string", 100),
                                        field("file_format", "string", 101),
                                        partition,
                                        field("record_count", "long", 103),
                                        field("file_size_in_bytes", "long", 104),
                                        optional_field("column_sizes", map_type(117, 118, "long"), 108),
                                        optional_field("value_counts", map_type(119, 120, "long"), 109),
                                        optional_field("null_value_counts", map_type(121, 122, "long"), 110),
                                        optional_field("nan_value_counts", map_type(138, 139, "long"), 137),
                                        optional_field("lower_bounds", map_type(126, 127, "bytes"), 125),
                                        optional_field("upper_bounds", map_type(129, 130, "bytes"), 128),
                                        optional_field("key_metadata", R"("bytes")", 131),
                                        optional_field("split_offsets", array(133, "long"), 132),
                                        optional_field("equality_ids", array(136, "int"), 135),
                                        optional_field("sort_order_id", R"("int")", 140)};
    return fmt::format(R"({{"type":"record","name":"manifest_entry","fields":[{},{},{},{},)"
                       R"({{"name":"data_file","type":{{"type":"record","name":"r2","fields":[{}]}},"field-id":2}}]}})",
                       field("status", "int", 0), optional_field("snapshot_id", R"("long")", 1),
                       optional_field("sequence_number", R"("long")", 3),
                       optional_field("file_sequence_number", R"("long")", 4), fmt::join(file, ","));
}

std::string list_schema() {
    const std::string summary =
        fmt::format(R"({{"type":"array","items":{{"type":"record","name":"r508","fields":[)"
                    R"({{"name":"contains_null","type":"boolean","field-id":509}},{},{},{}]}},"element-id":508}})",
                    optional_field("contains_nan", R"("boolean")", 518),
                    optional_field("lower_bound", R"("bytes")", 510), optional_field("upper_bound", R"("bytes")", 511));
    const std::vector<std::string> fields{field("manifest_path", "string", 500),
                                          field("manifest_length", "long", 501),
                                          field("partition_spec_id", "int", 502),
                                          field("content", "int", 517),
                                          field("sequence_number", "long", 515),
                                          field("min_sequence_number", "long", 516),
                                          field("added_snapshot_id", "long", 503),
                                          field("added_files_count", "int", 504),
                                          field("existing_files_count", "int", 505),
                                          field("deleted_files_count", "int", 506),
                                          field("added_rows_count", "long", 512),
                                          field("existing_rows_count", "long", 513),
                                          field("deleted_rows_count", "long", 514),
                                          optional_field("partitions", summary, 507),
                                          optional_field("key_metadata", R"("bytes")", 519)};
    return fmt::format(R"({{"type":"record","name":"manifest_file","fields":[{}]}})", fmt::join(fields, ","));
}

std::string table_schema(int columns) {
    std::vector<std::string> fields;
    const auto column = [&](int id, std::string_view name, std::string_view type) {
        fields.push_back(fmt::format(R"({{"id":{},"name":"{}","required":false,"type":"{}"}})", id, name, type));
    };
    for (int i = 0; i < columns; ++i) {
        const char* type = column_types[static_cast<std::size_t>(i) % column_types.size()];
        column(i + 1, i == 1 ? "ordered_at" : i == 3 ? "region" : fmt::format("column_{}", i + 1), type);
    }
    return fmt::format(R"({{"type":"struct","schema-id":0,"fields":[{}]}})", fmt::join(fields, ","));
}

constexpr const char* spec_fields = R"([{"name":"ordered_day","transform":"day","source-id":2,"field-id":1000},)"
                                    R"({"name":"region","transform":"identity","source-id":4,"field-id":1001}])";

// One manifest: its place in the table, and what it came to.
struct Manifest {
    std::int64_t index = 0;
    bool added = false;  // its files are those of the last commit; all others are there since an earlier one
    std::int64_t entries = 0;
    std::string path;
    std::int64_t length = 0;
    std::int64_t records = 0;
    std::int64_t size_bytes = 0;
};

class TableMaker {
  public:
    explicit TableMaker(const TableOptions& options) : options_(options) {
        metadata_folder_ = options.folder + "/metadata";
        fs::create_directories(metadata_folder_);
        if (fs::exists(metadata_folder_ + "/version-hint.text")) {
            throw std::runtime_error(options.folder + " already holds a table");
        }
    }

    TableMade make() {
        plan_manifests();
        std::atomic<std::size_t> next{0};
        const auto work = [&] {
            for (std::size_t i = next++; i < manifests_.size(); i = next++) write_manifest(manifests_[i]);
        };
        std::vector<std::thread> threads;
        for (int i = 1; i < options_.threads; ++i) threads.emplace_back(work);
        work();
        for (std::thread& thread : threads) thread.join();
        for (const Manifest& manifest : manifests_) {
            made_.records += manifest.records;
            made_.size_bytes += manifest.size_bytes;
            made_.manifest_bytes += manifest.length;
        }
        made_.files = options_.files;
        made_.manifests = static_cast<std::int64_t>(manifests_.size());
        if (manifests_.size() > 1) write_list(false);
        write_list(true);
        write_metadata();
        return made_;
    }

  private:
    // How many entries fill a manifest is tried on one that is thrown away.
    void plan_manifests() {
        std::int64_t each =
            options_.manifests > 0 ? (options_.files + options_.manifests - 1) / options_.manifests : options_.files;
        if (options_.manifests == 0) {
            Manifest trial;
            trial.entries = std::min<std::int64_t>(options_.files, 2000);
            write_manifest(trial);
            each = std::max<std::int64_t>(1, options_.manifest_bytes * trial.entries / trial.length);
        }
        for (std::int64_t left = options_.files; left > 0; left -= manifests_.back().entries) {
            Manifest manifest;
            manifest.index = static_cast<std::int64_t>(manifests_.size());
            manifest.entries = std::min(left, each);
            manifests_.push_back(manifest);
        }
        manifests_.back().added = true;
    }

    void write_manifest(Manifest& manifest) const {
        base::Prng prng(options_.seed * 1'000'003 + static_cast<std::uint64_t>(manifest.index));
        ContainerWriter writer({{"schema", table_schema(options_.columns)},
                                {"partition-spec", spec_fields},
                                {"partition-spec-id", "0"},
                                {"format-version", "2"},
                                {"content", "data"},
                                {"avro.schema", entry_schema()},
                                {"avro.codec", "deflate"}},
                               prng);
        Task task;
        manifest.records = manifest.size_bytes = 0;
        for (std::int64_t i = 0; i < manifest.entries; ++i) {
            if (task.files_left == 0) begin_task(task, prng);
            put_entry(writer.row(), manifest, task, prng);
            writer.end_row();
            --task.files_left;
        }
        manifest.path = fmt::format("{}/{:08x}-{:04x}-4a1b-9c3d-5e6f708192a3-m0.avro", metadata_folder_,
                                    options_.seed * 2'654'435'761 & 0xffff'ffff, manifest.index);
        const std::string& bytes = writer.finish();
        manifest.length = static_cast<std::int64_t>(bytes.size());
        save(manifest.path, bytes);
    }

    // A writer's task leaves a few files in one partition, and commits follow one another in time.
    struct Task {
        std::uint64_t files_left = 0;
        std::string folder;
        std::string stem;
        int day = 0;
        const char* region = "";
        std::int64_t commit = 0;
        std::uint64_t number = 0;
    };

    void begin_task(Task& task, base::Prng& prng) const {
        const std::uint64_t partition = prng.below(static_cast<std::uint64_t>(options_.partitions));
        task.files_left = 1 + prng.below(8);
        task.day = first_day + static_cast<int>(partition / regions.size());
        task.region = regions[partition % regions.size()];
        task.commit = static_cast<std::int64_t>(prng.below(50));
        task.number = prng.below(200);
        task.folder =
            fmt::format("file://{}/data/ordered_day={}/region={}/", options_.folder, day_text(task.day), task.region);
        task.stem = fmt::format("{:05}-{}-{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}-0", task.number, task.number + 1713,
                                prng.below(1ULL << 32), prng.below(1 << 16), prng.below(1 << 12), prng.below(1 << 12),
                                prng.below(1ULL << 48));
    }

    static std::string day_text(int day) {
        // Civil date of a day since 1970-01-01, by the era of 400 years.
        const std::int64_t z = day + 719'468;
        const std::int64_t era = z / 146'097;
        const std::int64_t doe = z - era * 146'097;
        const std::int64_t yoe = (doe - doe / 1460 + doe / 36'524 - doe / 146'096) / 365;
        const std::int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        const std::int64_t mp = (5 * doy + 2) / 153;
        const std::int64_t month = mp < 10 ? mp + 3 : mp - 9;
        return fmt::format("{}-{:02}-{:02}", yoe + era * 400 + (month <= 2 ? 1 : 0), month,
                           doy - (153 * mp + 2) / 5 + 1);
    }

    void put_entry(std::string& out, Manifest& manifest, const Task& task, base::Prng& prng) const {
        const auto records = static_cast<std::int64_t>(20'000 + prng.below(400'000));
        const auto size = records * (options_.columns * 3 + static_cast<std::int64_t>(prng.below(50)));
        manifest.records += records;
        manifest.size_bytes += size;
        put_long(out, manifest.added ? 1 : 0);  // the status
        put_optional_long(out, manifest.added ? snapshot_id() : snapshot_of(task.commit));
        for (int i = 0; i < 2; ++i) {  // sequence numbers, which added files inherit
            manifest.added ? put_long(out, 0) : put_optional_long(out, task.commit + 1);
        }
        put_long(out, 0);  // data
        put_text(out, fmt::format("{}{}{:04}.parquet", task.folder, task.stem, task.files_left));
        put_text(out, "PARQUET");
        put_optional_long(out, task.day);
        put_long(out, 1);
        put_text(out, task.region);
        put_long(out, records);
        put_long(out, size);
        put_statistics(out, records, task, prng);
        put_long(out, 0);  // no key metadata
        put_long(out, 1);
        put_long(out, 1);  // one split offset
        put_long(out, 4);
        put_long(out, 0);
        put_long(out, 0);  // no equality ids
        put_optional_long(out, 0);
    }

    void put_statistics(std::string& out, std::int64_t records, const Task& task, base::Prng& prng) const {
        const auto map = [&](int every, const auto& put_value) {
            put_long(out, 1);
            const int count = every == 1 ? options_.columns : (options_.columns - 3 + every) / every;
            if (count > 0) put_long(out, count);
            for (int column = every == 1 ? 0 : 2; column < options_.columns; column += every) {
                put_long(out, column + 1);
                put_value(column);
            }
            put_long(out, 0);
        };
        map(1, [&](int) {
            put_long(out, records + static_cast<std::int64_t>(prng.below(static_cast<std::uint64_t>(records) * 4)));
        });
        map(1, [&](int) { put_long(out, records); });
        map(1, [&](int column) { put_long(out, column % 5 == 4 ? static_cast<std::int64_t>(prng.below(1000)) : 0); });
        map(6, [&](int) { put_long(out, 0); });
        map(1, [&](int column) { put_bound_of(out, column, task, false, prng); });
        map(1, [&](int column) { put_bound_of(out, column, task, true, prng); });
    }

    static void put_bound_of(std::string& out, int column, const Task& task, bool upper, base::Prng& prng) {
        const std::int64_t base = upper ? 900'000 : 0;
        switch (column % 6) {
            case 0:
                return put_bound(out, base * 1000 + static_cast<std::int64_t>(prng.below(1'000'000)));
            case 1:
                return put_bound(out,
                                 (static_cast<std::int64_t>(task.day) * 86'400 + (upper ? 86'000 : 0)) * 1'000'000 +
                                     static_cast<std::int64_t>(prng.below(400'000'000)));
            case 2:
                return put_bound(out, static_cast<double>(base + static_cast<std::int64_t>(prng.below(100'000))) / 100);
            case 3:
                // A region, texts cut to 16 characters as is the default, and every second column shorter ones.
                if (column == 3) return put_text(out, task.region);
                return put_text(out, fmt::format("{}{:015x}", upper ? 'f' : '0', prng.below(1ULL << 60))
                                         .substr(0, column % 12 == 3 ? 4 + prng.below(13) : 16));
            case 4:
                return put_bound(out, static_cast<std::int32_t>(base + static_cast<std::int64_t>(prng.below(10'000))));
            default:
                return put_bound(out, static_cast<std::int32_t>(task.day - (upper ? 0 : 1)));
        }
    }

    // The manifests of a snapshot: all, or those that were there before the last commit.
    void write_list(bool last) const {
        base::Prng prng(options_.seed);
        ContainerWriter writer({{"snapshot-id", fmt::format("{}", last ? snapshot_id() : parent_id())},
                                {"sequence-number", last ? "51" : "50"},
                                {"format-version", "2"},
                                {"avro.schema", list_schema()},
                                {"avro.codec", "deflate"}},
                               prng);
        for (const Manifest& manifest : manifests_) {
            if (manifest.added && !last) continue;
            std::string& out = writer.row();
            put_text(out, "file://" + manifest.path);
            put_long(out, manifest.length);
            put_long(out, 0);
            put_long(out, 0);
            put_long(out, manifest.added ? 51 : 50);
            put_long(out, manifest.added ? 51 : 1);
            put_long(out, manifest.added ? snapshot_id() : parent_id());
            for (const std::int64_t count : {manifest.entries, manifest.records}) {
                put_long(out, manifest.added ? count : 0);
                put_long(out, manifest.added ? 0 : count);
                put_long(out, 0);
            }
            put_long(out, 0);  // no partition summaries
            put_long(out, 0);  // no key metadata
            writer.end_row();
        }
        save(list_file(last), writer.finish());
    }

    std::string snapshot_json(bool last) const {
        std::int64_t files = made_.files;
        std::int64_t records = made_.records;
        std::int64_t bytes = made_.size_bytes;
        const Manifest& added = manifests_.back();
        if (!last) {
            files -= added.entries;
            records -= added.records;
            bytes -= added.size_bytes;
        }
        const std::string parent =
            last && manifests_.size() > 1 ? fmt::format(R"("parent-snapshot-id":{},)", parent_id()) : "";
        const std::string change =
            !last ? ""
                  : fmt::format(R"("added-data-files":"{}","added-records":"{}","added-files-size":"{}",)",
                                added.entries, added.records, added.size_bytes);
        return fmt::format(R"({{"sequence-number":{},"snapshot-id":{},{}"timestamp-ms":{},"schema-id":0,)"
                           R"("summary":{{"operation":"{}",{}"total-data-files":"{}","total-records":"{}",)"
                           R"("total-files-size":"{}","total-delete-files":"0","total-position-deletes":"0",)"
                           R"("total-equality-deletes":"0"}},"manifest-list":"file://{}"}})",
                           last ? 51 : 50, last ? snapshot_id() : parent_id(), parent, first_ms + (last ? 60'000 : 0),
                           last ? "append" : "replace", change, files, records, bytes, list_file(last));
    }

    void write_metadata() {
        std::string snapshots = snapshot_json(true);
        if (manifests_.size() > 1) snapshots = snapshot_json(false) + "," + snapshots;
        const std::string text = fmt::format(
            R"({{"format-version":2,"table-uuid":"9c12d441-03fe-4693-9a96-a0705ddf69c1","location":"file://{0}",)"
            R"("last-sequence-number":51,"last-updated-ms":{1},"last-column-id":{2},"current-schema-id":0,"schemas":[{3}],)"
            R"("default-spec-id":0,"partition-specs":[{{"spec-id":0,"fields":{4}}}],"last-partition-id":1001,)"
            R"("default-sort-order-id":0,"sort-orders":[{{"order-id":0,"fields":[]}}],"properties":{{}},)"
            R"("current-snapshot-id":{5},"refs":{{"main":{{"snapshot-id":{5},"type":"branch"}}}},)"
            R"("snapshots":[{6}],"snapshot-log":[{{"snapshot-id":{5},"timestamp-ms":{1}}}],"metadata-log":[]}})",
            options_.folder, first_ms + 60'000, options_.columns, table_schema(options_.columns), spec_fields,
            snapshot_id(), snapshots);
        made_.metadata_file = metadata_folder_ + "/v1.metadata.json";
        save(made_.metadata_file, text);
        save(metadata_folder_ + "/version-hint.text", "1");
    }

    static std::int64_t snapshot_of(std::int64_t commit) { return first_snapshot_id + commit * 7'919'000'003; }
    static std::int64_t parent_id() { return snapshot_of(49); }
    static std::int64_t snapshot_id() { return snapshot_of(50); }
    std::string list_file(bool last) const {
        return fmt::format("{}/snap-{}-1-list.avro", metadata_folder_, last ? snapshot_id() : parent_id());
    }

    static void save(const std::string& path, const std::string& bytes) {
        std::ofstream file(path, std::ios::binary);
        file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        file.close();
        if (!file) throw std::runtime_error("cannot write " + path);
    }

    TableOptions options_;
    std::string metadata_folder_;
    std::vector<Manifest> manifests_;
    TableMade made_;
};

// Takes a long from the front; the files are our own.
std::int64_t get_long(const std::string& file, std::size_t& at) {
    std::uint64_t raw = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const auto byte = static_cast<unsigned char>(file.at(at++));
        raw |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
        if (byte < 0x80) break;
    }
    return static_cast<std::int64_t>((raw >> 1) ^ (~(raw & 1) + 1));
}

}  // namespace

TableMade make_table(const TableOptions& options) { return TableMaker(options).make(); }

std::vector<PackedBlock> packed_blocks(const std::string& file) {
    std::size_t at = 4;
    for (std::int64_t count = get_long(file, at); count != 0; count = get_long(file, at)) {
        for (std::int64_t i = 0; i < 2 * count; ++i) {
            const auto size = static_cast<std::size_t>(get_long(file, at));
            at += size;
        }
    }
    constexpr std::size_t sync_bytes = 16;
    at += sync_bytes;
    std::vector<PackedBlock> blocks;
    while (at < file.size()) {
        PackedBlock block;
        block.rows = get_long(file, at);
        block.size = static_cast<std::size_t>(get_long(file, at));
        block.offset = at;
        at += block.size + sync_bytes;
        blocks.push_back(block);
    }
    return blocks;
}

}  // namespace signalbox::bench
