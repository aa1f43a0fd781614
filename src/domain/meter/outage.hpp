#pragma once
// Outages from samples: from the completion of the last good operation before the fault to the completion of the first
// good one that was sent after it.

#include <optional>
#include <vector>

#include "domain/meter/sample.hpp"

namespace signalbox::meter {

struct Outage {
    MonoTime start{};             // completion of the last good operation
    std::optional<MonoTime> end;  // completion of the first good one sent after `start`; none: not recovered
    // When the trouble showed first: an error's arrival, or the sending of an operation that was never answered. None:
    // nothing failed, operations were only late.
    std::optional<MonoTime> evidence_at;
};

// What counts as an outage.
struct OutageRule {
    // A time without a good operation, shorter than this, is none: a whole tick has to be missing.
    Duration gap_min{};
    // Without any failed operation a gap counts only from this length on, and only if it ends after `stalls_since`.
    Duration stall_min{};
    std::optional<MonoTime> stalls_since;
};
// The rule for one operation per worker and interval: 1.5 intervals with an error; 5 intervals, at least 50 ms,
// without.
OutageRule rule_for(Duration interval, std::optional<MonoTime> stalls_since);

// The outages of one stream (operations of one kind, on one path or on all paths of a group), in order of time; they do
// not overlap. Only a failure on the path that gave the last good answer is evidence: a reader that always refuses
// writes is none. `until` is the end of the measurement. A stream that was never good has no outage.
std::vector<Outage> find_outages(const std::vector<Sample>& stream, const OutageRule& rule, MonoTime until);

// The longest, one with a failure before any that is a mere wait, of those that end after `from` and show their first
// trouble before `to`; one that never ended counts as lasting to `until`.
std::optional<Outage> longest_outage(const std::vector<Outage>& outages, MonoTime from, MonoTime to, MonoTime until);

// The samples of that kind on the paths for which `wanted` (by index) is true.
std::vector<Sample> stream_of(const Recording& recording, Kind kind, const std::vector<bool>& wanted);
std::vector<Sample> stream_of(const Recording& recording, Kind kind, std::size_t path);

}  // namespace signalbox::meter
