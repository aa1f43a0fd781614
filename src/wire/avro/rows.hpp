#pragma once
// The rows of decompressed blocks, read one after another by a Plan.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wire/avro/plan.hpp"

namespace signalbox::avro {

enum class ValueKind : std::uint8_t { Null, Boolean, Integer, Real, Text };

// What a slot holds after a row was read. Text is string, bytes or fixed and points into the block.
struct Value {
    ValueKind kind = ValueKind::Null;
    std::int64_t integer = 0;  // also a boolean's 0 or 1
    double real = 0;
    std::string_view text;

    bool null() const { return kind == ValueKind::Null; }
};

// Never reads outside the block, whatever it holds: any row that does not fit its schema ends the reading with an
// error.
class RowCursor {
  public:
    // The plan must outlive the cursor.
    explicit RowCursor(const Plan& plan);
    RowCursor(const Plan& plan, std::string_view block, std::int64_t row_count);

    // Goes to the first row of a block, which must outlive its rows. row_count is the block's own claim. One cursor for
    // all blocks of a file is quicker than one for each: it learns how long the values tend to be.
    void start(std::string_view block, std::int64_t row_count);
    // Reads the next row into the slots; false when there is none, or after an error (see failed()).
    bool next();
    const Value& operator[](std::size_t slot) const { return slots_[slot]; }
    // The open record of the row at hand as it is written: equal bytes are equal values. Empty if there is none.
    std::string_view open_bytes() const { return open_bytes_; }

    bool failed() const { return failure_ != nullptr; }
    // What went wrong, and at which byte of the block; empty while nothing did.
    std::string failure() const;

  private:
    using At = const std::uint8_t*;

    // Each reads at `at` and gives the place behind what it read, or nullptr after fail_at().
    At run(OpRange range, At at);
    At rare_step(const Op& op, At at);
    At choose(const Op& op, At at);
    At take_boolean(Value& slot, At at);
    template <typename Real>
    At take_real(Value& slot, At at);
    At take_bytes(Value& slot, std::uint64_t count, At at);
    At skip_array(const Op& op, At at);
    At skip_elements(const Op& op, std::uint64_t count, At at);
    At skip_map_like(std::uint32_t array, std::uint64_t count, At at);
    At skip_map_like_element(At at);
    At read_varint(std::uint64_t& value, At at);
    At read_wide_varint(std::uint64_t& value, At at);
    At read_long_varint(std::uint64_t& value, At at);
    At read_size(std::uint64_t& size, At at);
    At skip_varints(std::uint64_t count, At at);
    At skip_bytes(std::uint64_t count, At at);
    At fail_at(At at, const char* failure);
    std::uint64_t left(At at) const { return static_cast<std::uint64_t>(end_ - at); }

    // How an element of an array will begin (its key and its length) and how long it will be, if it is as in the row
    // before: then the next one is found without waiting for this one's length.
    static constexpr std::uint32_t never = 0xffff'ffff;
    static constexpr std::size_t guesses_max = 512;
    struct Guess {
        std::uint32_t mask = 0;
        std::uint32_t head = never;
        std::uint32_t step = 0;
        std::uint32_t surprises = 0;
    };

    const Plan& plan_;
    At begin_ = nullptr;
    At at_ = nullptr;
    At end_ = nullptr;
    At open_begin_ = nullptr;
    std::string_view open_bytes_;
    std::int64_t rows_left_ = 0;
    std::int64_t rows_read_ = 0;
    std::vector<Value> slots_;
    std::vector<std::array<Guess, guesses_max>> guesses_;
    const char* failure_ = nullptr;
};

}  // namespace signalbox::avro
