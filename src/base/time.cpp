#include "base/time.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "base/text.hpp"

namespace signalbox::base {
namespace {

struct Unit {
    std::string_view name;
    std::int64_t nanoseconds;
};
constexpr std::array<Unit, 7> units{{{"d", 86'400'000'000'000},
                                     {"h", 3'600'000'000'000},
                                     {"m", 60'000'000'000},
                                     {"s", 1'000'000'000},
                                     {"ms", 1'000'000},
                                     {"us", 1'000},
                                     {"ns", 1}}};
constexpr double duration_max_ns = 36'500.0 * 86'400e9;

}  // namespace

std::string format_time(WallTime time) {
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date{day};
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time - day).count();
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), ms / 3'600'000,
                       ms / 60'000 % 60, ms / 1000 % 60, ms % 1000);
}

Result<WallTime> parse_time(std::string_view text) {
    const auto bad = [&] {
        return fail(ErrorKind::InvalidArgument, "'{}' is not a time like 2026-01-02T03:04:05Z", text);
    };
    if (text.size() < 20 || text.back() != 'Z') return bad();
    const std::string copy(text);
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, used = 0;
    if (std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second, &used) !=
            6 ||
        used != 19) {
        return bad();
    }
    std::int64_t nanoseconds = 0;
    std::string_view rest = text.substr(19, text.size() - 20);
    if (!rest.empty()) {
        if (rest.front() != '.' || rest.size() < 2 || rest.size() > 10) return bad();
        std::int64_t scale = 100'000'000;
        for (const char digit : rest.substr(1)) {
            if (digit < '0' || digit > '9') return bad();
            nanoseconds += (digit - '0') * scale;
            scale /= 10;
        }
    }
    const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{static_cast<unsigned>(month)},
                                           std::chrono::day{static_cast<unsigned>(day)}};
    if (!date.ok() || hour > 23 || minute > 59 || second > 60) return bad();
    return WallTime{std::chrono::sys_days{date}} + std::chrono::hours{hour} + std::chrono::minutes{minute} +
           std::chrono::seconds{second} + Duration{nanoseconds};
}

Result<Duration> parse_duration(std::string_view text) {
    const auto bad = [&] {
        return fail(ErrorKind::InvalidArgument, "'{}' is not a duration like 250ms, 1.5s, 5m or 2h", text);
    };
    const std::size_t end = text.find_first_not_of("0123456789.");
    const std::string_view number = text.substr(0, end);
    const auto value = parse_double(number);
    if (!value) return bad();
    if (end == std::string_view::npos) return *value == 0 ? Result<Duration>(Duration::zero()) : bad();
    for (const Unit& unit : units) {
        if (text.substr(end) != unit.name) continue;
        const double nanoseconds = *value * static_cast<double>(unit.nanoseconds);
        if (nanoseconds > duration_max_ns) return bad();
        return Duration{std::llround(nanoseconds)};
    }
    return bad();
}

std::string format_duration(Duration duration) {
    if (duration.count() == 0) return "0s";
    for (const Unit& unit : units) {
        if (duration.count() % unit.nanoseconds == 0)
            return fmt::format("{}{}", duration.count() / unit.nanoseconds, unit.name);
    }
    return fmt::format("{}ns", duration.count());
}

double to_ms(Duration duration) { return static_cast<double>(duration.count()) / 1e6; }

}  // namespace signalbox::base
