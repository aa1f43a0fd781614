#include "lab/position.hpp"

#include <algorithm>
#include <charconv>

#include "base/text.hpp"

namespace signalbox::lab {

bool Position::covers(const Position& other) const {
    return std::all_of(other.last.begin(), other.last.end(), [&](const auto& entry) {
        const auto found = last.find(entry.first);
        return found != last.end() && found->second >= entry.second;
    });
}

base::Result<Position> parse_lsn(std::string_view text) {
    const auto halves = base::split(base::trim(text), '/');
    std::uint64_t lsn = 0;
    bool good = halves.size() == 2;
    for (const auto half : halves) {
        std::uint32_t number = 0;
        const auto* end = half.data() + half.size();
        const auto [at, code] = std::from_chars(half.data(), end, number, 16);
        good = good && code == std::errc() && at == end;
        lsn = lsn << 32 | number;
    }
    if (!good) return base::fail(base::ErrorKind::CorruptData, "expected a place like 16/B374D848, found '{}'", text);
    return Position{std::string(base::trim(text)), {{"wal", lsn}}};
}

}  // namespace signalbox::lab
