#include "lab/position.hpp"

#include <algorithm>
#include <cctype>
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

base::Result<Position> parse_gtid_set(std::string_view text) {
    Position position;
    for (const char c : text)
        if (c != '\n' && c != ' ') position.text += c;
    if (position.text.empty()) return position;
    for (const auto part : base::split(position.text, ',')) {
        std::string stream;
        bool any = false;
        for (const auto field : base::split(part, ':')) {
            const auto number = base::parse_uint(field.substr(field.rfind('-') + 1));
            // The server comes first, and a tag begins with a letter: neither is a range.
            if (stream.empty() || !std::isdigit(static_cast<unsigned char>(field.empty() ? 'x' : field.front()))) {
                stream += (stream.empty() ? "" : ":") + std::string(field);
                continue;
            }
            if (!number) return base::fail(base::ErrorKind::CorruptData, "expected a GTID set, found '{}'", text);
            any = true;
            auto& held = position.last[stream];
            held = std::max(held, *number);
        }
        if (!any) return base::fail(base::ErrorKind::CorruptData, "expected a GTID set, found '{}'", text);
    }
    return position;
}

}  // namespace signalbox::lab
