#pragma once
// A series seen in one scale: simple predictors, of which those count that were right lately, and the spread of what
// they missed, calibrated by the series' own tail. Internal to this folder.

#include <array>
#include <cstdint>
#include <optional>

namespace signalbox::alarms {

class Packer;
class Unpacker;

// The hour of the week, from Monday 00:00 UTC.
struct WeekHour {
    int value = 0;  // 0 … 167
    int of_day() const { return value % 24; }
    bool weekend() const { return value >= 120; }
    int day_kind() const { return (weekend() ? 24 : 0) + of_day(); }  // 0 … 47
};

// A mean that is learned visit by visit. Small, because there are many.
struct Bucket {
    float mean = 0;
    std::uint8_t visits = 0;  // sixteenths, at most 255
    bool seen() const { return visits != 0; }
    // `weight`: the share of a visit, (0, 1]; `slowest`: the least weight of one whole visit.
    void learn(double value, double weight, double slowest);
};

class Lens {
  public:
    // The centre, and a standard deviation on each side, as if the series were normal.
    struct Guess {
        double centre = 0;
        double up = 0;
        double down = 0;
    };
    Guess guess(WeekHour hour) const;
    // `hours`: since the point before. `trust`: 1 for a usual point, less for one near the range's edge; 0 for one
    // outside, whose value was cut to the edge: it teaches the season and the tail, nothing else.
    void learn(WeekHour hour, double value, double hours, double trust);
    // The series is now so much higher, and will stay there.
    void shift(double by, double value);
    // How likely the last points were under this lens, as a running mean of log densities; compare lenses by it.
    double likelihood() const { return likelihood_; }
    // `stretch`: the derivative of the scale at the value.
    void judge_likelihood(const Guess& before, double value, double log_stretch);

    void pack(Packer& packer) const;
    void unpack(Unpacker& unpacker);
    bool finite() const;

  private:
    enum Predictor { Level, Fast, Walk, Day, Week, Carry, predictors };
    using Predictions = std::array<std::optional<double>, predictors>;
    Predictions predict(WeekHour hour) const;
    double combine(const Predictions& predictions) const;
    double spread_at(WeekHour hour) const;
    void learn_tail(double z);
    void learn_season(WeekHour hour, double deviation, double visit);

    std::uint64_t points_ = 0;
    double level_ = 0;   // over about a week
    double fast_ = 0;    // over the last few points
    double last_ = 0;    // the last trusted value
    double drift_ = 0;   // its usual step
    double carry_ = 0;   // how far the season was missed lately
    double whole_ = 0;   // mean distance from the level
    double spread_ = 0;  // mean distance from the guess
    double tail_up_ = 0;
    double tail_down_ = 0;
    double likelihood_ = 0;
    std::array<double, predictors> error_{};
    std::array<std::uint32_t, predictors> tries_{};
    std::array<Bucket, 48> day_{};    // deviation from the level; weekdays, then weekends
    std::array<Bucket, 168> week_{};  // the same
    std::array<Bucket, 24> hour_spread_{};
};

}  // namespace signalbox::alarms
