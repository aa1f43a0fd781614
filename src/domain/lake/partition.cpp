#include "domain/lake/partition.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "domain/lake/value_text.hpp"

namespace signalbox::lake {
namespace {

enum class Tag : char { False = 'f', True = 't', Integer = 'i', Real = 'r', Text = 's' };

template <typename T>
void put(std::string& out, T value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out.append(bytes, sizeof value);
}

// Takes a T from the front. Keys come from partition_key alone.
template <typename T>
T get(std::string_view& in) {
    SB_ASSERT(in.size() >= sizeof(T), "a partition key is as partition_key wrote it");
    T value{};
    std::memcpy(&value, in.data(), sizeof value);
    in.remove_prefix(sizeof value);
    return value;
}

void put_value(std::string& key, const PartitionValue& value) {
    put(key, value.field_id);
    if (const auto* boolean = std::get_if<bool>(&value.value)) {
        put(key, *boolean ? Tag::True : Tag::False);
    } else if (const auto* integer = std::get_if<std::int64_t>(&value.value)) {
        put(key, Tag::Integer);
        put(key, *integer);
    } else if (const auto* real = std::get_if<double>(&value.value)) {
        put(key, Tag::Real);
        put(key, std::isnan(*real) ? std::nan("") : *real);  // one key for every kind of NaN
    } else if (const auto* text = std::get_if<std::string_view>(&value.value)) {
        put(key, Tag::Text);
        put(key, static_cast<std::uint64_t>(text->size()));
        key += *text;
    }
}

std::map<std::int32_t, PartitionValue> decode_key(std::string_view key) {
    std::map<std::int32_t, PartitionValue> values;
    while (!key.empty()) {
        PartitionValue value;
        value.field_id = get<std::int32_t>(key);
        switch (get<Tag>(key)) {
            case Tag::False:
                value.value = false;
                break;
            case Tag::True:
                value.value = true;
                break;
            case Tag::Integer:
                value.value = get<std::int64_t>(key);
                break;
            case Tag::Real:
                value.value = get<double>(key);
                break;
            case Tag::Text: {
                const auto size = get<std::uint64_t>(key);
                SB_ASSERT(size <= key.size(), "a partition key is as partition_key wrote it");
                value.value = key.substr(0, size);
                key.remove_prefix(size);
            }
        }
        values.emplace(value.field_id, value);
    }
    return values;
}

std::string integer_text(std::int64_t value, const PartitionField& field) {
    const bool day_like = field.transform == "day" || (field.transform == "identity" && field.source_type == "date");
    if (day_like) return date_text(value);
    if (field.transform == "year") return fmt::format("{}", value + (value > INT64_MAX - 1970 ? 0 : 1970));
    if (field.transform == "month") {
        const std::int64_t years = floor_divide(value, 12);
        return fmt::format("{:04}-{:02}", years + 1970, floor_modulo(value, 12) + 1);
    }
    if (field.transform == "hour") {
        const std::int64_t days = floor_divide(value, 24);
        return fmt::format("{}-{:02}", date_text(days), floor_modulo(value, 24));
    }
    if (field.transform == "identity") {
        if (field.source_type == "time") return time_text(value);
        if (field.source_type.rfind("timestamp", 0) == 0) {
            const bool nanoseconds = field.source_type.find("_ns") != std::string::npos;
            return timestamp_text(value, nanoseconds ? 1'000'000'000 : 1'000'000);
        }
    }
    return fmt::format("{}", value);
}

std::string escape(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f || c == '/' || c == '=' || c == '%') {
            out += fmt::format("%{:02X}", byte);
        } else {
            out += c;
        }
    }
    return out;
}

// Whether the bytes are UTF-8 that may be shown (no overlong forms are refused: showing them harms nobody).
bool is_utf8(std::string_view text) {
    std::size_t following = 0;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (following > 0) {
            if (byte >> 6 != 2) return false;
            --following;
        } else if (byte >= 0xf8 || byte >> 6 == 2) {
            return false;
        } else {
            following = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte >= 0xc0 ? 1 : 0;
        }
    }
    return following == 0;
}

std::string text_text(std::string_view text, const PartitionField& field) {
    const std::string& type = field.source_type;
    if (type.rfind("decimal(", 0) == 0 &&
        (field.transform == "identity" || field.transform.rfind("truncate", 0) == 0)) {
        if (const auto scale = decimal_scale(type)) return decimal_text(text, *scale);
    }
    if (type == "uuid" && text.size() == 16) return uuid_text(text);
    if (type == "binary" || type.rfind("fixed", 0) == 0 || !is_utf8(text)) return base::to_hex(text);
    // The text "null" must not look like the null that it is not.
    return text == "null" ? "%6Eull" : escape(text);
}

std::string value_text(const PartitionValue& value, const PartitionField& field) {
    if (const auto* boolean = std::get_if<bool>(&value.value)) return *boolean ? "true" : "false";
    if (const auto* integer = std::get_if<std::int64_t>(&value.value)) return integer_text(*integer, field);
    if (const auto* real = std::get_if<double>(&value.value)) return fmt::format("{}", *real);
    if (const auto* text = std::get_if<std::string_view>(&value.value)) return text_text(*text, field);
    return "null";
}

}  // namespace

void partition_key(std::vector<PartitionValue>& values, std::string& key) {
    const auto by_id = [](const PartitionValue& a, const PartitionValue& b) { return a.field_id < b.field_id; };
    if (!std::is_sorted(values.begin(), values.end(), by_id)) std::sort(values.begin(), values.end(), by_id);
    key.clear();
    for (const PartitionValue& value : values) {
        if (!std::holds_alternative<std::monostate>(value.value)) put_value(key, value);
    }
}

std::vector<PartitionValue> partition_values(std::string_view key) {
    std::vector<PartitionValue> values;
    for (const auto& [id, value] : decode_key(key)) values.push_back(value);
    return values;
}

bool is_partition_key(std::string_view key) {
    const auto skip = [&](std::size_t size) {
        if (size > key.size()) return false;
        key.remove_prefix(size);
        return true;
    };
    for (std::int64_t last_id = INT64_MIN; !key.empty();) {
        if (key.size() < sizeof(std::int32_t) + 1) return false;
        const auto id = get<std::int32_t>(key);
        if (id <= last_id) return false;
        last_id = id;
        const auto tag = get<Tag>(key);
        if (tag == Tag::False || tag == Tag::True) continue;
        if (tag != Tag::Integer && tag != Tag::Real && tag != Tag::Text) return false;
        if (key.size() < sizeof(std::uint64_t)) return false;
        const auto value = get<std::uint64_t>(key);  // of a text: its size
        if (tag == Tag::Text && !skip(value)) return false;
    }
    return true;
}

std::string partition_name(std::string_view key, const PartitionSpec& spec) {
    const auto values = decode_key(key);
    std::vector<std::string> parts;
    for (const PartitionField& field : spec.fields) {
        if (field.transform == "void") continue;
        const auto found = values.find(field.field_id);
        const std::string text = found == values.end() ? "null" : value_text(found->second, field);
        parts.push_back(fmt::format("{}={}", escape(field.name), text));
    }
    return parts.empty() ? "(unpartitioned)" : base::join(parts, "/");
}

}  // namespace signalbox::lake
