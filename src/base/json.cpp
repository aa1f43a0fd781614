#include "base/json.hpp"

namespace signalbox::base {
namespace {

void write_indented(std::string& out, const json::value& value, std::size_t indent) {
    const std::string inner(indent + 2, ' ');
    const std::string outer(indent, ' ');
    if (value.is_object() && !value.get_object().empty()) {
        out += "{\n";
        bool first = true;
        for (const auto& [key, member] : value.get_object()) {
            if (!first) out += ",\n";
            first = false;
            out += inner + json::serialize(json::value(key)) + ": ";
            write_indented(out, member, indent + 2);
        }
        out += "\n" + outer + "}";
    } else if (value.is_array() && !value.get_array().empty()) {
        out += "[\n";
        bool first = true;
        for (const auto& element : value.get_array()) {
            if (!first) out += ",\n";
            first = false;
            out += inner;
            write_indented(out, element, indent + 2);
        }
        out += "\n" + outer + "]";
    } else if (value.is_double()) {
        out += fmt::format("{}", value.get_double());
    } else {
        out += json::serialize(value);
    }
}

}  // namespace

Result<json::value> parse_json(std::string_view text) {
    json::parse_options options;
    options.max_depth = 64;
    json::stream_parser parser({}, options);
    boost::system::error_code error;
    const std::size_t used = parser.write_some(text.data(), text.size(), error);
    if (!error && used < text.size() && text.find_first_not_of(" \t\r\n", used) != std::string_view::npos) {
        return fail(ErrorKind::CorruptData, "not JSON: extra text at byte {}", used);
    }
    if (!error) parser.finish(error);
    if (error) return fail(ErrorKind::CorruptData, "not JSON: {} at byte {}", error.message(), used);
    return parser.release();
}

std::string pretty_json(const json::value& value) {
    std::string out;
    write_indented(out, value, 0);
    out += "\n";
    return out;
}

}  // namespace signalbox::base
