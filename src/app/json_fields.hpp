#pragma once
// Members of JSON objects that may be absent, null or of another type: then there is nothing, never a zero.

#include <optional>
#include <string>
#include <string_view>

#include "base/json.hpp"

namespace signalbox::app {

inline const base::json::value* member(const base::json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value == nullptr || value->is_null() ? nullptr : value;
}

inline std::optional<double> number_of(const base::json::object& object, std::string_view name) {
    const auto* value = member(object, name);
    return value != nullptr && value->is_number() ? std::optional(value->to_number<double>()) : std::nullopt;
}

inline std::optional<std::int64_t> integer_of(const base::json::object& object, std::string_view name) {
    const auto* value = member(object, name);
    if (value == nullptr) return std::nullopt;
    boost::system::error_code wrong;
    const auto number = value->to_number<std::int64_t>(wrong);
    return wrong ? std::nullopt : std::optional(number);
}

// Empty if there is none.
inline std::string text_of(const base::json::object& object, std::string_view name) {
    const auto* value = member(object, name);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

inline const base::json::object& object_of(const base::json::object& object, std::string_view name) {
    static const base::json::object none;
    const auto* value = member(object, name);
    return value != nullptr && value->is_object() ? value->get_object() : none;
}

inline const base::json::array& array_of(const base::json::object& object, std::string_view name) {
    static const base::json::array none;
    const auto* value = member(object, name);
    return value != nullptr && value->is_array() ? value->get_array() : none;
}

}  // namespace signalbox::app
