#include "wire/avro/container.hpp"

#include <algorithm>

namespace signalbox::avro {

using base::ErrorKind;
using base::fail;
using base::Result;
using base::Status;

namespace {
constexpr std::string_view magic("Obj\x01", 4);
constexpr std::size_t sync_bytes = 16;
}  // namespace

ContainerReader::ContainerReader(std::string_view file, Limits limits)
    : file_(file), limits_(limits), decompressor_(limits.block_max_bytes) {}

Status ContainerReader::open() {
    if (file_.substr(0, magic.size()) != magic) {
        return fail(ErrorKind::CorruptData, "at byte 0: expected an Avro file, which begins with 'Obj' and 1");
    }
    at_ = magic.size();
    SB_CHECK(read_metadata());
    if (file_.size() - at_ < sync_bytes) return corrupt(at_, "the file ends inside its header");
    sync_ = file_.substr(at_, sync_bytes);
    at_ += sync_bytes;
    if (schema_text().empty()) return corrupt(magic.size(), "the header has no avro.schema");
    const auto codec = metadata_.find("avro.codec");
    SB_TRY(codec_, codec_of_name(codec == metadata_.end() ? "" : codec->second));
    return {};
}

Status ContainerReader::read_metadata() {
    std::size_t entries = 0;
    for (;;) {
        const std::uint64_t offset = at_;
        SB_TRY(std::int64_t count, read_long("the header's number of entries"));
        if (count == 0) return {};
        if (count < 0) {
            SB_CHECK(read_long("the header's size"));
            count = count < -static_cast<std::int64_t>(limits_.header_entries_max) ? -1 : -count;
        }
        if (count < 0 || static_cast<std::uint64_t>(count) > limits_.header_entries_max - entries) {
            return corrupt(offset, fmt::format("the header claims more than {} entries", limits_.header_entries_max));
        }
        entries += static_cast<std::size_t>(count);
        for (; count > 0; --count) {
            SB_TRY(const std::string_view key, read_text("a header key"));
            SB_TRY(const std::string_view value, read_text("a header value"));
            metadata_.insert_or_assign(std::string(key), std::string(value));
        }
    }
}

std::string_view ContainerReader::schema_text() const {
    const auto found = metadata_.find("avro.schema");
    return found == metadata_.end() ? std::string_view{} : std::string_view(found->second);
}

Result<bool> ContainerReader::next_block(Block& block) {
    if (at_ == file_.size()) return false;
    block.offset = at_;
    SB_TRY(block.row_count, read_long("a block's number of rows"));
    if (block.row_count < 0) return corrupt(block.offset, "a block claims a negative number of rows");
    const std::uint64_t size_offset = at_;
    SB_TRY(const std::int64_t size, read_long("a block's size"));
    const std::uint64_t left = file_.size() - at_;
    if (size < 0 || static_cast<std::uint64_t>(size) > left || left - static_cast<std::uint64_t>(size) < sync_bytes) {
        return corrupt(
            size_offset,
            fmt::format("a block claims {} bytes and {} follow: the file is cut short or damaged", size, left));
    }
    const std::string_view packed = file_.substr(at_, static_cast<std::size_t>(size));
    const std::uint64_t data_offset = at_;
    at_ += packed.size();
    if (file_.substr(at_, sync_bytes) != sync_) {
        return corrupt(at_, "the mark at the end of a block differs from the header's: the file is damaged");
    }
    at_ += sync_bytes;
    auto data = decompressor_.decompress(codec_, packed);
    if (!data) return corrupt(data_offset, data.error().message);
    block.data = *data;
    return true;
}

Result<std::int64_t> ContainerReader::read_long(std::string_view what) {
    std::uint64_t result = 0;
    const std::uint64_t offset = at_;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (at_ == file_.size()) return corrupt(offset, fmt::format("the file ends inside {}", what));
        const auto byte = static_cast<unsigned char>(file_[at_++]);
        if (shift == 63 && byte > 1) break;
        result |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
        if (byte < 0x80) return static_cast<std::int64_t>((result >> 1) ^ (~(result & 1) + 1));
    }
    return corrupt(offset, fmt::format("{} is longer than 64 bits", what));
}

Result<std::string_view> ContainerReader::read_text(std::string_view what) {
    const std::uint64_t offset = at_;
    SB_TRY(const std::int64_t size, read_long(what));
    if (size < 0 || static_cast<std::uint64_t>(size) > file_.size() - at_) {
        return corrupt(offset, fmt::format("{} claims {} bytes and {} follow", what, size, file_.size() - at_));
    }
    const std::string_view text = file_.substr(at_, static_cast<std::size_t>(size));
    at_ += text.size();
    return text;
}

tl::unexpected<base::Error> ContainerReader::corrupt(std::uint64_t offset, std::string_view what) const {
    return fail(ErrorKind::CorruptData, "at byte {}: {}", offset, what);
}

tl::unexpected<base::Error> ContainerReader::block_error(const Block& block, const std::string& what) {
    return fail(ErrorKind::CorruptData, "at byte {}: in the block that begins there, {}", block.offset, what);
}

tl::unexpected<base::Error> ContainerReader::row_error(const base::Error& error, const Block& block, std::int64_t row) {
    return fail(error.kind, "at byte {}: in the block that begins there, row {}: {}", block.offset, row, error.message);
}

}  // namespace signalbox::avro
