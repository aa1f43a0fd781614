#pragma once
// When commits usually come, and how long a silence is normal. A table with several commits an hour is judged by the
// commits that were expected since the last one, from a rate per hour of the week: nights and weekends without commits
// do not count. Any other is judged by a band over the gaps, seasonal by the hour at which a gap begins.

#include <array>
#include <cstdint>
#include <optional>

#include "domain/alarms/band.hpp"

namespace signalbox::alarms {

class Rhythm {
  public:
    Rhythm();
    static constexpr int hours = 168;  // of a week, from Monday 00:00 UTC
    static constexpr int commits_min = 8;
    static constexpr std::chrono::hours learning_time{8 * 24};

    // A commit at that time. One that is older than the last teaches nothing.
    void commit(base::WallTime at);
    std::optional<base::WallTime> last() const { return last_; }
    std::uint64_t commits() const { return commits_; }
    // True until commits enough over days enough were seen.
    bool learning(base::WallTime now) const;
    // When the next commit is late if none comes; none: too few seen, or none is expected for weeks. Not before the end
    // of learning.
    std::optional<base::WallTime> late_at() const;

    base::json::object encode() const;
    static base::Result<Rhythm> decode(const base::json::object& object);

  private:
    bool dense() const;
    double rate(int hour) const;  // commits per hour
    double limit() const;         // expected commits without one, from which on it is late
    double expected(base::WallTime from, base::WallTime until) const;
    void expose(base::WallTime from, base::WallTime until);

    std::optional<base::WallTime> first_;
    std::optional<base::WallTime> last_;
    std::uint64_t commits_ = 0;
    // Commits and hours watched, per hour of the week, both forgotten at the same pace.
    std::array<float, hours> seen_{};
    std::array<float, hours> watched_{};
    double longest_ = 0;  // the longest normal silence, in expected commits, slowly forgotten
    int odd_ = 0;         // silences in a row that were late
    Band gaps_;           // in seconds
};

}  // namespace signalbox::alarms
