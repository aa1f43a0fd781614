#pragma once
// Block compression as Avro and Iceberg use it: bytes in, bytes out, the output bounded so that a small file cannot
// fill the memory.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/error.hpp"

struct libdeflate_decompressor;
struct ZSTD_DCtx_s;

namespace signalbox::avro {

enum class Codec { Null, Deflate, Snappy, Zstandard, Gzip };

// The codec of an Avro header's avro.codec ("null", "deflate", "snappy", "zstandard"; an empty name means null).
// NotSupported for any other ("bzip2", "xz").
base::Result<Codec> codec_of_name(std::string_view name);

// Decompresses one piece after another into a buffer that it keeps, so that a file of many blocks allocates once.
// One thread at a time.
class Decompressor {
  public:
    // No piece may grow larger than size_max_bytes: CorruptData.
    explicit Decompressor(std::size_t size_max_bytes);
    ~Decompressor();
    Decompressor(const Decompressor&) = delete;
    Decompressor& operator=(const Decompressor&) = delete;

    // The whole input is one compressed piece: raw deflate (followed by its Adler-32, whole or without the last byte,
    // where the writer left it there: then it is checked), a gzip file (of one or several members), zstd frames, or
    // Avro's snappy (with the big-endian CRC-32 of the output in the last four bytes). The view lives until the next
    // call; Codec::Null gives the input itself. Errors are CorruptData and say what is wrong, not where.
    base::Result<std::string_view> decompress(Codec codec, std::string_view input);

  private:
    base::Result<std::string_view> inflate(Codec codec, std::string_view input);
    base::Result<std::string_view> unsnappy(std::string_view input);
    base::Result<std::string_view> unzstd(std::string_view input);
    // Makes room for `size` bytes and keeps the first `used` ones; false past the bound.
    bool reserve(std::size_t size, std::size_t used);
    tl::unexpected<base::Error> too_large() const;

    std::size_t size_max_bytes_;
    std::unique_ptr<char[]> buffer_;
    std::size_t capacity_ = 0;
    libdeflate_decompressor* deflate_ = nullptr;
    ZSTD_DCtx_s* zstd_ = nullptr;
};

}  // namespace signalbox::avro
