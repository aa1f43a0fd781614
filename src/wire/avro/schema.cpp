#include "wire/avro/schema.hpp"

#include <array>
#include <limits>
#include <map>
#include <optional>

#include "base/json.hpp"

namespace signalbox::avro {
namespace {

using base::ErrorKind;
using base::fail;
using base::Result;
namespace json = base::json;

constexpr std::size_t nodes_max = 100'000;
constexpr std::array<std::string_view, 14> type_names{"null",   "boolean", "int",    "long",  "float",
                                                      "double", "bytes",   "string", "fixed", "enum",
                                                      "record", "array",   "map",    "union"};

std::optional<Type> type_of(std::string_view name) {
    for (std::size_t i = 0; i < type_names.size(); ++i) {
        if (type_names[i] == name) return static_cast<Type>(i);
    }
    return std::nullopt;
}

class Parser {
  public:
    Result<std::uint32_t> parse(const json::value& value, const std::string& scope) {
        if (schema_.nodes.size() >= nodes_max) return fail(ErrorKind::CorruptData, "the schema is too large");
        if (value.is_string()) return by_name(std::string_view(value.get_string()), scope);
        if (value.is_array()) return parse_union(value.get_array(), scope);
        if (value.is_object()) return parse_object(value.get_object(), scope);
        return fail(ErrorKind::CorruptData, "the schema holds a value that is no type");
    }

    Schema take(std::uint32_t root) {
        schema_.root = root;
        return std::move(schema_);
    }

  private:
    std::uint32_t add(Type type) {
        schema_.nodes.emplace_back().type = type;
        return static_cast<std::uint32_t>(schema_.nodes.size() - 1);
    }

    static std::string full_name(std::string_view name, std::string_view scope) {
        if (scope.empty() || name.find('.') != std::string_view::npos) return std::string(name);
        return fmt::format("{}.{}", scope, name);
    }

    Result<std::uint32_t> by_name(std::string_view name, const std::string& scope) {
        if (const auto type = type_of(name); type && *type < Type::Fixed) return add(*type);
        for (const std::string& candidate : {full_name(name, scope), std::string(name)}) {
            if (const auto found = named_.find(candidate); found != named_.end()) return found->second;
        }
        return fail(ErrorKind::CorruptData, "the schema uses type '{}' without defining it", name.substr(0, 80));
    }

    Result<std::uint32_t> parse_union(const json::array& branches, const std::string& scope) {
        const std::uint32_t index = add(Type::Union);
        std::vector<std::uint32_t> children;
        for (const json::value& branch : branches) {
            SB_TRY(const std::uint32_t child, parse(branch, scope));
            children.push_back(child);
        }
        if (children.empty()) return fail(ErrorKind::CorruptData, "the schema has a union without branches");
        schema_.nodes[index].children = std::move(children);
        return index;
    }

    Result<std::uint32_t> parse_object(const json::object& object, const std::string& scope) {
        const json::value* type = object.if_contains("type");
        if (type == nullptr) return fail(ErrorKind::CorruptData, "the schema has a type without 'type'");
        if (!type->is_string()) return parse(*type, scope);
        const std::string_view name(type->get_string());
        const auto known = type_of(name);
        if (!known) return by_name(name, scope);
        switch (*known) {
            case Type::Record:
            case Type::Enum:
            case Type::Fixed:
                return parse_named(*known, object, scope);
            case Type::Array:
                return parse_container(Type::Array, object, "items", scope);
            case Type::Map:
                return parse_container(Type::Map, object, "values", scope);
            case Type::Union:
                return fail(ErrorKind::CorruptData, "the schema names a type 'union'");
            default:
                return add(*known);
        }
    }

    Result<std::uint32_t> parse_container(Type type, const json::object& object, std::string_view key,
                                          const std::string& scope) {
        const json::value* inner = object.if_contains(key);
        if (inner == nullptr)
            return fail(ErrorKind::CorruptData, "the schema has an {} without '{}'", to_string(type), key);
        const std::uint32_t index = add(type);
        SB_TRY(const std::uint32_t child, parse(*inner, scope));
        schema_.nodes[index].children.push_back(child);
        return index;
    }

