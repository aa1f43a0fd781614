#include "domain/alarms/expectation.hpp"

#include <algorithm>
#include <cmath>

#include "domain/alarms/packing_internal.hpp"

namespace signalbox::alarms {
namespace {

namespace json = base::json;
using base::ErrorKind;
using base::WallTime;

constexpr double unit_share = 0.02;  // of the first values' mean size
constexpr double score_max = 1000;
constexpr double trust_far = 1.8;  // from so many standard deviations on, a point is trusted less

double hours_of(base::Duration duration) { return std::chrono::duration<double, std::ratio<3600>>(duration).count(); }

}  // namespace

WeekHour week_hour(WallTime at) {
    const auto hours = std::chrono::floor<std::chrono::hours>(at).time_since_epoch().count();
    // 1970-01-01 was a Thursday, hour 72 of its week.
    return {static_cast<int>(((hours + 72) % 168 + 168) % 168)};
}

Expectation::Scale Expectation::scale() const {
    if (unit_ == 0) return Linear;
    return lenses_[Logarithmic].likelihood() > lenses_[Linear].likelihood() ? Logarithmic : Linear;
}

double Expectation::to_scale(Scale scale, double value) const {
    return scale == Linear ? value : std::asinh(value / unit_);
}

double Expectation::from_scale(Scale scale, double value) const {
    return scale == Linear ? value : std::sinh(std::clamp(value, -700.0, 700.0)) * unit_;
}

std::optional<Expectation::Span> Expectation::span(WallTime at, double k) const {
    if (points_ == 0) return std::nullopt;
    const Scale in = scale();
    const Lens::Guess guess = lenses_[in].guess(week_hour(at));
    Span span{from_scale(in, guess.least - k * guess.down), from_scale(in, guess.most + k * guess.up)};
    if (!negative_) span.low = std::max(span.low, 0.0);
    if (!negative_) span.high = std::max(span.high, 0.0);
    return span;
}

Expectation::Judged Expectation::judge(WallTime at, double value, double k) const {
    Judged judged;
    judged.span = span(at, k).value_or(Span{value, value});
    const Scale in = scale();
    const Lens::Guess guess = lenses_[in].guess(week_hour(at));
    const double missed = guess.missed(to_scale(in, value));
    const double sigma = missed > 0 ? guess.up : guess.down;
    judged.score = missed == 0 ? 0 : sigma > 0 ? std::min(std::abs(missed) / sigma, score_max) : score_max;
    judged.outside = value < judged.span.low || value > judged.span.high;
    judged.above = value > judged.span.high;
    return judged;
}

void Expectation::open_lenses() {
    double sum = 0;
    for (const auto& [at, value] : warm_) sum += std::abs(value);
    if (sum == 0) return;  // all zeros: no unit yet, the linear lens alone
    unit_ = unit_share * sum / static_cast<double>(warm_.size());
    lenses_[Logarithmic] = Lens{};
    lenses_[Linear] = Lens{};
    WallTime before = warm_.front().first;
    for (const auto& [at, value] : warm_) {
        teach(at, value, hours_of(at - before), false, 3);
        before = at;
    }
    warm_.clear();
}

void Expectation::teach(WallTime at, double value, double hours, bool outside, double k) {
    const WeekHour hour = week_hour(at);
    for (const Scale in : {Linear, Logarithmic}) {
        if (in == Logarithmic && unit_ == 0) continue;
        Lens& lens = lenses_[in];
        const double seen = to_scale(in, value);
        const Lens::Guess guess = lens.guess(hour);
        const double stretch = in == Linear ? 0 : -0.5 * std::log(value * value + unit_ * unit_);
        lens.judge_likelihood(guess, seen, stretch);
        if (outside) {
            const double edge = std::clamp(seen, guess.least - k * guess.down, guess.most + k * guess.up);
            lens.learn_outside(hour, seen, edge, hours, std::abs(run_) <= episode_learned_points);
            continue;
        }
        const double missed = guess.missed(seen);
        const double sigma = missed > 0 ? guess.up : guess.down;
        const double far = sigma > 0 ? std::abs(missed) / sigma : 0;
        // What is nearly outside may be the beginning of an episode.
        lens.learn(hour, seen, hours, far > trust_far ? trust_far * trust_far / (far * far) : 1);
    }
}

bool Expectation::end_episode(WallTime at, double value) {
    const int length = std::abs(run_);
    if (length < episode_points_min || at - run_since_ < episode_time_min) return false;
    for (const Scale in : {Linear, Logarithmic}) {
        const double by = run_missed_[in] / length;
        lenses_[in].shift(by, to_scale(in, value));
        former_[in] = -by;
    }
    former_until_ = at + former_time;
    run_ = 0;
    return true;
}

void Expectation::return_to_former(WallTime at, double value, double k) {
    if (!former_until_) return;
    if (at > *former_until_) {
        former_until_.reset();
        return;
    }
    if (!judge(at, value, k).outside) return;
    Expectation former = *this;
    for (const Scale in : {Linear, Logarithmic}) former.lenses_[in].shift(former_[in], to_scale(in, value));
    if (former.judge(at, value, k).outside) return;
    former.former_until_.reset();
    former.run_ = 0;
    *this = std::move(former);
}

void Expectation::learn(WallTime at, double value, double k) {
    if (points_ == 0) first_ = at;
    const double hours = points_ == 0 ? 1 : std::max(0.0, hours_of(at - last_));
    last_ = std::max(last_, at);
    ++points_;
    negative_ = negative_ || value < 0;
    if (unit_ == 0) {
        warm_.emplace_back(at, value);
        if (warm_.size() > warm_max) warm_.erase(warm_.begin());
        teach(at, value, hours, false, k);
        if (warm_.size() == warm_max) open_lenses();
        return;
    }
    const Judged judged = judge(at, value, k);
    if (!judged.outside || points_ <= warm_max + 3) {
        run_ = 0;
        teach(at, value, hours, false, k);
        return;
    }
    const int side = judged.above ? 1 : -1;
    if (run_ * side <= 0) {
        run_ = 0;
        run_since_ = at;
        run_missed_ = {};
    }
    run_ += side;
    for (const Scale in : {Linear, Logarithmic})
        run_missed_[in] += to_scale(in, value) - lenses_[in].guess(week_hour(at)).centre();
    if (end_episode(at, value)) return;
    teach(at, value, hours, true, k);
}

json::object Expectation::encode() const {
    Packer packer;
    packer.put(points_);
    packer.put(first_.time_since_epoch().count());
    packer.put(last_.time_since_epoch().count());
    packer.put(unit_);
    packer.put(static_cast<std::uint8_t>(negative_ ? 1 : 0));
    packer.put(static_cast<std::uint8_t>(warm_.size()));
    for (const auto& [at, value] : warm_) {
        packer.put(at.time_since_epoch().count());
        packer.put(value);
    }
    packer.put(run_);
    packer.put(run_since_.time_since_epoch().count());
    for (const Scale in : {Linear, Logarithmic}) {
        packer.put(run_missed_[in]);
        packer.put(former_[in]);
    }
    packer.put(static_cast<std::uint8_t>(former_until_ ? 1 : 0));
    packer.put(former_until_.value_or(WallTime{}).time_since_epoch().count());
    lenses_[Linear].pack(packer);
    if (unit_ != 0) lenses_[Logarithmic].pack(packer);
    return {{"version", 1}, {"points", points_}, {"state", packer.text()}};
}

base::Result<Expectation> Expectation::decode(const json::object& object) {
    const auto corrupt = [] { return base::fail(ErrorKind::CorruptData, "a band's model that can't be read"); };
    const auto* version = object.if_contains("version");
    const auto* state = object.if_contains("state");
    if (version == nullptr || *version != json::value(1) || state == nullptr || !state->is_string()) return corrupt();
    SB_TRY(std::string bytes, from_base64(state->get_string()));
    Unpacker unpacker(std::move(bytes));
    Expectation model;
    std::int64_t time = 0;
    std::uint8_t flag = 0;
    const auto get_time = [&] {
        unpacker.get(time);
        return WallTime(base::Duration(time));
    };
    unpacker.get(model.points_);
    model.first_ = get_time();
    model.last_ = get_time();
    unpacker.get(model.unit_);
    unpacker.get(flag);
    model.negative_ = flag != 0;
    unpacker.get(flag);
    if (flag > warm_max) return corrupt();
    for (int i = 0, warm = flag; i < warm; ++i) {
        const WallTime at = get_time();
        double value = 0;
        unpacker.get(value);
        if (!std::isfinite(value)) return corrupt();
        model.warm_.emplace_back(at, value);
    }
    unpacker.get(model.run_);
    model.run_since_ = get_time();
    for (const Scale in : {Linear, Logarithmic}) {
        unpacker.get(model.run_missed_[in]);
        unpacker.get(model.former_[in]);
    }
    unpacker.get(flag);
    const WallTime former_until = get_time();
    if (flag != 0) model.former_until_ = former_until;
    model.lenses_[Linear].unpack(unpacker);
    if (model.unit_ != 0) model.lenses_[Logarithmic].unpack(unpacker);
    const double sum = model.unit_ + model.run_missed_[0] + model.run_missed_[1] + model.former_[0] + model.former_[1];
    if (!unpacker.finished() || !std::isfinite(sum) || model.unit_ < 0 || !model.lenses_[Linear].finite() ||
        !model.lenses_[Logarithmic].finite())
        return corrupt();
    return model;
}

}  // namespace signalbox::alarms
