#include "domain/alarms/lens.hpp"

#include <algorithm>
#include <cmath>

#include "domain/alarms/packing_internal.hpp"

namespace signalbox::alarms {
namespace {

// A normal series' standard deviation over its mean distance, √(π/2).
constexpr double sigma_per_distance = 1.2533;
// The tail that is tracked on each side, and where a normal series has it.
constexpr double tail_share = 0.01;
constexpr double tail_normal = 2.326;
constexpr double tail_least = 0.8 * tail_normal;
// A series that never moves would make every step an anomaly: no width is below this share of its level.
constexpr double width_least = 0.005;
constexpr double width_least_of_whole = 0.02;
constexpr double tail_step_most = 0.3;
constexpr double tail_most = 1e4;
constexpr std::uint8_t visits_known = 2 * 16;
constexpr double season_error_most = 3;
constexpr double level_hours = 7 * 24;
constexpr int tries_min = 3;

void move(double& mean, double value, double weight) { mean += (value - mean) * weight; }

// The weight of the newest of `count` values in a mean that becomes a running one.
double weight_of(std::uint64_t count, double slowest) {
    return std::max(1.0 / static_cast<double>(std::max<std::uint64_t>(count, 1)), slowest);
}

}  // namespace

void Bucket::learn(double value, double weight, double slowest) {
    const double before = visits / 16.0;
    const double share = std::max(weight / (before + weight), slowest * weight);
    mean = static_cast<float>(mean + (value - mean) * share);
    visits = static_cast<std::uint8_t>(std::min(255L, visits + std::max(1L, std::lround(weight * 16))));
}

Lens::Predictions Lens::predict(WeekHour hour) const {
    Predictions all;
    all[Level] = level_;
    if (points_ < 2) return all;
    all[Fast] = fast_;
    all[Walk] = last_ + drift_;
    const Bucket& day = day_[static_cast<std::size_t>(hour.day_kind())];
    const Bucket& week = week_[static_cast<std::size_t>(hour.value)];
    if (day.seen()) all[Day] = level_ + day.mean;
    if (week.seen()) all[Week] = level_ + week.mean;
    all[Carry] = all[Day].value_or(level_) + 0.7 * carry_;
    return all;
}

double Lens::combine(const Predictions& predictions) const {
    double sum = 0;
    double weights = 0;
    const double least = 1e-3 * whole_ + 1e-300;
    for (std::size_t i = 0; i < predictors; ++i) {
        if (!predictions[i] || tries_[i] < tries_min) continue;
        const double right = whole_ / (error_[i] + least);
        const double weight = right * right * right * right;
        sum += weight * *predictions[i];
        weights += weight;
    }
    return weights > 0 ? sum / weights : level_;
}

std::optional<double> Lens::season(const Predictions& predictions, WeekHour hour) const {
    double best = error_[Level];
    for (std::size_t i = 0; i < predictors; ++i)
        if (tries_[i] >= tries_min) best = std::min(best, error_[i]);
    const bool known = week_[static_cast<std::size_t>(hour.value)].visits >= visits_known / 2;
    const Predictor by = known ? Week : Day;
    if (!known && day_[static_cast<std::size_t>(hour.day_kind())].visits < visits_known) return std::nullopt;
    if (error_[by] > season_error_most * best + 1e-3 * whole_) return std::nullopt;
    return predictions[by];
}

Lens::Guess Lens::centre_of(const Predictions& predictions, WeekHour hour) const {
    const double common = combine(predictions);
    const double usual = season(predictions, hour).value_or(common);
    return {std::min(common, usual), std::max(common, usual), 0, 0};
}

double Lens::spread_at(WeekHour hour) const {
    const Bucket& of_hour = hour_spread_[static_cast<std::size_t>(hour.of_day())];
    const double visits = of_hour.visits / 16.0;
    double spread = (visits * of_hour.mean + 4 * spread_) / (visits + 4);
    // An hour of the week that it has never seen: only the spread of the whole is known.
    if (!week_[static_cast<std::size_t>(hour.value)].seen()) spread = std::max(spread, whole_);
    return spread;
}

Lens::Guess Lens::guess(WeekHour hour) const {
    Guess guess = centre_of(predict(hour), hour);
    const double few = 1 + 3.0 / static_cast<double>(std::max<std::uint64_t>(points_, 1));
    const double sigma = sigma_at(hour) * few;
    guess.up = sigma * std::max(tail_up_, tail_least) / tail_normal;
    guess.down = sigma * std::max(tail_down_, tail_least) / tail_normal;
    return guess;
}

double Lens::sigma_at(WeekHour hour) const {
    return std::max(
        {sigma_per_distance * spread_at(hour), width_least * std::abs(level_), width_least_of_whole * whole_});
}

void Lens::learn_tail(double z) {
    const double pace = std::max(0.05, 0.5 * weight_of(points_, 0));
    double& tail = z > 0 ? tail_up_ : tail_down_;
    // Each side sees about half of the points. The farther beyond, the longer the step: where far spikes are usual,
    // they must become so while they are few.
    const double over = std::abs(z) / tail;
    const double step = pace * (1 - 2 * tail_share) * (1 + 2 * std::log(std::max(over, 1.0)));
    tail *= over > 1 ? std::exp(std::min(step, tail_step_most)) : std::exp(-pace * 2 * tail_share);
    tail = std::clamp(tail, 0.5 * tail_normal, tail_most);
}

// How far it was off, and how far from the level: what even points that are not trusted say.
void Lens::learn_far(WeekHour hour, double value) {
    const double missed = centre_of(predict(hour), hour).missed(value);
    const double uncalibrated = sigma_at(hour);
    if (points_ >= 8 && uncalibrated > 0 && missed != 0) learn_tail(missed / uncalibrated);
    const double deviation = std::abs(value - level_);
    move(whole_, whole_ > 0 ? std::min(deviation, 50 * whole_) : deviation, weight_of(points_, 1.0 / 300));
    ++points_;
}

void Lens::learn_outside(WeekHour hour, double value, double edge, double hours, bool first) {
    const double visit = std::clamp(hours, 1.0 / 16, 1.0);
    week_[static_cast<std::size_t>(hour.value)].learn(value - level_, visit, 0.25);
    Bucket& day = day_[static_cast<std::size_t>(hour.day_kind())];
    day.learn((day.visits >= visits_known ? edge : value) - level_, visit, 0.15);
    if (first) learn_far(hour, edge);
}

void Lens::learn(WeekHour hour, double value, double hours, double trust) {
    if (points_ == 0) {
        level_ = fast_ = last_ = value;
        tail_up_ = tail_down_ = tail_normal;
        points_ = 1;
        return;
    }
    const Predictions predictions = predict(hour);
    const double missed = std::abs(centre_of(predictions, hour).missed(value));
    const double distance = std::abs(value - combine(predictions));
    learn_far(hour, value);
    const double deviation = value - level_;
    const double visit = std::clamp(hours, 1.0 / 16, 1.0);
    for (std::size_t i = 0; i < predictors; ++i) {
        if (!predictions[i]) continue;
        ++tries_[i];
        move(error_[i], std::abs(value - *predictions[i]), trust * weight_of(tries_[i], 1.0 / 100));
    }
    // Between the two centres nothing was missed, but the spread must not shrink to nothing there.
    const double off = std::min(distance, missed + distance / 4);
    move(spread_, off, trust * weight_of(points_ - 1, 1.0 / 100));
    hour_spread_[static_cast<std::size_t>(hour.of_day())].learn(off, visit, 0.1);
    Bucket& day = day_[static_cast<std::size_t>(hour.day_kind())];
    move(carry_, deviation - (day.seen() ? day.mean : 0), trust * 0.3);
    move(drift_, value - last_, trust * weight_of(points_ - 1, 0.05));
    move(fast_, value, trust * 0.2);
    last_ = value;
    const double pace = std::clamp(1 - std::exp(-hours / level_hours), 1.0 / 3000, 0.2);
    move(level_, value, trust * weight_of(points_, pace));
    day.learn(deviation, visit, 0.15);
    week_[static_cast<std::size_t>(hour.value)].learn(deviation, visit, 0.25);
}

void Lens::shift(double by, double value) {
    level_ += by;
    fast_ = last_ = value;
    carry_ = 0;
}

void Lens::judge_likelihood(const Guess& before, double value, double log_stretch) {
    const double missed = before.missed(value);
    const double sigma = missed > 0 ? before.up : before.down;
    if (!(sigma > 0)) return;
    const double distance = sigma / sigma_per_distance;
    const double density = -std::log(2 * distance) - std::min(std::abs(missed) / distance, 20.0) + log_stretch;
    move(likelihood_, density, weight_of(points_, 1.0 / 100));
}

void Lens::pack(Packer& packer) const {
    packer.put(points_);
    for (const double value :
         {level_, fast_, last_, drift_, carry_, whole_, spread_, tail_up_, tail_down_, likelihood_})
        packer.put(value);
    for (std::size_t i = 0; i < predictors; ++i) {
        packer.put(error_[i]);
        packer.put(tries_[i]);
    }
    const auto put = [&packer](const auto& buckets) {
        for (const Bucket& bucket : buckets) {
            packer.put(bucket.mean);
            packer.put(bucket.visits);
        }
    };
    put(day_);
    put(week_);
    put(hour_spread_);
}

void Lens::unpack(Unpacker& unpacker) {
    unpacker.get(points_);
    for (double* value :
         {&level_, &fast_, &last_, &drift_, &carry_, &whole_, &spread_, &tail_up_, &tail_down_, &likelihood_})
        unpacker.get(*value);
    for (std::size_t i = 0; i < predictors; ++i) {
        unpacker.get(error_[i]);
        unpacker.get(tries_[i]);
    }
    const auto get = [&unpacker](auto& buckets) {
        for (Bucket& bucket : buckets) {
            unpacker.get(bucket.mean);
            unpacker.get(bucket.visits);
        }
    };
    get(day_);
    get(week_);
    get(hour_spread_);
}

bool Lens::finite() const {
    double sum = level_ + fast_ + last_ + drift_ + carry_ + whole_ + spread_ + tail_up_ + tail_down_ + likelihood_;
    for (const double error : error_) sum += error;
    const auto add = [&sum](const auto& buckets) {
        for (const Bucket& bucket : buckets) sum += bucket.mean;
    };
    add(day_);
    add(week_);
    add(hour_spread_);
    return std::isfinite(sum);
}

}  // namespace signalbox::alarms
