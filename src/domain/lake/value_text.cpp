#include "domain/lake/value_text.hpp"

#include <chrono>

#include "base/text.hpp"

namespace signalbox::lake {

std::int64_t floor_divide(std::int64_t value, std::int64_t by) { return value / by - (value % by < 0 ? 1 : 0); }

std::int64_t floor_modulo(std::int64_t value, std::int64_t by) {
    const std::int64_t rest = value % by;
    return rest < 0 ? rest + by : rest;
}

std::string date_text(std::int64_t days) {
    if (days < -11'000'000 || days > 11'000'000) return fmt::format("{}", days);
    const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{days}}};
    return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                       static_cast<unsigned>(date.day()));
}

std::string timestamp_text(std::int64_t value, std::int64_t per_second) {
    const std::int64_t seconds = floor_divide(value, per_second);
    const std::int64_t days = floor_divide(seconds, 86'400);
    const std::int64_t rest = floor_modulo(seconds, 86'400);
    const std::int64_t fraction = floor_modulo(value, per_second);
    std::string text = fmt::format("{}T{:02}:{:02}:{:02}", date_text(days), rest / 3600, rest / 60 % 60, rest % 60);
    if (fraction != 0) text += fmt::format(".{:0{}}", fraction, per_second == 1'000'000 ? 6 : 9);
    return text;
}

std::string time_text(std::int64_t microseconds) {
    if (microseconds < 0 || microseconds >= 86'400'000'000) return fmt::format("{}", microseconds);
    const std::string text = timestamp_text(microseconds, 1'000'000);
    return text.substr(text.find('T') + 1);
}

std::string decimal_text(std::string_view bytes, std::size_t scale) {
    if (bytes.empty() || bytes.size() > 16) return base::to_hex(bytes);
    const bool negative = static_cast<unsigned char>(bytes[0]) >= 0x80;
    unsigned __int128 magnitude = negative ? ~static_cast<unsigned __int128>(0) : 0;
    for (const char byte : bytes) magnitude = magnitude << 8 | static_cast<unsigned char>(byte);
    if (negative) magnitude = ~magnitude + 1;
    std::string digits;
    for (; magnitude != 0; magnitude /= 10)
        digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(magnitude % 10)));
    if (digits.size() <= scale) digits.insert(0, scale + 1 - digits.size(), '0');
    if (scale > 0) digits.insert(digits.size() - scale, 1, '.');
    return negative ? "-" + digits : digits;
}

std::optional<std::size_t> decimal_scale(std::string_view type) {
    const std::size_t comma = type.find(',');
    if (type.rfind("decimal(", 0) != 0 || comma == std::string_view::npos) return std::nullopt;
    const auto scale = base::parse_uint(base::trim(type.substr(comma + 1, type.size() - comma - 2)));
    return scale && *scale <= 38 ? std::optional<std::size_t>(*scale) : std::nullopt;
}

std::string uuid_text(std::string_view bytes) {
    const std::string hex = base::to_hex(bytes);
    return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4), hex.substr(16, 4),
                       hex.substr(20));
}

}  // namespace signalbox::lake
