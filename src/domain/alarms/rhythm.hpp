#pragma once
// When commits usually come, learned hour by hour of the week, and how long a silence is normal. Silence is measured in
// expected commits: nights and weekends in which none are expected do not count.

#include <array>
#include <cstdint>
#include <optional>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/time.hpp"

namespace signalbox::alarms {

class Rhythm {
  public:
    static constexpr int hours = 168;  // of a week, from Monday 00:00 UTC

    // A commit at that time. One that is older than the last teaches nothing.
    void commit(base::WallTime at);
    std::optional<base::WallTime> last() const { return last_; }
    std::uint64_t commits() const { return commits_; }
    // True until commits enough over days enough were seen.
    bool learning(base::WallTime now) const;
    // How many commits were to be expected since the last one, at that time; 0 while learning.
    double silence(base::WallTime now) const;
    // The silence from which on the table is late, in expected commits.
    double limit() const;
    // When the silence will reach the limit if nothing comes; none while learning, or if none is expected for weeks.
    std::optional<base::WallTime> late_at(base::WallTime now) const;

    base::json::object encode() const;
    static base::Result<Rhythm> decode(const base::json::object& object);

  private:
    double rate(int hour) const;  // commits per hour
    double expected(base::WallTime from, base::WallTime until) const;
    void expose(base::WallTime from, base::WallTime until);

    std::optional<base::WallTime> first_;
    std::optional<base::WallTime> last_;
    std::uint64_t commits_ = 0;
    // Commits and hours watched, per hour of the week, both forgotten at the same pace.
    std::array<double, hours> seen_{};
    std::array<double, hours> watched_{};
    // Of the silences between commits, in expected commits: their upper quantile, tracked.
    double quantile_ = 0;
    std::uint64_t gaps_ = 0;
};

}  // namespace signalbox::alarms
