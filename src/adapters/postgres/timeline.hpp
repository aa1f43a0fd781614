#pragma once
// PostgreSQL's timelines as a position: where each timeline of a history ends or stands. A server that is promoted
// begins a new timeline and writes down where it left the one before (manual, "Continuous Archiving", timelines).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace signalbox::postgres {

// A place in the log: its timeline, and a byte position (LSN).
struct WalPoint {
    std::uint32_t timeline = 0;
    std::uint64_t lsn = 0;
    friend auto operator<=>(const WalPoint&,
                            const WalPoint&) = default;  // NOLINT(modernize-use-nullptr): a false finding
};

// "16/B374D848" as a number.
std::optional<std::uint64_t> parse_lsn(std::string_view text);

// The ancestors of a timeline, oldest first, each with the place where the next one left it.
using TimelineHistory = std::vector<WalPoint>;

// Reads the file "0000000N.history" of this timeline: lines of timeline, place, reason, separated by tabs; '#' begins a
// comment. CorruptData for anything else, and where the ancestors do not grow up to `timeline`; at most 4096 of them.
base::Result<TimelineHistory> parse_history(std::string_view file, std::uint32_t timeline);

// "1@0/3000148,2@0/5000000" for a server whose log stands at `point`, the ancestors of whose timeline are `history`. A
// point before the place where an ancestor was left is on that ancestor.
std::string position_text(const TimelineHistory& history, const WalPoint& point);

}  // namespace signalbox::postgres
