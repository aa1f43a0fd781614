#pragma once
// MySQL's GTID sets as values: "uuid[:tag]:first[-last][:…],…", the form of @@gtid_executed. Source: MySQL manual,
// "GTID Format and Storage"; tags since 8.3.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace signalbox::clusters {

// Transactions first–last, both in it.
struct GtidInterval {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    friend bool operator==(const GtidInterval&, const GtidInterval&) = default;
};

// What was written under one source's uuid and one tag.
struct GtidSource {
    std::string uuid;                     // lower case
    std::string tag;                      // lower case, empty without one
    std::vector<GtidInterval> intervals;  // ascending, neither overlapping nor adjacent, never empty
    std::string text() const;
    friend bool operator==(const GtidSource&, const GtidSource&) = default;
};

class GtidSet {
  public:
    // CorruptData for anything else than a GTID set (spaces and line breaks around its parts allowed, as the server
    // prints them; at most 4096 sources and 65,536 intervals, each within 1–2^63-2). An empty text is the empty set.
    // Intervals may come in any order and overlap, as the server accepts them.
    static base::Result<GtidSet> parse(std::string_view text);

    bool empty() const { return sources_.empty(); }
    const std::vector<GtidSource>& sources() const { return sources_; }
    std::string text() const;
    bool contains(const GtidSet& other) const { return !first_missing(other); }
    // The first interval, or part of one, that `other` has and this has not.
    std::optional<GtidSet> first_missing(const GtidSet& other) const;
    void join(const GtidSet& other);
    // What was written under this uuid (lower case), with any tag.
    GtidSet of(std::string_view uuid) const;
    // What was written under any other.
    GtidSet without(std::string_view uuid) const;

    friend bool operator==(const GtidSet&, const GtidSet&) = default;

  private:
    void add(GtidSource source);
    std::vector<GtidSource> sources_;  // ordered by uuid, then tag; each pair at most once
};

}  // namespace signalbox::clusters
