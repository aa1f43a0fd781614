#pragma once
// Avro bytes by hand, independent of the decoder under test.

#include <cstdint>
#include <cstring>
#include <libdeflate.h>
#include <snappy.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <zstd.h>

namespace signalbox::test {

inline std::string avro_long(std::int64_t value) {
    auto raw = (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
    std::string out;
    for (; raw >= 0x80; raw >>= 7) out += static_cast<char>((raw & 0x7f) | 0x80);
    out += static_cast<char>(raw);
    return out;
}

inline std::string avro_text(std::string_view text) {
    return avro_long(static_cast<std::int64_t>(text.size())) + std::string(text);
}

inline std::string avro_double(double value) {
    std::string out(sizeof value, '\0');
    std::memcpy(out.data(), &value, sizeof value);
    return out;
}

inline std::string avro_float(float value) {
    std::string out(sizeof value, '\0');
    std::memcpy(out.data(), &value, sizeof value);
    return out;
}

inline std::string deflate(std::string_view data) {
    libdeflate_compressor* compressor = libdeflate_alloc_compressor(6);
    std::string out(libdeflate_deflate_compress_bound(compressor, data.size()), '\0');
    out.resize(libdeflate_deflate_compress(compressor, data.data(), data.size(), out.data(), out.size()));
    libdeflate_free_compressor(compressor);
    return out;
}

inline std::string gzip(std::string_view data) {
    libdeflate_compressor* compressor = libdeflate_alloc_compressor(6);
    std::string out(libdeflate_gzip_compress_bound(compressor, data.size()), '\0');
    out.resize(libdeflate_gzip_compress(compressor, data.data(), data.size(), out.data(), out.size()));
    libdeflate_free_compressor(compressor);
    return out;
}

inline std::string zstd(std::string_view data) {
    std::string out(ZSTD_compressBound(data.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3));
    return out;
}

inline std::string snappy_block(std::string_view data) {
    std::string out;
    snappy::Compress(data.data(), data.size(), &out);
    const std::uint32_t crc = libdeflate_crc32(0, data.data(), data.size());
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(crc >> shift & 0xff);
    return out;
}

inline std::string packed(std::string_view codec, std::string_view data) {
    if (codec == "deflate") return deflate(data);
    if (codec == "snappy") return snappy_block(data);
    if (codec == "zstandard") return zstd(data);
    return std::string(data);
}

// A whole container file; each block is {rows, data}.
inline std::string avro_file(std::string_view schema, std::string_view codec,
                             const std::vector<std::pair<std::int64_t, std::string>>& blocks,
                             const std::vector<std::pair<std::string, std::string>>& metadata = {}) {
    const std::string sync = "0123456789abcdef";
    std::string file("Obj\x01", 4);
    file += avro_long(static_cast<std::int64_t>(metadata.size()) + 2);
    file += avro_text("avro.schema") + avro_text(schema) + avro_text("avro.codec") + avro_text(codec);
    for (const auto& [key, value] : metadata) file += avro_text(key) + avro_text(value);
    file += avro_long(0) + sync;
    for (const auto& [rows, data] : blocks) {
        const std::string body = packed(codec, data);
        file += avro_long(rows) + avro_long(static_cast<std::int64_t>(body.size())) + body + sync;
    }
    return file;
}

}  // namespace signalbox::test
