#include "wire/avro/plan.hpp"

#include <algorithm>

namespace signalbox::avro {

using base::ErrorKind;
using base::fail;
using base::Result;

namespace {
constexpr int depth_max = 64;
constexpr std::size_t ops_max = 200'000;
constexpr std::uint32_t no_slot = 0xffff'ffff;
// The id of a place inside an array, a map or an unnamed field: nothing that is wanted can be there.
constexpr std::int32_t nowhere = -2;

bool is_primitive(Type type) { return type < Type::Enum || type == Type::Enum; }

bool fits(Expect expect, Type type) {
    switch (expect) {
        case Expect::Any:
            return is_primitive(type);
        case Expect::Integer:
            return type == Type::Int || type == Type::Long;
        case Expect::Text:
            return type == Type::String || type == Type::Bytes;
    }
    return false;
}
}  // namespace

class PlanCompiler {
  public:
    PlanCompiler(const Schema& schema, const PlanRequest& request) : schema_(schema), request_(request) {
        plan_.present_.assign(request.fields.size(), false);
    }

    Result<Plan> compile() {
        if (schema_.nodes[schema_.root].type != Type::Record) {
            return fail(ErrorKind::CorruptData, "the schema's rows are no records");
        }
        std::vector<Op> row;
        SB_CHECK(record(schema_.nodes[schema_.root], no_id, 0, row));
        plan_.row_ = append(row);
        for (std::size_t i = 0; i < request_.fields.size(); ++i) {
            if (!request_.fields[i].required || plan_.present_[i]) continue;
            return fail(ErrorKind::CorruptData, "the schema has no field with id {} ({})", request_.fields[i].id,
                        request_.fields[i].name);
        }
        return std::move(plan_);
    }

  private:
    // `at` is the id of the record field whose record this is.
    base::Status record(const Node& node, std::int32_t at, int depth, std::vector<Op>& out) {
        const bool open = at != no_id && at == request_.open_record;
        if (open) out.push_back(step(Step::OpenBegin, 0, 0));
        for (const Field& field : node.fields) {
            const std::int32_t id = field.id == no_id || at == nowhere ? nowhere : field.id;
            std::uint32_t slot = no_slot;
            Expect expect = Expect::Any;
            if (id != nowhere) SB_CHECK(find_slot(field, at, slot, expect));
            SB_CHECK(value(field.node, at_of(at, id), slot, expect, field, depth + 1, out));
        }
        if (open) out.push_back(step(Step::OpenEnd, 0, 0));
        return {};
    }

    // Only the records on the way to a wanted field are entered with their id.
    std::int32_t at_of(std::int32_t at, std::int32_t id) const {
        if (id == nowhere) return nowhere;
        if (id == request_.open_record && at == request_.open_parent) return id;
        const bool holds_wanted =
            at == no_id &&
            (id == request_.open_parent || std::any_of(request_.fields.begin(), request_.fields.end(),
                                                       [&](const Wanted& wanted) { return wanted.parent == id; }));
        return holds_wanted ? id : nowhere;
    }

    base::Status find_slot(const Field& field, std::int32_t at, std::uint32_t& slot, Expect& expect) {
        for (std::size_t i = 0; i < request_.fields.size(); ++i) {
            const Wanted& wanted = request_.fields[i];
            if (wanted.id != field.id || wanted.parent != at) continue;
            if (plan_.present_[i]) {
                return fail(ErrorKind::CorruptData, "the schema has two fields with id {}", field.id);
            }
            plan_.present_[i] = true;
            slot = static_cast<std::uint32_t>(i);
            expect = wanted.expect;
            return {};
        }
        if (at != no_id && at == request_.open_record) {
            slot = static_cast<std::uint32_t>(plan_.present_.size());
            plan_.present_.push_back(true);
            plan_.open_ids_.push_back(field.id);
        }
        return {};
    }

    base::Status value(std::uint32_t index, std::int32_t at, std::uint32_t slot, Expect expect, const Field& field,
                       int depth, std::vector<Op>& out) {
        if (depth > depth_max)
            return fail(ErrorKind::NotSupported, "the schema is recursive or deeper than {}", depth_max);
        if (++steps_ > ops_max) return fail(ErrorKind::NotSupported, "the schema has more than {} parts", ops_max);
        const Node& node = schema_.nodes[index];
        switch (node.type) {
            case Type::Union:
                return choice(node, at, slot, expect, field, depth, out);
            case Type::Record:
                if (slot != no_slot) return mismatch(field, node.type);
                return record(node, at, depth, out);
            case Type::Array:
            case Type::Map:
                if (slot != no_slot) return mismatch(field, node.type);
                return array(node, field, depth, out);
            default:
                if (slot != no_slot && node.type != Type::Null && !fits(expect, node.type)) {
                    return mismatch(field, node.type);
                }
                primitive(node, slot, out);
                return {};
        }
    }

    static base::Status mismatch(const Field& field, Type type) {
        return fail(ErrorKind::CorruptData, "the schema's field {} ('{}') has the unexpected type {}", field.id,
                    field.name.substr(0, 80), to_string(type));
    }

