#include "wire/avro/compression.hpp"

#include <algorithm>
#include <cstring>
#include <libdeflate.h>
#include <snappy.h>
#include <zstd.h>

namespace signalbox::avro {

using base::ErrorKind;
using base::fail;

namespace {

// Python's writers strip zlib's header but leave three of the four bytes of its checksum, which Avro has no place for.
bool is_adler_of(std::string_view rest, std::uint32_t adler) {
    if (rest.size() != 3 && rest.size() != 4) return false;
    for (std::size_t i = 0; i < rest.size(); ++i) {
        if (static_cast<unsigned char>(rest[i]) != (adler >> (24 - 8 * i) & 0xff)) return false;
    }
    return true;
}

}  // namespace

base::Result<Codec> codec_of_name(std::string_view name) {
    if (name.empty() || name == "null") return Codec::Null;
    if (name == "deflate") return Codec::Deflate;
    if (name == "snappy") return Codec::Snappy;
    if (name == "zstandard") return Codec::Zstandard;
    return fail(ErrorKind::NotSupported, "Avro codec '{}' is not supported; null, deflate, snappy and zstandard are",
                name.substr(0, 40));
}

Decompressor::Decompressor(std::size_t size_max_bytes) : size_max_bytes_(size_max_bytes) {}

Decompressor::~Decompressor() {
    libdeflate_free_decompressor(deflate_);
    ZSTD_freeDCtx(zstd_);
}

base::Result<std::string_view> Decompressor::decompress(Codec codec, std::string_view input) {
    switch (codec) {
        case Codec::Null:
            if (input.size() > size_max_bytes_) return too_large();
            return input;
        case Codec::Deflate:
        case Codec::Gzip:
            return inflate(codec, input);
        case Codec::Snappy:
            return unsnappy(input);
        case Codec::Zstandard:
            return unzstd(input);
    }
    return fail(ErrorKind::Internal, "unknown codec");
}

base::Result<std::string_view> Decompressor::inflate(Codec codec, std::string_view input) {
    if (deflate_ == nullptr) deflate_ = libdeflate_alloc_decompressor();
    if (deflate_ == nullptr) return fail(ErrorKind::Internal, "no memory for the inflater");
    // Statistics compress to about a sixth; a wrong guess costs one more attempt per doubling, once per file.
    if (!reserve(std::min(size_max_bytes_, std::max<std::size_t>(input.size() * 8, 1 << 16)), 0)) return too_large();
    std::size_t produced = 0;
    std::size_t consumed = 0;
    for (;;) {
        std::size_t read = 0;
        std::size_t written = 0;
        const auto attempt = codec == Codec::Gzip ? libdeflate_gzip_decompress_ex : libdeflate_deflate_decompress_ex;
        const libdeflate_result result = attempt(deflate_, input.data() + consumed, input.size() - consumed,
                                                 buffer_.get() + produced, capacity_ - produced, &read, &written);
        if (result == LIBDEFLATE_INSUFFICIENT_SPACE) {
            if (capacity_ >= size_max_bytes_) return too_large();
            if (!reserve(std::min(size_max_bytes_, capacity_ * 2), produced)) return too_large();
            continue;
        }
        if (result != LIBDEFLATE_SUCCESS) return fail(ErrorKind::CorruptData, "the compressed data is damaged");
        produced += written;
        consumed += read;
        if (codec != Codec::Gzip || consumed >= input.size()) break;
    }
    const std::string_view rest = input.substr(consumed);
    if (!rest.empty() && !is_adler_of(rest, libdeflate_adler32(1, buffer_.get(), produced))) {
        return fail(ErrorKind::CorruptData, "{} bytes follow the end of the compressed data", rest.size());
    }
    return std::string_view(buffer_.get(), produced);
}

base::Result<std::string_view> Decompressor::unsnappy(std::string_view input) {
    if (input.size() < 4) return fail(ErrorKind::CorruptData, "a snappy block has no room for its checksum");
    const std::string_view packed = input.substr(0, input.size() - 4);
    std::size_t size = 0;
    if (!snappy::GetUncompressedLength(packed.data(), packed.size(), &size)) {
        return fail(ErrorKind::CorruptData, "the compressed data is damaged");
    }
    if (!reserve(size, 0)) return too_large();
    if (!snappy::RawUncompress(packed.data(), packed.size(), buffer_.get())) {
        return fail(ErrorKind::CorruptData, "the compressed data is damaged");
    }
    std::uint32_t expected = 0;
    for (const char byte : input.substr(packed.size())) expected = expected << 8 | static_cast<unsigned char>(byte);
    const std::uint32_t found = libdeflate_crc32(0, buffer_.get(), size);
    if (found != expected) {
        return fail(ErrorKind::CorruptData, "checksum is {:08x}, expected {:08x}: the data is damaged", found,
                    expected);
    }
    return std::string_view(buffer_.get(), size);
}

base::Result<std::string_view> Decompressor::unzstd(std::string_view input) {
    if (zstd_ == nullptr) zstd_ = ZSTD_createDCtx();
    if (zstd_ == nullptr) return fail(ErrorKind::Internal, "no memory for zstd");
    ZSTD_DCtx_reset(zstd_, ZSTD_reset_session_only);
    ZSTD_inBuffer in{input.data(), input.size(), 0};
    std::size_t produced = 0;
    std::size_t pending = 1;
    while (in.pos < in.size || pending != 0) {
        if (produced == capacity_) {
            if (capacity_ >= size_max_bytes_) return too_large();
            const std::size_t wanted = std::max<std::size_t>({capacity_ * 2, input.size() * 8, 1 << 16});
            if (!reserve(std::min(size_max_bytes_, wanted), produced)) return too_large();
        }
        ZSTD_outBuffer out{buffer_.get(), capacity_, produced};
        const std::size_t consumed_before = in.pos;
        pending = ZSTD_decompressStream(zstd_, &out, &in);
        if (ZSTD_isError(pending) != 0) {
            return fail(ErrorKind::CorruptData, "the compressed data is damaged: {}", ZSTD_getErrorName(pending));
        }
        if (out.pos == produced && in.pos == consumed_before && in.pos == in.size && pending != 0) {
            return fail(ErrorKind::CorruptData, "the compressed data ends too early");
        }
        produced = out.pos;
    }
    return std::string_view(buffer_.get(), produced);
}

bool Decompressor::reserve(std::size_t size, std::size_t used) {
    if (size > size_max_bytes_) return false;
    if (size <= capacity_ && buffer_ != nullptr) return true;
    const std::size_t capacity = std::max<std::size_t>(size, 1);
    std::unique_ptr<char[]> larger(new char[capacity]);
    if (used > 0) std::memcpy(larger.get(), buffer_.get(), used);
    buffer_ = std::move(larger);
    capacity_ = capacity;
    return true;
}

tl::unexpected<base::Error> Decompressor::too_large() const {
    return fail(ErrorKind::CorruptData, "the data grows past {} bytes, the most that is decompressed at once",
                size_max_bytes_);
}

}  // namespace signalbox::avro
