#pragma once
// The rows of one decompressed block, read one after another by a Plan.

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
    // The plan and the block must outlive the cursor. row_count is the block's own claim.
    RowCursor(const Plan& plan, std::string_view block, std::int64_t row_count);

    // Reads the next row into the slots; false when there is none, or after an error (see failed()).
    bool next();
    const Value& operator[](std::size_t slot) const { return slots_[slot]; }

    bool failed() const { return failure_ != nullptr; }
    // What went wrong, and at which byte of the block; empty while nothing did.
    std::string failure() const;

  private:
    bool run(OpRange range);
    bool take(const Op& op);
    bool skip_array(const Op& op);
    bool skip_elements(const Op& op, std::uint64_t count);
    bool skip_map_like(std::uint64_t count);
    bool choose(const Op& op);
    bool read_varint(std::uint64_t& value);
    bool read_long(std::int64_t& value);
    bool skip_varints(std::uint64_t count);
    bool skip_bytes(std::uint64_t count);
    bool skip_text();
    bool fail_with(const char* failure);
    std::uint64_t left() const { return static_cast<std::uint64_t>(end_ - at_); }

    const Plan& plan_;
    const std::uint8_t* begin_;
    const std::uint8_t* at_;
    const std::uint8_t* end_;
    std::int64_t rows_left_;
    std::int64_t rows_read_ = 0;
    std::vector<Value> slots_;
    const char* failure_ = nullptr;
};

}  // namespace signalbox::avro
