#pragma once
// What the readers and writers of this folder's stored JSON share.

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.hpp"
#include "base/time.hpp"

namespace signalbox::jobs {

base::json::array texts_to_json(const std::vector<std::string>& texts);
base::json::array pairs_to_json(const std::vector<std::pair<std::string, std::string>>& pairs);
// To the nanosecond, so that what is read back is equal.
std::string exact_time(base::WallTime time);
base::json::value exact_time_or_null(const std::optional<base::WallTime>& time);

// Reads fields of an object and remembers the first one that is missing or wrong, so that the callers stay flat.
class Fields {
  public:
    // `what` names the object in the error. The value outlives the fields.
    Fields(const base::json::value& value, std::string what);

    bool has(const char* key) const { return object_ != nullptr && object_->contains(key); }
    bool is_null(const char* key) const;
    std::string text(const char* key);
    int number(const char* key, int least = std::numeric_limits<int>::min());
    std::int64_t integer(const char* key);
    std::uint64_t count(const char* key);
    double real(const char* key, double least);
    bool boolean(const char* key);
    base::WallTime time(const char* key);
    std::optional<base::WallTime> optional_time(const char* key);
    base::Duration duration(const char* key);
    const base::json::array& array(const char* key);
    std::vector<std::string> texts(const char* key);
    std::vector<std::pair<std::string, std::string>> pairs(const char* key);
    const base::json::value& value(const char* key);
    // One of the words that `parse` knows.
    template <typename Enum>
    Enum word(const char* key, std::optional<Enum> (*parse)(std::string_view)) {
        const auto parsed = parse(text(key));
        if (!parsed) wrong(key);
        return parsed.value_or(Enum{});
    }
    void wrong(const char* key) {
        if (wrong_.empty()) wrong_ = key;
    }
    base::Status status() const;

  private:
    const base::json::value* get(const char* key) const {
        return object_ == nullptr ? nullptr : object_->if_contains(key);
    }

    std::string what_;
    const base::json::object* object_ = nullptr;
    std::string wrong_;
};

}  // namespace signalbox::jobs