    static void primitive(const Node& node, std::uint32_t slot, std::vector<Op>& out) {
        const bool take = slot != no_slot;
        switch (node.type) {
            case Type::Null:
                break;
            case Type::Boolean:
                emit(out, step(take ? Step::TakeBoolean : Step::SkipBytes, 1, slot));
                break;
            case Type::Int:
            case Type::Long:
            case Type::Enum:
                emit(out, step(take ? Step::TakeVarint : Step::SkipVarints, 1, slot));
                break;
            case Type::Float:
                emit(out, step(take ? Step::TakeFloat : Step::SkipBytes, 4, slot));
                break;
            case Type::Double:
                emit(out, step(take ? Step::TakeDouble : Step::SkipBytes, 8, slot));
                break;
            case Type::Bytes:
            case Type::String:
                emit(out, step(take ? Step::TakeText : Step::SkipText, 0, slot));
                break;
            default:  // fixed; of no bytes, there is nothing to step over
                if (take || node.fixed_size > 0) {
                    emit(out, step(take ? Step::TakeFixed : Step::SkipBytes, node.fixed_size, slot));
                }
        }
    }

    static Op step(Step step, std::uint32_t n, std::uint32_t slot) {
        Op op;
        op.step = step;
        op.n = n;
        op.slot = slot;
        return op;
    }

    // Neighbouring steps over varints or bytes become one.
    static void emit(std::vector<Op>& out, const Op& op) {
        const bool joins = op.step == Step::SkipVarints || op.step == Step::SkipBytes;
        if (joins && !out.empty() && out.back().step == op.step && !out.back().optional && out.back().n < (1U << 24)) {
            out.back().n += op.n;
        } else {
            out.push_back(op);
        }
    }

    // Of two record branches that hold the same wanted field, the second is refused by find_slot.
    base::Status choice(const Node& node, std::int32_t at, std::uint32_t slot, Expect expect, const Field& field,
                        int depth, std::vector<Op>& out) {
        std::vector<std::vector<Op>> bodies(node.children.size());
        for (std::size_t i = 0; i < bodies.size(); ++i) {
            SB_CHECK(value(node.children[i], at, slot, expect, field, depth + 1, bodies[i]));
        }
        const auto is_null = [&](std::size_t i) { return schema_.nodes[node.children[i]].type == Type::Null; };
        if (bodies.size() == 2 && (is_null(0) || is_null(1))) {
            out.push_back(optional(is_null(0) ? 0 : 1, bodies[is_null(0) ? 1 : 0]));
            return {};
        }
        plan_.branches_skip_slots_ = true;
        std::vector<OpRange> ranges;
        for (const std::vector<Op>& body : bodies) ranges.push_back(append(body));
        Op op = step(Step::Switch, static_cast<std::uint32_t>(ranges.size()), 0);
        op.body_begin = static_cast<std::uint32_t>(plan_.branches_.size());
        plan_.branches_.insert(plan_.branches_.end(), ranges.begin(), ranges.end());
        out.push_back(op);
        return {};
    }

    // A union whose branch `null` is the null, and whose other one the body reads.
    Op optional(std::size_t null, const std::vector<Op>& body) {
        Op op;
        if (body.size() == 1 && !body[0].optional) {
            op = body[0];
        } else {
            plan_.branches_skip_slots_ = true;
            const OpRange range = append(body);
            op = step(Step::Group, 0, 0);
            op.body_begin = range.begin;
            op.body_end = range.end;
        }
        // Zigzag: branch 1 is written as 2.
        op.optional = true;
        op.null_byte = static_cast<std::uint8_t>(2 * null);
        op.value_byte = static_cast<std::uint8_t>(2 - 2 * null);
        return op;
    }

    base::Status array(const Node& node, const Field& field, int depth, std::vector<Op>& out) {
        std::vector<Op> body;
        if (node.type == Type::Map) emit(body, step(Step::SkipText, 0, 0));
        SB_CHECK(value(node.children[0], nowhere, no_slot, Expect::Any, field, depth + 1, body));
        const auto plain = [&](std::size_t i, Step wanted) { return body[i].step == wanted && !body[i].optional; };
        if (body.size() == 1 && plain(0, Step::SkipVarints)) {
            out.push_back(step(Step::SkipVarintArray, body[0].n, 0));
        } else if (body.size() == 2 && plain(0, Step::SkipVarints) && body[0].n == 1 && plain(1, Step::SkipText)) {
            out.push_back(step(Step::SkipMapLikeArray, 0, static_cast<std::uint32_t>(plan_.map_like_arrays_++)));
        } else {
            const OpRange range = append(body);
            out.push_back(step(Step::SkipArray, 0, 0));
            out.back().body_begin = range.begin;
            out.back().body_end = range.end;
        }
        return {};
    }

    OpRange append(const std::vector<Op>& ops) {
        const auto begin = static_cast<std::uint32_t>(plan_.ops_.size());
        plan_.ops_.insert(plan_.ops_.end(), ops.begin(), ops.end());
        return {begin, static_cast<std::uint32_t>(plan_.ops_.size())};
    }

    const Schema& schema_;
    const PlanRequest& request_;
    Plan plan_;
    std::size_t steps_ = 0;
};

Result<Plan> Plan::compile(const Schema& schema, const PlanRequest& request) {
    return PlanCompiler(schema, request).compile();
}

}  // namespace signalbox::avro
