// The peer of lake.read.vs_avroc: counts files and records of manifests with avro-c, in one of two ways. "direct": its
// events, which build no value, with its skipping over all that is not wanted. "generic": its file reader and generic
// values. Prints one JSON object.

#include <algorithm>
#include <avro.h>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>
#include <zlib.h>

#include "lake_table.hpp"

namespace {

struct Counts {
    std::int64_t entries = 0;
    std::int64_t records = 0;
    std::int64_t bytes = 0;
    std::size_t path_bytes = 0;
};

[[noreturn]] void stop(const std::string& what) { throw std::runtime_error(what); }

double core_seconds() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// A consumer of a record's wanted fields; all others are stepped over.
struct Consumer : avro_consumer_t {
    Consumer() { std::memset(static_cast<avro_consumer_t*>(this), 0, sizeof(avro_consumer_t)); }
    std::vector<std::unique_ptr<Consumer>> fields;  // nullptr: not wanted
    std::int64_t Counts::*number = nullptr;
};

int take_long(avro_consumer_t* self, std::int64_t value, void* counts) {
    if (auto const number = static_cast<Consumer*>(self)->number) static_cast<Counts*>(counts)->*number += value;
    return 0;
}
int take_int(avro_consumer_t* self, std::int32_t value, void* counts) { return take_long(self, value, counts); }
int take_null(avro_consumer_t*, void*) { return 0; }
int take_string(avro_consumer_t*, const void*, std::size_t size, void* counts) {
    static_cast<Counts*>(counts)->path_bytes += size;
    return 0;
}
int start_record(avro_consumer_t*, void*) { return 0; }
int take_part(avro_consumer_t* self, unsigned index, avro_consumer_t** part, void** part_data, void* counts) {
    *part = static_cast<Consumer*>(self)->fields[index].get();
    *part_data = counts;
    return 0;
}

std::unique_ptr<Consumer> consumer_of(avro_schema_t schema) {
    auto consumer = std::make_unique<Consumer>();
    consumer->schema = schema;
    consumer->long_value = take_long;
    consumer->int_value = take_int;
    consumer->null_value = take_null;
    consumer->string_value = take_string;
    if (is_avro_union(schema)) {
        consumer->union_branch = take_part;
        for (std::size_t i = 0; i < avro_schema_union_size(schema); ++i) {
            consumer->fields.push_back(consumer_of(avro_schema_union_branch(schema, static_cast<int>(i))));
        }
    }
    if (!is_avro_record(schema)) return consumer;
    consumer->record_start = start_record;
    consumer->record_field = take_part;
    for (std::size_t i = 0; i < avro_schema_record_size(schema); ++i) {
        const std::string_view name = avro_schema_record_field_name(schema, static_cast<int>(i));
        const avro_schema_t type = avro_schema_record_field_get_by_index(schema, static_cast<int>(i));
        constexpr std::string_view wanted[] = {"status",    "snapshot_id", "sequence_number", "data_file",
                                               "file_path", "file_format", "record_count",    "file_size_in_bytes",
                                               "content",   "partition",   "ordered_day",     "region"};
        const bool is_wanted = std::find(std::begin(wanted), std::end(wanted), name) != std::end(wanted);
        consumer->fields.push_back(is_wanted ? consumer_of(type) : nullptr);
        if (name == "record_count") consumer->fields.back()->number = &Counts::records;
        if (name == "file_size_in_bytes") consumer->fields.back()->number = &Counts::bytes;
    }
    return consumer;
}

std::string schema_of(const std::string& file) {
    constexpr std::string_view key = "avro.schema";
    std::size_t at = file.find(key) + key.size();
    std::uint64_t raw = 0;
    for (unsigned shift = 0;; shift += 7) {
        const auto byte = static_cast<unsigned char>(file.at(at++));
        raw |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
        if (byte < 0x80) break;
    }
    return file.substr(at, raw / 2);
}

// Inflates as avro-c's own file reader does, with zlib.
std::size_t inflated(std::string_view packed, std::vector<char>& room) {
    z_stream stream{};
    if (::inflateInit2(&stream, -MAX_WBITS) != Z_OK) stop("zlib did not start");
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
    stream.avail_in = static_cast<uInt>(packed.size());
    stream.next_out = reinterpret_cast<Bytef*>(room.data());
    stream.avail_out = static_cast<uInt>(room.size());
    const int status = ::inflate(&stream, Z_FINISH);
    const std::size_t size = stream.total_out;
    ::inflateEnd(&stream);
    if (status != Z_STREAM_END) stop("a block can't be inflated");
    return size;
}

void read_direct(const char* path, Counts& counts) {
    std::ifstream stream(path, std::ios::binary);
    const std::string file((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    const std::string text = schema_of(file);
    avro_schema_t schema = nullptr;
    if (avro_schema_from_json_length(text.data(), text.size(), &schema) != 0) stop(avro_strerror());
    const auto consumer = consumer_of(schema);
    std::vector<char> room(std::size_t{1} << 20);
    avro_reader_t reader = avro_reader_memory(room.data(), 0);
    for (const auto& block : signalbox::bench::packed_blocks(file)) {
        const std::size_t size = inflated(std::string_view(file).substr(block.offset, block.size), room);
        avro_reader_memory_set_source(reader, room.data(), static_cast<std::int64_t>(size));
        for (std::int64_t row = 0; row < block.rows; ++row) {
            if (avro_consume_binary(reader, consumer.get(), &counts) != 0) stop(avro_strerror());
            ++counts.entries;
        }
    }
    avro_reader_free(reader);
    avro_schema_decref(schema);
}

void read_generic(const char* path, Counts& counts) {
    avro_file_reader_t reader = nullptr;
    if (avro_file_reader(path, &reader) != 0) stop(avro_strerror());
    avro_schema_t schema = avro_file_reader_get_writer_schema(reader);
    avro_value_iface_t* const iface = avro_generic_class_from_schema(schema);
    avro_value_t entry;
    avro_generic_value_new(iface, &entry);
    while (avro_file_reader_read_value(reader, &entry) == 0) {
        avro_value_t file;
        avro_value_t field;
        std::int64_t number = 0;
        avro_value_get_by_name(&entry, "data_file", &file, nullptr);
        avro_value_get_by_name(&file, "record_count", &field, nullptr);
        avro_value_get_long(&field, &number);
        counts.records += number;
        ++counts.entries;
        avro_value_reset(&entry);
    }
    avro_value_decref(&entry);
    avro_value_iface_decref(iface);
    avro_schema_decref(schema);
    avro_file_reader_close(reader);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const std::string_view way = argc > 1 ? argv[1] : "";
        if (argc < 3 || (way != "direct" && way != "generic")) stop("usage: lake_avro_peer direct|generic MANIFEST…");
        Counts counts;
        const double begin = core_seconds();
        for (int i = 2; i < argc; ++i) way == "direct" ? read_direct(argv[i], counts) : read_generic(argv[i], counts);
        std::cout << "{\"entries\": " << counts.entries << ", \"records\": " << counts.records
                  << ", \"core_s\": " << core_seconds() - begin << "}\n";
    } catch (const std::exception& error) {
        std::cerr << "lake_avro_peer: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
