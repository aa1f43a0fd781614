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
    // What is expected: from `least` to `most` (the predictors' common guess, and the season's where it is as good),
    // and a standard deviation beyond each, as if the series were normal.
    struct Guess {
        double least = 0;
        double most = 0;
        double up = 0;
        double down = 0;
        // How far the value lies beyond; 0 between the two, negative below.
        double missed(double value) const { return value > most ? value - most : value < least ? value - least : 0; }
        double centre() const { return (least + most) / 2; }
    };
    Guess guess(WeekHour hour) const;
    // `hours`: since the point before. `trust`: 1 for a usual point, less for one near the range's edge.
    void learn(WeekHour hour, double value, double hours, double trust);
    // A point outside of the range, and the edge that it passed. It teaches the season, should it come every week; and
    // the tail, if it is one of an episode's first.
    void learn_outside(WeekHour hour, double value, double edge, double hours, bool first);
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
    // What the season says, if it is about as right as the best predictor: a step at its usual hour is no surprise.
    std::optional<double> season(const Predictions& predictions, WeekHour hour) const;
    Guess centre_of(const Predictions& predictions, WeekHour hour) const;
    double spread_at(WeekHour hour) const;
    double sigma_at(WeekHour hour) const;
    void learn_tail(double z);
    void learn_far(WeekHour hour, double value);

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