    Result<std::uint32_t> parse_named(Type type, const json::object& object, const std::string& outer) {
        const json::value* name = object.if_contains("name");
        if (name == nullptr || !name->is_string()) {
            return fail(ErrorKind::CorruptData, "the schema has a {} without a name", to_string(type));
        }
        std::string scope = outer;
        if (const json::value* space = object.if_contains("namespace"); space != nullptr && space->is_string()) {
            scope = std::string(std::string_view(space->get_string()));
        }
        const std::string full = full_name(std::string_view(name->get_string()), scope);
        if (const std::size_t dot = full.rfind('.'); dot != std::string::npos) scope = full.substr(0, dot);
        const std::uint32_t index = add(type);
        schema_.nodes[index].name = full;
        if (!named_.emplace(full, index).second) {
            return fail(ErrorKind::CorruptData, "the schema defines type '{}' twice", full.substr(0, 80));
        }
        if (type == Type::Fixed) return parse_fixed(index, object);
        if (type == Type::Record) SB_CHECK(parse_fields(index, object, scope));
        return index;
    }

    Result<std::uint32_t> parse_fixed(std::uint32_t index, const json::object& object) {
        const json::value* size = object.if_contains("size");
        if (size == nullptr || !size->is_int64() || size->get_int64() < 0 || size->get_int64() > (1 << 20)) {
            return fail(ErrorKind::CorruptData, "the schema's fixed '{}' has no size from 0 to 1 MiB",
                        schema_.nodes[index].name.substr(0, 80));
        }
        schema_.nodes[index].fixed_size = static_cast<std::uint32_t>(size->get_int64());
        return index;
    }

    base::Status parse_fields(std::uint32_t index, const json::object& object, const std::string& scope) {
        const json::value* fields = object.if_contains("fields");
        if (fields == nullptr || !fields->is_array()) {
            return fail(ErrorKind::CorruptData, "the schema's record '{}' has no fields",
                        schema_.nodes[index].name.substr(0, 80));
        }
        std::vector<Field> parsed;
        for (const json::value& value : fields->get_array()) {
            const json::value* name = value.is_object() ? value.get_object().if_contains("name") : nullptr;
            const json::value* type = value.is_object() ? value.get_object().if_contains("type") : nullptr;
            if (name == nullptr || type == nullptr || !name->is_string()) {
                return fail(ErrorKind::CorruptData, "a field of the schema's record '{}' lacks its name or type",
                            schema_.nodes[index].name.substr(0, 80));
            }
            Field field;
            field.name = std::string(std::string_view(name->get_string()));
            SB_TRY(field.id, id_of(value.get_object(), field.name));
            SB_TRY(field.node, parse(*type, scope));
            parsed.push_back(std::move(field));
        }
        schema_.nodes[index].fields = std::move(parsed);
        return {};
    }

    static Result<std::int32_t> id_of(const json::object& object, const std::string& name) {
        const json::value* id = object.if_contains("field-id");
        if (id == nullptr) return no_id;
        if (!id->is_int64() || id->get_int64() < 0 || id->get_int64() > std::numeric_limits<std::int32_t>::max()) {
            return fail(ErrorKind::CorruptData, "the schema's field '{}' has a field-id that is no small number",
                        name.substr(0, 80));
        }
        return static_cast<std::int32_t>(id->get_int64());
    }

    Schema schema_;
    std::map<std::string, std::uint32_t, std::less<>> named_;
};

}  // namespace

std::string_view to_string(Type type) { return type_names[static_cast<std::size_t>(type)]; }

base::Result<Schema> parse_schema(std::string_view text) {
    SB_TRY(const json::value value, base::parse_json(text));
    Parser parser;
    SB_TRY(const std::uint32_t root, parser.parse(value, ""));
    return parser.take(root);
}

}  // namespace signalbox::avro
