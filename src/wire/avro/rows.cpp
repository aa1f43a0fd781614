#include "wire/avro/rows.hpp"

#include <bit>
#include <cstring>

// Called for every value of millions of rows, from few places.
#define SB_HOT [[gnu::always_inline]] inline

namespace signalbox::avro {
namespace {

static_assert(std::endian::native == std::endian::little, "words are read as Avro writes them");

constexpr const char* too_short = "the data ends inside a value";
constexpr const char* unknown_branch = "a union names a branch that its schema does not have";
// An element of a map-like array with a key of two bytes and a length of one.
constexpr std::uint64_t short_element_max_bytes = 3 + 0x7f / 2;
constexpr std::uint32_t surprises_max = 8;
constexpr std::uint64_t high_bits = 0x8080'8080'8080'8080;

std::uint64_t word_at(const std::uint8_t* at) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    return word;
}

// A mark in the top bit of each byte that ends a number.
std::uint64_t ends_of(std::uint64_t word) { return ~word & high_bits; }

// Sums up the eight bytes of a word, which must stay below 256.
std::uint64_t sum_of_bytes(std::uint64_t word) { return (word * 0x0101'0101'0101'0101) >> 56; }

// How many bytes there are up to the n-th mark, 1 <= n <= 8, of at least so many, without a branch.
std::ptrdiff_t place_of_nth(std::uint64_t ends, std::uint64_t n) {
    constexpr std::uint64_t ones = 0x0101'0101'0101'0101;
    const std::uint64_t marks_so_far = (ends >> 7) * ones;
    const std::uint64_t enough = (marks_so_far + (0x80 - n) * ones) & high_bits;
    return std::countr_zero(enough) / 8 + 1;
}

// The seven low bits of each byte, side by side.
std::uint64_t joined_sevens(std::uint64_t word) {
    word = ((word & 0x7f00'7f00'7f00'7f00) >> 1) | (word & 0x007f'007f'007f'007f);
    word = ((word & 0x3fff'0000'3fff'0000) >> 2) | (word & 0x0000'3fff'0000'3fff);
    return ((word & 0x0fff'ffff'0000'0000) >> 4) | (word & 0x0000'0000'0fff'ffff);
}

std::int64_t unzigzag(std::uint64_t raw) { return static_cast<std::int64_t>((raw >> 1) ^ (~(raw & 1) + 1)); }

}  // namespace

RowCursor::RowCursor(const Plan& plan) : plan_(plan), slots_(plan.slots()), guesses_(plan.map_like_arrays()) {}

RowCursor::RowCursor(const Plan& plan, std::string_view block, std::int64_t row_count) : RowCursor(plan) {
    start(block, row_count);
}

void RowCursor::start(std::string_view block, std::int64_t row_count) {
    begin_ = reinterpret_cast<At>(block.data());
    at_ = begin_;
    end_ = begin_ + block.size();
    rows_left_ = row_count;
    rows_read_ = 0;
    failure_ = nullptr;
    // A row takes at least one byte: this bounds the loop over the rows.
    if (row_count < 0 || static_cast<std::uint64_t>(row_count) > block.size()) {
        fail_at(at_, "the block claims more rows than it has room for");
    }
}

bool RowCursor::next() {
    if (failed()) return false;
    if (rows_left_ == 0) {
        if (at_ != end_) fail_at(at_, "bytes are left over after the last row");
        return false;
    }
    if (plan_.branches_skip_slots()) {
        for (Value& slot : slots_) slot.kind = ValueKind::Null;
        open_bytes_ = {};
    }
    const At after = run(plan_.row(), at_);
    if (after == nullptr) return false;
    at_ = after;
    --rows_left_;
    ++rows_read_;
    return true;
}

std::string RowCursor::failure() const {
    if (!failed()) return {};
    return fmt::format("{} (byte {} of the block's data, row {})", failure_, at_ - begin_, rows_read_);
}

// The loop that all bytes go through: no step but the rare ones calls another function before it has to.
RowCursor::At RowCursor::run(OpRange range, At at) {
    const Op* op = plan_.ops().data() + range.begin;
    const Op* const last = plan_.ops().data() + range.end;
    std::uint64_t raw = 0;
    for (; op != last && at != nullptr; ++op) {
        if (op->optional) {
            at = read_varint(raw, at);
            if (at == nullptr) return at;
            if (raw == op->null_byte) {
                if (op->step >= Step::TakeVarint) slots_[op->slot].kind = ValueKind::Null;
                continue;
            }
            if (raw != op->value_byte) return fail_at(at, unknown_branch);
        }
        switch (op->step) {
            case Step::TakeVarint:
                at = read_varint(raw, at);
                slots_[op->slot].kind = ValueKind::Integer;
                slots_[op->slot].integer = unzigzag(raw);
                break;
            case Step::TakeText:
                at = read_size(raw, at);
                if (at != nullptr) at = take_bytes(slots_[op->slot], raw, at);
                break;
            case Step::SkipVarintArray:
            case Step::SkipMapLikeArray:
            case Step::SkipArray:
                at = skip_array(*op, at);
                break;
            case Step::SkipVarints:
                at = skip_varints(op->n, at);
                break;
            case Step::SkipText:
                at = read_size(raw, at);
                if (at != nullptr) at = skip_bytes(raw, at);
                break;
            case Step::OpenBegin:
                open_begin_ = at;
                break;
            case Step::OpenEnd:
                open_bytes_ = {reinterpret_cast<const char*>(open_begin_), static_cast<std::size_t>(at - open_begin_)};
                break;
            default:
                at = rare_step(*op, at);
        }
    }
    return at;
}

RowCursor::At RowCursor::rare_step(const Op& op, At at) {
    switch (op.step) {
        case Step::SkipBytes:
            return skip_bytes(op.n, at);
        case Step::Switch:
            return choose(op, at);
        case Step::Group:
            return run({op.body_begin, op.body_end}, at);
        case Step::TakeFixed:
            return take_bytes(slots_[op.slot], op.n, at);
        case Step::TakeBoolean:
            return take_boolean(slots_[op.slot], at);
        case Step::TakeFloat:
            return take_real<float>(slots_[op.slot], at);
        case Step::TakeDouble:
            return take_real<double>(slots_[op.slot], at);
        default:
            return fail_at(at, "the plan has an unknown step");
    }
}

RowCursor::At RowCursor::choose(const Op& op, At at) {
    std::uint64_t branch = 0;
    at = read_varint(branch, at);
    if (at == nullptr) return at;
    // Zigzag: branch b is written as 2b; an odd number is a negative branch.
    if (branch % 2 != 0 || branch / 2 >= op.n) {
        return fail_at(at, unknown_branch);
    }
    return run(plan_.branches()[op.body_begin + branch / 2], at);
}

RowCursor::At RowCursor::take_boolean(Value& slot, At at) {
    if (at == end_) return fail_at(at, too_short);
    if (*at > 1) return fail_at(at, "a boolean is neither 0 nor 1");
    slot.kind = ValueKind::Boolean;
    slot.integer = *at;
    return at + 1;
}

template <typename Real>
RowCursor::At RowCursor::take_real(Value& slot, At at) {
    Real value = 0;
    if (left(at) < sizeof value) return fail_at(at, too_short);
    std::memcpy(&value, at, sizeof value);
    slot.kind = ValueKind::Real;
    slot.real = static_cast<double>(value);
    return at + sizeof value;
}

SB_HOT RowCursor::At RowCursor::take_bytes(Value& slot, std::uint64_t count, At at) {
    if (count > left(at)) return fail_at(at, too_short);
    slot.kind = ValueKind::Text;
    slot.text = {reinterpret_cast<const char*>(at), static_cast<std::size_t>(count)};
    return at + count;
}

RowCursor::At RowCursor::skip_array(const Op& op, At at) {
    // Each block but the last takes at least two bytes, so that the data bounds this loop.
    for (;;) {
        std::uint64_t raw = 0;
        at = read_varint(raw, at);
        if (at == nullptr || raw == 0) return at;
        const std::int64_t count = unzigzag(raw);
        if (count > 0) {
            at = skip_elements(op, static_cast<std::uint64_t>(count), at);
        } else {  // the writer gave the block's size, so that it can be stepped over at once
            at = read_varint(raw, at);
            if (at == nullptr) return at;
            if (raw % 2 != 0) return fail_at(at, "an array's block has a negative size");
            at = skip_bytes(raw / 2, at);
        }
        if (at == nullptr) return at;
    }
}

RowCursor::At RowCursor::skip_elements(const Op& op, std::uint64_t count, At at) {
    if (op.step == Step::SkipArray && op.body_begin == op.body_end) return at;  // elements of no bytes
    if (count > left(at)) return fail_at(at, "an array claims more elements than the data has room for");
    switch (op.step) {
        case Step::SkipVarintArray:
            return skip_varints(count * op.n, at);  // a block has less than 2^38 bytes, an element less than 2^26
                                                    // numbers
        case Step::SkipMapLikeArray:
            return skip_map_like(op.slot, count, at);
        default:
            for (; count > 0 && at != nullptr; --count) at = run({op.body_begin, op.body_end}, at);
            return at;
    }
}

// Half of a manifest's bytes are bounds of columns, and their keys and lengths mostly those of the row before. An
// element whose length keeps changing is not guessed any more: a wrong guess costs more than it gains.
RowCursor::At RowCursor::skip_map_like(std::uint32_t array, std::uint64_t count, At at) {
    std::array<Guess, guesses_max>& guesses = guesses_[array];
    std::uint64_t i = 0;
    for (; i < count && i < guesses_max && left(at) >= short_element_max_bytes; ++i) {
        std::uint32_t head = 0;
        std::memcpy(&head, at, sizeof head);
        Guess& guess = guesses[i];
        if ((head & guess.mask) == guess.head) {
            at += guess.step;
            continue;
        }
        const bool wide_key = (head & 0x80) != 0;
        const std::uint32_t mask = wide_key ? 0xff'ffff : 0xffff;
        if ((head & (wide_key ? 0x81'8000 : 0x8100)) !=
            0) {  // the key or the length goes on, or the length is negative
            at = skip_map_like_element(at);
            if (at == nullptr) return at;
            continue;
        }
        const std::uint32_t step = wide_key ? 3 + (head >> 17 & 0x3f) : 2 + (head >> 9 & 0x3f);
        at += step;
        if (guess.surprises == surprises_max) continue;
        guess = {mask, head & mask, step, guess.surprises + 1};
        if (guess.surprises == surprises_max) guess.head = never;
    }
    for (; i < count; ++i) {
        at = skip_map_like_element(at);
        if (at == nullptr) return at;
    }
    return at;
}

RowCursor::At RowCursor::skip_map_like_element(At at) {
    std::uint64_t size = 0;
    at = skip_varints(1, at);
    if (at != nullptr) at = read_size(size, at);
    return at == nullptr ? at : skip_bytes(size, at);
}

SB_HOT RowCursor::At RowCursor::read_varint(std::uint64_t& value, At at) {
    if (at == end_ || *at >= 0x80) return read_wide_varint(value, at);
    value = *at;
    return at + 1;
}

RowCursor::At RowCursor::read_wide_varint(std::uint64_t& value, At at) {
    if (left(at) >= sizeof(std::uint64_t)) {
        const std::uint64_t word = word_at(at);
        if (const std::uint64_t ends = ends_of(word); ends != 0) {
            value = joined_sevens(word & (ends ^ (ends - 1)));
            return at + std::countr_zero(ends) / 8 + 1;
        }
    }
    return read_long_varint(value, at);
}

RowCursor::At RowCursor::read_long_varint(std::uint64_t& value, At at) {
    constexpr unsigned varint_max_bytes = 10;
    value = 0;
    for (unsigned i = 0; i < varint_max_bytes; ++i) {
        if (at == end_) return fail_at(at, too_short);
        const std::uint64_t byte = *at++;
        if (i == varint_max_bytes - 1 && byte > 1) break;
        value |= (byte & 0x7f) << (7 * i);
        if (byte < 0x80) return at;
    }
    return fail_at(at, "a number is longer than 64 bits");
}

SB_HOT RowCursor::At RowCursor::read_size(std::uint64_t& size, At at) {
    at = read_varint(size, at);
    if (at != nullptr && size % 2 != 0) return fail_at(at, "a text has a negative length");
    size /= 2;
    return at;
}

// Steps over numbers by counting the bytes that end one, by words. A stepped-over number may be overlong.
SB_HOT RowCursor::At RowCursor::skip_varints(std::uint64_t count, At at) {
    constexpr std::size_t word = sizeof(std::uint64_t);
    while (count >= 4 * word && left(at) >= 4 * word) {
        const std::uint64_t ends = (ends_of(word_at(at)) >> 7) + (ends_of(word_at(at + word)) >> 7) +
                                   (ends_of(word_at(at + 2 * word)) >> 7) + (ends_of(word_at(at + 3 * word)) >> 7);
        count -= sum_of_bytes(ends);
        at += 4 * word;
    }
    while (count > 0 && left(at) >= word) {
        const std::uint64_t ends = ends_of(word_at(at));
        const std::uint64_t found = sum_of_bytes(ends >> 7);
        if (found < count) {
            count -= found;
            at += word;
            continue;
        }
        return at + place_of_nth(ends, count);
    }
    while (count > 0) {
        if (at == end_) return fail_at(at, too_short);
        if (*at++ < 0x80) --count;
    }
    return at;
}

SB_HOT RowCursor::At RowCursor::skip_bytes(std::uint64_t count, At at) {
    if (count > left(at)) return fail_at(at, too_short);
    return at + count;
}

RowCursor::At RowCursor::fail_at(At at, const char* failure) {
    if (failure_ == nullptr) {
        failure_ = failure;
        at_ = at;
    }
    return nullptr;
}

}  // namespace signalbox::avro
