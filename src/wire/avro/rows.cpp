#include "wire/avro/rows.hpp"

#include <bit>
#include <cstring>

namespace signalbox::avro {
namespace {
constexpr const char* too_short = "the data ends inside a value";
constexpr std::size_t varint_max_bytes = 10;
}  // namespace

RowCursor::RowCursor(const Plan& plan, std::string_view block, std::int64_t row_count)
    : plan_(plan),
      begin_(reinterpret_cast<const std::uint8_t*>(block.data())),
      at_(begin_),
      end_(begin_ + block.size()),
      rows_left_(row_count),
      slots_(plan.slots()) {
    // A row takes at least one byte: this bounds the loop over the rows.
    if (row_count < 0 || static_cast<std::uint64_t>(row_count) > block.size()) {
        fail_with("the block claims more rows than it has room for");
    }
}

bool RowCursor::next() {
    if (failed()) return false;
    if (rows_left_ == 0) {
        if (at_ != end_) fail_with("bytes are left over after the last row");
        return false;
    }
    for (Value& slot : slots_) slot.kind = ValueKind::Null;
    if (!run(plan_.row())) return false;
    --rows_left_;
    ++rows_read_;
    return true;
}

std::string RowCursor::failure() const {
    if (!failed()) return {};
    return fmt::format("{} (byte {} of the block's data, row {})", failure_, at_ - begin_, rows_read_);
}

bool RowCursor::run(OpRange range) {
    const Op* const ops = plan_.ops().data();
    for (std::uint32_t i = range.begin; i < range.end; ++i) {
        const Op& op = ops[i];
        bool good = false;
        switch (op.step) {
            case Step::SkipVarints:
                good = skip_varints(op.n);
                break;
            case Step::SkipBytes:
                good = skip_bytes(op.n);
                break;
            case Step::SkipText:
                good = skip_text();
                break;
            case Step::SkipVarintArray:
            case Step::SkipMapLikeArray:
            case Step::SkipArray:
                good = skip_array(op);
                break;
            case Step::Switch:
            case Step::Optional:
                good = choose(op);
                break;
            default:
                good = take(op);
        }
        if (!good) return false;
    }
    return true;
}

bool RowCursor::choose(const Op& op) {
    std::uint64_t branch = 0;
    if (!read_varint(branch)) return false;
    // Zigzag: branch b is written as 2b; an odd number is a negative branch.
    if (branch % 2 != 0 || branch / 2 >= (op.step == Step::Optional ? 2 : op.n)) {
        return fail_with("a union names a branch that its schema does not have");
    }
    branch /= 2;
    if (op.step == Step::Optional) return branch == op.n || run({op.body_begin, op.body_end});
    return run(plan_.branches()[op.body_begin + branch]);
}

bool RowCursor::take(const Op& op) {
    Value& slot = slots_[op.slot];
    switch (op.step) {
        case Step::TakeVarint:
            slot.kind = ValueKind::Integer;
            return read_long(slot.integer);
        case Step::TakeBoolean:
            if (left() < 1) return fail_with(too_short);
            if (*at_ > 1) return fail_with("a boolean is neither 0 nor 1");
            slot.kind = ValueKind::Boolean;
            slot.integer = *at_++;
            return true;
        case Step::TakeFloat: {
            float value = 0;
            if (left() < sizeof value) return fail_with(too_short);
            std::memcpy(&value, at_, sizeof value);
            at_ += sizeof value;
            slot.kind = ValueKind::Real;
            slot.real = static_cast<double>(value);
            return true;
        }
        case Step::TakeDouble:
            if (left() < sizeof slot.real) return fail_with(too_short);
            std::memcpy(&slot.real, at_, sizeof slot.real);
            at_ += sizeof slot.real;
            slot.kind = ValueKind::Real;
            return true;
        default: {
            std::int64_t size = op.n;
            if (op.step == Step::TakeText && !read_long(size)) return false;
            if (size < 0 || static_cast<std::uint64_t>(size) > left()) return fail_with(too_short);
            slot.kind = ValueKind::Text;
            slot.text = {reinterpret_cast<const char*>(at_), static_cast<std::size_t>(size)};
            at_ += size;
            return true;
        }
    }
}

bool RowCursor::skip_array(const Op& op) {
    // Each block but the last takes at least two bytes, so that the data bounds this loop.
    for (;;) {
        std::int64_t count = 0;
        if (!read_long(count)) return false;
        if (count == 0) return true;
        if (count < 0) {  // the writer gave the block's size, so that it can be stepped over at once
            std::int64_t size = 0;
            if (!read_long(size)) return false;
            if (size < 0) return fail_with("an array's block has a negative size");
            if (!skip_bytes(static_cast<std::uint64_t>(size))) return false;
        } else if (!skip_elements(op, static_cast<std::uint64_t>(count))) {
            return false;
        }
    }
}

bool RowCursor::skip_elements(const Op& op, std::uint64_t count) {
    if (op.step == Step::SkipArray && op.body_begin == op.body_end) return true;  // elements of no bytes
    if (count > left()) return fail_with("an array claims more elements than the data has room for");
    switch (op.step) {
        case Step::SkipVarintArray:
            return skip_varints(count * op.n);  // a block has less than 2^38 bytes, an element less than 2^26 numbers
        case Step::SkipMapLikeArray:
            return skip_map_like(count);
        default:
            for (; count > 0; --count) {
                if (!run({op.body_begin, op.body_end})) return false;
            }
            return true;
    }
}

// Half of a manifest's bytes are bounds of columns: mostly a key and a length of one byte each, taken together.
bool RowCursor::skip_map_like(std::uint64_t count) {
    for (; count > 0; --count) {
        if (left() >= 2 && at_[0] < 0x80 && at_[1] < 0x80 && at_[1] % 2 == 0 && left() >= 2U + at_[1] / 2) {
            at_ += 2 + at_[1] / 2;
        } else if (!skip_varints(1) || !skip_text()) {
            return false;
        }
    }
    return true;
}

bool RowCursor::read_varint(std::uint64_t& value) {
    if (at_ < end_ && *at_ < 0x80) {
        value = *at_++;
        return true;
    }
    std::uint64_t result = 0;
    for (std::size_t i = 0; i < varint_max_bytes; ++i) {
        if (at_ == end_) return fail_with(too_short);
        const std::uint64_t byte = *at_++;
        if (i == varint_max_bytes - 1 && byte > 1) break;
        result |= (byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            value = result;
            return true;
        }
    }
    return fail_with("a number is longer than 64 bits");
}

bool RowCursor::read_long(std::int64_t& value) {
    std::uint64_t raw = 0;
    if (!read_varint(raw)) return false;
    value = static_cast<std::int64_t>((raw >> 1) ^ (~(raw & 1) + 1));
    return true;
}

// Steps over numbers by counting the bytes that end one, eight at a time. A stepped-over number may be overlong.
bool RowCursor::skip_varints(std::uint64_t count) {
    constexpr std::uint64_t high_bits = 0x8080'8080'8080'8080;
    while (count >= 8 && left() >= 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, at_, sizeof word);
        count -= static_cast<std::uint64_t>(std::popcount(~word & high_bits));
        at_ += 8;
    }
    while (count > 0) {
        if (at_ == end_) return fail_with(too_short);
        if (*at_++ < 0x80) --count;
    }
    return true;
}

bool RowCursor::skip_bytes(std::uint64_t count) {
    if (count > left()) return fail_with(too_short);
    at_ += count;
    return true;
}

bool RowCursor::skip_text() {
    std::int64_t size = 0;
    if (!read_long(size)) return false;
    if (size < 0) return fail_with("a text has a negative length");
    return skip_bytes(static_cast<std::uint64_t>(size));
}

bool RowCursor::fail_with(const char* failure) {
    if (failure_ == nullptr) failure_ = failure;
    return false;
}

}  // namespace signalbox::avro
