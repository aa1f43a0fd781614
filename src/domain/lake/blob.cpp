#include "domain/lake/blob.hpp"

namespace signalbox::lake {

void BlobWriter::varint(unsigned __int128 value) {
    for (; value >= 0x80; value >>= 7) out_ += static_cast<char>(static_cast<unsigned char>(value & 0x7f) | 0x80);
    out_ += static_cast<char>(value);
}

void BlobWriter::fixed(std::uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) out_ += static_cast<char>(value >> shift & 0xff);
}

void BlobWriter::wide(unsigned __int128 value) {
    const bool negative = value >> 127 != 0;
    varint(value << 1 ^ (negative ? ~static_cast<unsigned __int128>(0) : 0));
}

void BlobWriter::optional(std::optional<std::int64_t> value) {
    byte(value ? 1 : 0);
    if (value) number(*value);
}

void BlobWriter::text(std::string_view value) {
    count(value.size());
    out_ += value;
}

// Only the shortest form of a number is accepted, so that equal values have equal bytes.
unsigned __int128 BlobReader::varint(int bits_max) {
    unsigned __int128 value = 0;
    for (int shift = 0; shift < bits_max; shift += 7) {
        const unsigned __int128 part = byte();
        const unsigned __int128 bits = part & 0x7f;
        if (shift + 7 > bits_max && bits >> (bits_max - shift) != 0) break;
        value |= bits << shift;
        if (part < 0x80) {
            expect(part != 0 || shift == 0);
            return failed_ ? 0 : value;
        }
    }
    fail();
    return 0;
}

std::uint8_t BlobReader::byte() {
    if (failed_ || in_.empty()) {
        fail();
        return 0;
    }
    const auto value = static_cast<std::uint8_t>(in_.front());
    in_.remove_prefix(1);
    return value;
}

std::size_t BlobReader::count(std::size_t bytes_each) {
    const auto value = static_cast<std::uint64_t>(varint(64));
    expect(value <= in_.size() / bytes_each);
    return failed_ ? 0 : static_cast<std::size_t>(value);
}

std::int64_t BlobReader::number() {
    const auto raw = static_cast<std::uint64_t>(varint(64));
    return static_cast<std::int64_t>(raw >> 1 ^ (~(raw & 1) + 1));
}

std::int64_t BlobReader::natural() {
    const std::int64_t value = number();
    expect(value >= 0);
    return failed_ ? 0 : value;
}

std::uint64_t BlobReader::fixed() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 8) value |= std::uint64_t{byte()} << shift;
    return value;
}

unsigned __int128 BlobReader::wide() {
    const unsigned __int128 raw = varint(128);
    return raw >> 1 ^ (~(raw & 1) + 1);
}

std::optional<std::int64_t> BlobReader::optional() {
    const std::uint8_t there = byte();
    expect(there <= 1);
    if (failed_ || there == 0) return std::nullopt;
    return number();
}

std::string_view BlobReader::text() {
    const std::size_t size = count(1);
    const std::string_view value = in_.substr(0, size);
    in_.remove_prefix(size);
    return value;
}

}  // namespace signalbox::lake
