#include "domain/jobs/json_fields_internal.hpp"

namespace signalbox::jobs {

namespace json = base::json;

json::array texts_to_json(const std::vector<std::string>& texts) {
    json::array array;
    for (const std::string& text : texts) array.push_back(json::value(text));
    return array;
}

json::array pairs_to_json(const std::vector<std::pair<std::string, std::string>>& pairs) {
    json::array array;
    for (const auto& [key, value] : pairs) array.push_back(json::array{key, value});
    return array;
}

std::string exact_time(base::WallTime time) {
    const auto rest = time - std::chrono::floor<std::chrono::milliseconds>(time);
    std::string text = base::format_time(time);
    if (rest.count() != 0) text.insert(text.size() - 1, fmt::format("{:06}", rest.count()));
    return text;
}

json::value exact_time_or_null(const std::optional<base::WallTime>& time) {
    return time ? json::value(exact_time(*time)) : json::value();
}

Fields::Fields(const json::value& value, std::string what) : what_(std::move(what)), object_(value.if_object()) {
    if (object_ == nullptr) wrong("object");
}

bool Fields::is_null(const char* key) const {
    const json::value* value = get(key);
    return value != nullptr && value->is_null();
}

std::string Fields::text(const char* key) {
    const json::value* value = get(key);
    if (value != nullptr && value->is_string()) return std::string(value->get_string());
    wrong(key);
    return {};
}

int Fields::number(const char* key, int least) {
    const std::int64_t value = integer(key);
    if (value < least || value > std::numeric_limits<int>::max()) wrong(key);
    return static_cast<int>(value);
}

std::int64_t Fields::integer(const char* key) {
    const json::value* value = get(key);
    if (value != nullptr && value->is_int64()) return value->get_int64();
    wrong(key);
    return 0;
}

std::uint64_t Fields::count(const char* key) {
    const json::value* value = get(key);
    if (value != nullptr && value->is_uint64()) return value->get_uint64();
    if (value != nullptr && value->is_int64() && value->get_int64() >= 0)
        return static_cast<std::uint64_t>(value->get_int64());
    wrong(key);
    return 0;
}

double Fields::real(const char* key, double least) {
    const json::value* value = get(key);
    if (value == nullptr || !value->is_number()) {
        wrong(key);
        return 0;
    }
    const auto number = value->to_number<double>();
    if (number < least) wrong(key);
    return number;
}

bool Fields::boolean(const char* key) {
    const json::value* value = get(key);
    if (value != nullptr && value->is_bool()) return value->get_bool();
    wrong(key);
    return false;
}

base::WallTime Fields::time(const char* key) {
    const auto time = base::parse_time(text(key));
    if (!time) wrong(key);
    return time ? *time : base::WallTime{};
}

std::optional<base::WallTime> Fields::optional_time(const char* key) {
    if (is_null(key)) return std::nullopt;
    return time(key);
}

base::Duration Fields::duration(const char* key) {
    const auto duration = base::parse_duration(text(key));
    if (!duration) wrong(key);
    return duration ? *duration : base::Duration{};
}

const json::array& Fields::array(const char* key) {
    static const json::array none;
    const json::value* value = get(key);
    if (value != nullptr && value->is_array()) return value->get_array();
    wrong(key);
    return none;
}

std::vector<std::string> Fields::texts(const char* key) {
    std::vector<std::string> texts;
    for (const json::value& value : array(key)) {
        if (value.is_string()) {
            texts.emplace_back(value.get_string());
        } else {
            wrong(key);
        }
    }
    return texts;
}

std::vector<std::pair<std::string, std::string>> Fields::pairs(const char* key) {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const json::value& value : array(key)) {
        const json::array* pair = value.if_array();
        if (pair != nullptr && pair->size() == 2 && (*pair)[0].is_string() && (*pair)[1].is_string()) {
            pairs.emplace_back((*pair)[0].get_string(), (*pair)[1].get_string());
        } else {
            wrong(key);
        }
    }
    return pairs;
}

const json::value& Fields::value(const char* key) {
    static const json::value null;
    const json::value* value = get(key);
    if (value == nullptr) wrong(key);
    return value == nullptr ? null : *value;
}

base::Status Fields::status() const {
    if (wrong_.empty()) return {};
    return base::fail(base::ErrorKind::CorruptData, "the stored {} has no valid '{}'", what_, wrong_);
}

}  // namespace signalbox::jobs
