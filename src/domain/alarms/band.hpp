#pragma once
// The expected range of a series, learned point by point: seasonal by hour and weekday, for points that come at any
// time. How it decides: docs/reference/bands.md. Constant state and constant work per point.

#include <array>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/time.hpp"
#include "domain/alarms/expectation.hpp"
#include "domain/alarms/held.hpp"

namespace signalbox::alarms {

// What kind of commit a point comes from. A rewrite (Iceberg's `replace`: a compaction) moves rows without changing
// them: it is judged by a model of its own and never teaches the other one.
enum class PointClass { Change, Rewrite };

std::string_view to_string(PointClass kind);
std::optional<PointClass> parse_point_class(std::string_view text);

struct Point {
    base::WallTime at{};
    double value = 0;  // finite
    PointClass kind = PointClass::Change;
    friend bool operator==(const Point&, const Point&) = default;
};

// Closed: a value at the border is inside.
struct Range {
    double low = 0;
    double high = 0;
    bool contains(double value) const { return low <= value && value <= high; }
    friend bool operator==(const Range&, const Range&) = default;
};

// A time that is no example of how the series usually is: nothing is learned or judged in it. [from, until)
struct Exclusion {
    base::WallTime from{};
    base::WallTime until{};
};
bool excluded(const std::vector<Exclusion>& exclusions, base::WallTime at);

struct BandConfig {
    double k = 3;  // half the width, in calibrated standard deviations; > 0
    std::vector<Exclusion> exclusions;
    // Cold start: until so many points of a class were seen, over so long a time, there is no range and nothing is
    // outside.
    int learning_points = 12;
    base::Duration learning_time = std::chrono::hours(24);
};

struct BandVerdict {
    bool learning = true;           // no range yet, or the point is excluded
    std::optional<Range> expected;  // at the point's time, from what was known before it
    double score = 0;               // how far off, in calibrated standard deviations; comparable between series
    bool outside = false;           // of `expected`, that is |score| > k
    bool above = false;             // the side, where outside
};

class Band {
  public:
    explicit Band(BandConfig config = {}) : config_(std::move(config)) {}

    // Judges the point by what was known before it, then learns from it. Points come in order of time; an older one is
    // judged but teaches nothing about time.
    BandVerdict step(const Point& point);
    // The range at that time, as known now; nothing while it learns.
    std::optional<Range> expected(base::WallTime at, PointClass kind = PointClass::Change) const;
    // The same at another width, for an alarm that asks for more than one.
    std::optional<Range> expected(base::WallTime at, PointClass kind, double k) const;
    // Points that taught the model of that class.
    std::uint64_t learned(PointClass kind) const;
    const BandConfig& config() const { return config_; }

    base::json::object encode() const;
    // CorruptData for anything that encode() did not write.
    static base::Result<Band> decode(const base::json::object& object, BandConfig config);

  private:
    bool learning(const Expectation& model, base::WallTime at) const;

    BandConfig config_;
    std::array<Held<Expectation>, 2> models_;  // by PointClass; made at its first point
};

}  // namespace signalbox::alarms
