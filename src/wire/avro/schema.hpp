#pragma once
// An Avro schema as a graph of nodes, with the ids that Iceberg puts on its fields (Iceberg spec, appendix A; Avro spec
// 1.11, "Schema Declaration").

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace signalbox::avro {

enum class Type : std::uint8_t {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed,
    Enum,
    Record,
    Array,
    Map,
    Union
};
std::string_view to_string(Type type);

constexpr std::int32_t no_id = -1;

struct Field {
    std::string name;
    std::int32_t id = no_id;  // "field-id"; no_id if the writer gave none
    std::uint32_t node = 0;
};

struct Node {
    Type type = Type::Null;
    std::string name;                     // of a record, enum or fixed
    std::uint32_t fixed_size = 0;         // bytes, of a fixed
    std::vector<Field> fields;            // of a record
    std::vector<std::uint32_t> children;  // an array's element, a map's value, a union's branches
};

struct Schema {
    std::vector<Node> nodes;
    std::uint32_t root = 0;
};

// Parses the JSON text of avro.schema. A named type may be used again after its definition, also inside itself.
// CorruptData if it is no Avro schema, or holds more than 100,000 nodes.
base::Result<Schema> parse_schema(std::string_view text);

}  // namespace signalbox::avro
