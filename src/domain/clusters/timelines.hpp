#pragma once
// PostgreSQL's history of a server as a value: "1@0/3000148,2@0/5000000", each timeline of its past with the LSN where
// the next one branched off, and last the one that it is on with how far it is. Source: PostgreSQL manual, "Timelines".

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace signalbox::clusters {

struct TimelineEnd {
    std::uint32_t timeline = 0;
    std::uint64_t lsn = 0;
    std::string text() const;  // "2@0/5000000"
    friend bool operator==(const TimelineEnd&, const TimelineEnd&) = default;
};

class Timelines {
  public:
    // CorruptData for anything else than at most 4096 of timeline@LSN, timelines growing (spaces and line breaks
    // around them allowed). An empty text is the empty history.
    static base::Result<Timelines> parse(std::string_view text);

    bool empty() const { return ends_.empty(); }
    const std::vector<TimelineEnd>& ends() const { return ends_; }
    std::string text() const;
    bool contains(const Timelines& other) const { return !first_missing(other); }
    // A timeline of `other` that this has not as far, or that branched off elsewhere: two servers that were promoted
    // apart from each other may give their timelines the same number.
    std::optional<TimelineEnd> first_missing(const Timelines& other) const;
    // This one's history leads through the timeline that `other` is on: it was promoted since.
    bool descends_from(const Timelines& other) const;
    // Both are on the same timeline, by the same way.
    bool same_timeline(const Timelines& other) const;
    // The maximum per timeline.
    void join(const Timelines& other);
    // The last timeline and where it branched off, and whatever reaches further than the last one.
    Timelines newest() const;
    // The end of this timeline alone.
    Timelines of(std::uint32_t timeline) const;

    friend bool operator==(const Timelines&, const Timelines&) = default;

  private:
    // Where both have `timeline` followed by another: did it end at the same place?
    bool same_branch(const Timelines& other, std::uint32_t timeline) const;
    const TimelineEnd* find(std::uint32_t timeline) const;
    std::vector<TimelineEnd> ends_;  // timelines grow
};

}  // namespace signalbox::clusters
