#pragma once
// Reads fields of a stored JSON object and remembers the first one that is missing or wrong, so that callers stay flat.

#include <string>
#include <utility>
#include <vector>

#include "base/json.hpp"
#include "base/time.hpp"

namespace signalbox::jobs {

class Fields {
  public:
    // The value outlives the reader. `what` names the thing in the error.
    Fields(const base::json::value& value, std::string what);

    // Each notes a fault and returns a harmless value if the field is missing or of another kind.
    std::string text(const char* key);
    int number(const char* key) { return static_cast<int>(integer(key)); }
    std::int64_t integer(const char* key);
    std::uint64_t natural(const char* key);
    double real(const char* key);
    bool boolean(const char* key);
    base::WallTime time(const char* key) { return optional_time(key).value_or(base::WallTime{}); }
    std::optional<base::WallTime> optional_time(const char* key);  // null is no fault
    base::Duration duration(const char* key);
    const base::json::array& array(const char* key);
    std::vector<std::string> texts(const char* key);
    std::vector<std::pair<std::string, std::string>> pairs(const char* key);
    bool is_null(const char* key);
    const base::json::value& value(const char* key);

    // For fields that an older version did not write.
    bool has(const char* key) const { return object_ != nullptr && object_->contains(key); }

    void wrong(const char* key);
    // CorruptData with the thing and the first field that is wrong.
    base::Status status() const;

  private:
    const base::json::value* get(const char* key) const;

    std::string what_;
    const base::json::object* object_ = nullptr;
    std::string wrong_;
};

base::json::value time_or_null(const std::optional<base::WallTime>& time);
base::json::array texts_to_json(const std::vector<std::string>& texts);
base::json::array pairs_to_json(const std::vector<std::pair<std::string, std::string>>& pairs);

}  // namespace signalbox::jobs
