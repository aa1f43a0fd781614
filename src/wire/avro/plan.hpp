#pragma once
// How to read the rows of one file: the writer's schema, resolved once against the field ids that the caller wants.
// Wanted fields go to numbered slots; everything else is stepped over without being built.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "wire/avro/schema.hpp"

namespace signalbox::avro {

enum class Expect : std::uint8_t {
    Any,      // any primitive type
    Integer,  // int, long
    Text,     // string, bytes
};

struct Wanted {
    std::int32_t parent = no_id;  // the id of the record field that holds it; no_id for a field of the row itself
    std::int32_t id = 0;
    Expect expect = Expect::Any;
    bool required = false;  // a schema without it is an error; a row may still hold null, if the schema allows it
    std::string_view name;  // for errors; must outlive the plan's compilation
};

struct PlanRequest {
    std::vector<Wanted> fields;  // slot i receives fields[i]
    std::int32_t open_record =
        no_id;  // all primitive children of this record field (of the row, or of a wanted field's
    std::int32_t open_parent = no_id;  // parent) are wanted too, whatever their ids: slots fields.size()…, in order
};

// One step of a plan. `body` is a range of steps, or of ranges. Those that take come last.
enum class Step : std::uint8_t {
    SkipVarints,       // n of them
    SkipBytes,         // n bytes
    SkipText,          // a length and as many bytes
    SkipVarintArray,   // blocks of elements of n varints each
    SkipMapLikeArray,  // blocks of elements of one varint and one text each: Iceberg's map from int to binary
    SkipArray,         // blocks of elements, each read by the body
    Switch,            // a union: n branches, their ranges from `body` on
    Group,             // the body
    OpenBegin,         // the open record begins here
    OpenEnd,           // and ends here
    TakeVarint,        // into the slot
    TakeBoolean,
    TakeFloat,
    TakeDouble,
    TakeText,
    TakeFixed,  // n bytes
};

struct Op {
    Step step = Step::SkipBytes;
    // In a union of null and what this step reads, a byte of null_byte stands for the null, and one of value_byte goes
    // before what is read.
    bool optional = false;
    std::uint8_t null_byte = 0;
    std::uint8_t value_byte = 0;
    std::uint32_t n = 0;
    std::uint32_t slot = 0;  // of a SkipMapLikeArray: its number among those
    std::uint32_t body_begin = 0;
    std::uint32_t body_end = 0;
};

struct OpRange {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
};

class Plan {
  public:
    // CorruptData if the schema is no record, lacks a required field or has another type for a wanted one; NotSupported
    // if it is recursive, deeper than 64 or has more than 200,000 steps.
    static base::Result<Plan> compile(const Schema& schema, const PlanRequest& request);

    std::size_t slots() const { return present_.size(); }
    // Whether the file's schema has the field of that slot at all.
    bool has(std::size_t slot) const { return present_[slot]; }
    // The ids of the open record's fields, in slot order.
    const std::vector<std::int32_t>& open_ids() const { return open_ids_; }

    const std::vector<Op>& ops() const { return ops_; }
    const std::vector<OpRange>& branches() const { return branches_; }
    OpRange row() const { return row_; }
    std::size_t map_like_arrays() const { return map_like_arrays_; }
    // Whether a row may pass a slot without setting it, not even to null.
    bool branches_skip_slots() const { return branches_skip_slots_; }

  private:
    friend class PlanCompiler;
    std::vector<Op> ops_;
    std::vector<OpRange> branches_;
    OpRange row_;
    std::vector<bool> present_;
    std::vector<std::int32_t> open_ids_;
    std::size_t map_like_arrays_ = 0;
    bool branches_skip_slots_ = false;
};

}  // namespace signalbox::avro
