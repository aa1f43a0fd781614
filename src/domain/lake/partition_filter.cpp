#include "domain/lake/partition_filter.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "base/text.hpp"
#include "domain/lake/partition.hpp"
#include "domain/lake/value_text.hpp"

namespace signalbox::lake {
namespace {

using Filter = std::optional<std::string>;

constexpr std::int64_t hours_per_day = 24;
constexpr std::int64_t days_max = 2'900'000;  // about year 9900: Spark's literals end at 9999

bool is_timestamp(const std::string& type) { return type.rfind("timestamp", 0) == 0; }
bool has_zone(const std::string& type) { return type == "timestamptz" || type == "timestamptz_ns"; }
std::int64_t per_second(const std::string& type) {
    return type.find("_ns") == std::string::npos ? 1'000'000 : 1'000'000'000;
}

// A point in time of that type, by days and hours since 1970.
Filter time_literal(std::int64_t days, std::int64_t hours, const std::string& type) {
    if (days < -700'000 || days > days_max) return std::nullopt;
    if (type == "date") return fmt::format("DATE '{}'", date_text(days));
    if (!is_timestamp(type)) return std::nullopt;
    return fmt::format("{} '{} {:02}:00:00{}'", has_zone(type) ? "TIMESTAMP" : "TIMESTAMP_NTZ", date_text(days), hours,
                       has_zone(type) ? " UTC" : "");
}

// The first day of a month, counted since January 1970.
std::int64_t first_day(std::int64_t month) {
    const auto year = static_cast<int>(1970 + floor_divide(month, 12));
    const auto in_year = static_cast<unsigned>(floor_modulo(month, 12) + 1);
    const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{in_year}, std::chrono::day{1}};
    return std::chrono::sys_days{date}.time_since_epoch().count();
}

Filter range(const std::string& column, const Filter& from, const Filter& to) {
    if (!from || !to) return std::nullopt;
    return fmt::format("{} >= {} AND {} < {}", column, *from, column, *to);
}

Filter time_range(const std::string& column, std::int64_t value, const PartitionField& field) {
    const std::string& type = field.source_type;
    constexpr std::int64_t months_max = 100'000;
    if (value < -hours_per_day * days_max || value > hours_per_day * days_max) return std::nullopt;
    if (field.transform == "day") {
        const Filter day = time_literal(value, 0, type);
        if (type == "date") return day ? Filter(fmt::format("{} = {}", column, *day)) : std::nullopt;
        return range(column, time_literal(value, 0, type), time_literal(value + 1, 0, type));
    }
    if (field.transform == "hour") {
        const auto at = [&](std::int64_t hour) {
            return time_literal(floor_divide(hour, hours_per_day), floor_modulo(hour, hours_per_day), type);
        };
        return range(column, at(value), at(value + 1));
    }
    const std::int64_t months = field.transform == "year" ? 12 : 1;
    if (value < -months_max || value > months_max) return std::nullopt;
    return range(column, time_literal(first_day(value * months), 0, type),
                 time_literal(first_day((value + 1) * months), 0, type));
}

std::string timestamp_literal(std::int64_t value, const std::string& type) {
    std::string text = timestamp_text(value, per_second(type));
    std::replace(text.begin(), text.end(), 'T', ' ');
    return has_zone(type) ? fmt::format("TIMESTAMP '{} UTC'", text) : fmt::format("TIMESTAMP_NTZ '{}'", text);
}

Filter identity_literal(const PartitionValue& value, const std::string& type) {
    if (const auto* boolean = std::get_if<bool>(&value.value)) return *boolean ? "true" : "false";
    if (const auto* integer = std::get_if<std::int64_t>(&value.value)) {
        if (type == "date") return time_literal(*integer, 0, type);
        if (is_timestamp(type)) {
            // Spark keeps microseconds: a nanosecond can't be named.
            if (per_second(type) != 1'000'000) return std::nullopt;
            const std::int64_t days = floor_divide(*integer, 86'400'000'000);
            if (!time_literal(days, 0, "date")) return std::nullopt;
            return timestamp_literal(*integer, type);
        }
        if (type == "int" || type == "long") return fmt::format("{}", *integer);
        return std::nullopt;
    }
    if (const auto* real = std::get_if<double>(&value.value)) {
        if (!std::isfinite(*real)) return std::nullopt;
        return type == "float" ? fmt::format("CAST({} AS FLOAT)", *real) : fmt::format("{:e}D", *real);
    }
    const auto* text = std::get_if<std::string_view>(&value.value);
    if (text == nullptr) return std::nullopt;
    if (type == "string") return sql_text(*text);
    if (type == "uuid" && text->size() == 16) return sql_text(uuid_text(*text));
    if (type == "binary" || type.rfind("fixed", 0) == 0) return fmt::format("X'{}'", base::to_hex(*text));
    const auto scale = decimal_scale(type);
    return scale && !text->empty() && text->size() <= 16 ? Filter(decimal_text(*text, *scale)) : std::nullopt;
}

// A prefix of `width` characters, or a whole shorter text.
Filter truncated_text(const std::string& column, std::string_view text, std::uint64_t width) {
    const auto characters = static_cast<std::uint64_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
    if (characters < width) return fmt::format("{} = {}", column, sql_text(text));
    std::string pattern;
    for (const char c : text) {
        if (c == '%' || c == '_' || c == '\\') pattern += '\\';
        pattern += c;
    }
    return fmt::format("{} LIKE {}", column, sql_text(pattern + "%"));
}

Filter truncated(const std::string& column, const PartitionValue& value, const PartitionField& field) {
    const auto width = base::parse_uint(field.transform.substr(9, field.transform.size() - 10));
    if (!width || *width == 0) return std::nullopt;
    if (const auto* text = std::get_if<std::string_view>(&value.value);
        text != nullptr && field.source_type == "string") {
        return truncated_text(column, *text, *width);
    }
    const auto* integer = std::get_if<std::int64_t>(&value.value);
    if (integer == nullptr || *width > INT32_MAX || *integer > INT64_MAX - INT32_MAX) return std::nullopt;
    return fmt::format("{} >= {} AND {} < {}", column, *integer, column, *integer + static_cast<std::int64_t>(*width));
}

Filter field_filter(const PartitionValue* value, const PartitionField& field) {
    if (field.source_name.empty()) return std::nullopt;
    const std::string column = sql_name(field.source_name);
    if (value == nullptr) return column + " IS NULL";
    const std::string& transform = field.transform;
    if (transform == "identity") {
        const Filter literal = identity_literal(*value, field.source_type);
        return literal ? Filter(fmt::format("{} = {}", column, *literal)) : std::nullopt;
    }
    if (transform.rfind("truncate[", 0) == 0) return truncated(column, *value, field);
    const auto* integer = std::get_if<std::int64_t>(&value->value);
    const bool by_time = transform == "year" || transform == "month" || transform == "day" || transform == "hour";
    if (integer == nullptr || !by_time) return std::nullopt;
    return time_range(column, *integer, field);
}

}  // namespace

std::string sql_text(std::string_view text) {
    std::string out = "'";
    for (const char c : text) {
        if (c == '\'' || c == '\\') out += '\\';
        if (c == '\n') {
            out += "\\n";
        } else {
            out += c;
        }
    }
    return out + "'";
}

std::string sql_name(std::string_view name) {
    const auto plain = [](std::string_view part) {
        return !part.empty() && (part[0] < '0' || part[0] > '9') && std::all_of(part.begin(), part.end(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        });
    };
    std::vector<std::string> parts;
    for (const std::string_view part : base::split(name, '.')) {
        if (plain(part)) {
            parts.emplace_back(part);
            continue;
        }
        std::string quoted = "`";
        for (const char c : part) quoted += c == '`' ? "``" : std::string(1, c);
        parts.push_back(quoted + "`");
    }
    return base::join(parts, ".");
}

std::optional<std::string> partition_filter(std::string_view key, const PartitionSpec& spec) {
    const auto values = partition_values(key);
    std::vector<std::string> conditions;
    for (const PartitionField& field : spec.fields) {
        if (field.transform == "void") continue;
        const auto same = [&](const PartitionValue& value) { return value.field_id == field.field_id; };
        const auto value = std::find_if(values.begin(), values.end(), same);
        const auto condition = field_filter(value == values.end() ? nullptr : &*value, field);
        if (!condition) return std::nullopt;
        conditions.push_back(*condition);
    }
    return base::join(conditions, " AND ");
}

}  // namespace signalbox::lake
