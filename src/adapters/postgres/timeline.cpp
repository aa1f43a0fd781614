#include "adapters/postgres/timeline.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/text.hpp"

namespace signalbox::postgres {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::size_t ancestors_max = 4096;

std::optional<std::uint32_t> parse_hex(std::string_view text) {
    std::uint32_t value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
    return value;
}

std::string lsn_text(std::uint64_t lsn) { return fmt::format("{:X}/{:X}", lsn >> 32U, lsn & 0xFFFFFFFFU); }

}  // namespace

std::optional<std::uint64_t> parse_lsn(std::string_view text) {
    const std::size_t slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto high = parse_hex(text.substr(0, slash));
    const auto low = parse_hex(text.substr(slash + 1));
    if (!high || !low) return std::nullopt;
    return static_cast<std::uint64_t>(*high) << 32U | *low;
}

base::Result<TimelineHistory> parse_history(std::string_view file, std::uint32_t timeline) {
    TimelineHistory history;
    for (std::string_view line : base::split(file, '\n')) {
        line = base::trim(line);
        if (line.empty() || line.front() == '#') continue;
        const auto parts = base::split(line, '\t');
        const auto ancestor = base::parse_uint(base::trim(parts[0]));
        const auto lsn = parts.size() < 2 ? std::nullopt : parse_lsn(base::trim(parts[1]));
        const std::uint64_t before = history.empty() ? 0 : history.back().timeline;
        if (!ancestor || !lsn || *ancestor <= before || *ancestor >= timeline || history.size() >= ancestors_max) {
            return fail(ErrorKind::CorruptData,
                        "the history of timeline {} has the line '{}' where an older timeline "
                        "and the place of its end were expected",
                        timeline, line);
        }
        history.push_back({static_cast<std::uint32_t>(*ancestor), *lsn});
    }
    return history;
}

std::string position_text(const TimelineHistory& history, const WalPoint& point) {
    std::string text;
    for (const WalPoint& ancestor : history) {
        const bool here = point.lsn <= ancestor.lsn;
        text += fmt::format("{}{}@{}", text.empty() ? "" : ",", ancestor.timeline,
                            lsn_text(std::min(point.lsn, ancestor.lsn)));
        if (here) return text;
    }
    text += fmt::format("{}{}@{}", text.empty() ? "" : ",", point.timeline, lsn_text(point.lsn));
    return text;
}

}  // namespace signalbox::postgres
