#pragma once
// Column values as people and SQL write them, from how Iceberg keeps them (Iceberg spec, appendix D).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace signalbox::lake {

// Rounds down. `by` is positive.
std::int64_t floor_divide(std::int64_t value, std::int64_t by);
std::int64_t floor_modulo(std::int64_t value, std::int64_t by);  // 0 to by − 1
// Days since 1970-01-01 as "2024-01-31"; years that the calendar type can't hold stay a number.
std::string date_text(std::int64_t days);
// "2024-01-31T12:00:00", with the fraction if there is one; per_second is 1,000,000 or 1,000,000,000.
std::string timestamp_text(std::int64_t value, std::int64_t per_second);
// "12:00:00.5" of a day's microseconds.
std::string time_text(std::int64_t microseconds);
// A big-endian two's complement number with its point `scale` digits from the right; longer than 128 bits: as hex.
std::string decimal_text(std::string_view bytes, std::size_t scale);
// Of "decimal(9, 2)": 2. nullopt for another type.
std::optional<std::size_t> decimal_scale(std::string_view type);
// Of 16 bytes.
std::string uuid_text(std::string_view bytes);

}  // namespace signalbox::lake
