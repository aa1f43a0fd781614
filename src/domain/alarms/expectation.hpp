#pragma once
// The model behind a band, for one class of points: two lenses, a linear and a logarithmic one, of which the likelier
// counts, and what is known of the episode that the series is in. Internal to this folder.

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/time.hpp"
#include "domain/alarms/lens.hpp"

namespace signalbox::alarms {

WeekHour week_hour(base::WallTime at);

class Expectation {
  public:
    struct Span {
        double low = 0;
        double high = 0;
    };
    struct Judged {
        Span span;
        double score = 0;
        bool outside = false;
        bool above = false;
    };

    // Judged by what is known; `k` is half the width.
    Judged judge(base::WallTime at, double value, double k) const;
    std::optional<Span> span(base::WallTime at, double k) const;
    // Learns the point; one that was outside (of the band that is in use) teaches little, an episode nothing, until it
    // has lasted so long that it is how the series is now.
    void learn(base::WallTime at, double value, double k);
    // An earlier regime came back: see `former_`. Call before judge().
    void return_to_former(base::WallTime at, double value, double k);

    std::uint64_t points() const { return points_; }
    base::WallTime first() const { return first_; }

    base::json::object encode() const;
    static base::Result<Expectation> decode(const base::json::object& object);

  private:
    enum Scale { Linear, Logarithmic, scales };
    static constexpr std::size_t warm_max = 12;
    static constexpr int episode_points_min = 5;
    static constexpr int episode_learned_points = 2;
    static constexpr std::chrono::hours episode_time_min{60};  // longer than a weekend
    static constexpr std::chrono::hours former_time{14 * 24};

    Scale scale() const;
    double to_scale(Scale scale, double value) const;
    double from_scale(Scale scale, double value) const;
    void open_lenses();
    void teach(base::WallTime at, double value, double hours, bool outside, double k);
    bool end_episode(base::WallTime at, double value);

    std::uint64_t points_ = 0;
    base::WallTime first_{};
    base::WallTime last_{};
    double unit_ = 0;  // below it the logarithmic lens is linear; 0: it is not open
    bool negative_ = false;
    std::vector<std::pair<base::WallTime, double>> warm_;  // until the unit is known
    std::array<Lens, scales> lenses_;
    // The episode: points outside one after the other, on one side.
    std::int32_t run_ = 0;  // negative: below
    base::WallTime run_since_{};
    std::array<double, scales> run_missed_{};  // sums
    // By how much an accepted regime was shifted: the series may come back within a time.
    std::array<double, scales> former_{};
    std::optional<base::WallTime> former_until_;
};

}  // namespace signalbox::alarms
