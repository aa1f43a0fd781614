#include "domain/alarms/rhythm.hpp"

#include <algorithm>
#include <cmath>

#include "domain/alarms/packing_internal.hpp"

namespace signalbox::alarms {
namespace {

namespace json = base::json;
using base::WallTime;

constexpr double gap_k = 4;
constexpr double gap_least = 1.25;  // of the usual gap
constexpr double dense_rate = 0.7;  // commits per hour in the hours that have any
constexpr double dense_rate_overall = 0.2;
// Late only after so many expected commits did not come, and by so much more than the longest normal silence.
constexpr double silence_least = 2;
constexpr double silence_margin = 1.5;
constexpr double forget_per_hour = 0.8;  // of an hour of the week, each time it comes
constexpr double longest_half_life_hours = 90 * 24;
constexpr int odd_max = 3;
constexpr int weeks_max = 4;

double hours_of(base::Duration duration) { return std::chrono::duration<double, std::ratio<3600>>(duration).count(); }

BandConfig gap_config() {
    BandConfig config;
    config.k = gap_k;
    config.learning_points = Rhythm::commits_min - 1;
    config.learning_time = {};  // the rhythm has its own
    return config;
}

}  // namespace

Rhythm::Rhythm() : gaps_(gap_config()) {}

bool Rhythm::learning(WallTime now) const { return commits_ < commits_min || !first_ || now - *first_ < learning_time; }

double Rhythm::rate(int hour) const {
    const auto at = static_cast<std::size_t>(hour);
    if (watched_[at] == 0) return 0;
    // Other days of the same kind, at that hour, help an hour of the week that was seen once or twice.
    double seen = 0;
    double watched = 0;
    const int from = hour < 120 ? 0 : 5;
    const int until = hour < 120 ? 5 : 7;
    for (int day = from; day < until; ++day) {
        const auto same = static_cast<std::size_t>(day * 24 + hour % 24);
        seen += seen_[same];
        watched += watched_[same];
    }
    // Of a part of an hour the rate would be a guess: it counts as a whole one.
    return (seen_[at] + seen / std::max(watched, 1.0)) / (watched_[at] + 1);
}

bool Rhythm::dense() const {
    double weighted = 0;
    double seen = 0;
    double watched = 0;
    for (std::size_t i = 0; i < hours; ++i) {
        if (watched_[i] == 0) continue;
        weighted += static_cast<double>(seen_[i]) * seen_[i] / watched_[i];
        seen += seen_[i];
        watched += watched_[i];
    }
    return seen > 0 && weighted >= dense_rate * seen && seen >= dense_rate_overall * watched;
}

double Rhythm::limit() const { return std::max(silence_least, silence_margin * longest_); }

double Rhythm::expected(WallTime from, WallTime until) const {
    double sum = 0;
    // What is longer than some weeks is late in any case.
    until = std::min<WallTime>(until, from + std::chrono::hours(weeks_max * hours));
    while (from < until) {
        const WallTime next =
            std::min<WallTime>(until, std::chrono::floor<std::chrono::hours>(from) + std::chrono::hours(1));
        sum += rate(week_hour(from).value) * hours_of(next - from);
        from = next;
    }
    return sum;
}

void Rhythm::expose(WallTime from, WallTime until) {
    until = std::min<WallTime>(until, from + std::chrono::hours(weeks_max * hours));
    while (from < until) {
        const WallTime next =
            std::min<WallTime>(until, std::chrono::floor<std::chrono::hours>(from) + std::chrono::hours(1));
        const double part = hours_of(next - from);
        const auto hour = static_cast<std::size_t>(week_hour(from).value);
        const double kept = std::pow(forget_per_hour, part);
        seen_[hour] = static_cast<float>(seen_[hour] * kept);
        watched_[hour] = static_cast<float>(watched_[hour] * kept + part);
        from = next;
    }
}

void Rhythm::commit(WallTime at) {
    if (last_ && at <= *last_) {
        if (at == *last_) ++commits_;
        return;
    }
    if (!first_) first_ = at;
    if (last_) {
        const double silence = expected(*last_, at);
        const double gap_seconds = hours_of(at - *last_) * 3600;
        const bool odd = !learning(at) && dense() && silence > limit();
        odd_ = odd ? odd_ + 1 : 0;
        // A stop is no example of how the table usually is, unless it has become that.
        if (!odd || odd_ >= odd_max) {
            expose(*last_, at);
            longest_ *= std::pow(0.5, hours_of(at - *last_) / longest_half_life_hours);
            longest_ = std::max(longest_, learning(at) ? silence : std::min(silence, 2 * limit()));
        }
        gaps_.step({*last_, gap_seconds, PointClass::Change});
    }
    last_ = at;
    ++commits_;
    seen_[static_cast<std::size_t>(week_hour(at).value)] += 1;
}

std::optional<WallTime> Rhythm::late_at() const {
    if (!last_ || commits_ < commits_min) return std::nullopt;
    const WallTime learned = *first_ + learning_time;
    if (!dense()) {
        const auto range = gaps_.expected(*last_);
        const auto usual = gaps_.expected(*last_, PointClass::Change, 0);
        if (!range || !usual) return std::nullopt;
        const double seconds = std::min(std::max(range->high, gap_least * usual->high), 86400.0 * 7 * weeks_max);
        return std::max<WallTime>(learned, *last_ + base::Duration(static_cast<std::int64_t>(seconds * 1e9)));
    }
    double left = limit();
    WallTime from = *last_;
    for (int i = 0; i <= weeks_max * hours; ++i) {
        const WallTime next = std::chrono::floor<std::chrono::hours>(from) + std::chrono::hours(1);
        const double per_hour = rate(week_hour(from).value);
        const double here = per_hour * hours_of(next - from);
        if (here >= left)
            return std::max<WallTime>(learned,
                                      from + base::Duration(static_cast<std::int64_t>(left / per_hour * 3600e9)));
        left -= here;
        from = next;
    }
    return std::nullopt;
}

json::object Rhythm::encode() const {
    Packer packer;
    packer.put(static_cast<std::uint8_t>(last_ ? 1 : 0));
    packer.put(first_.value_or(WallTime{}).time_since_epoch().count());
    packer.put(last_.value_or(WallTime{}).time_since_epoch().count());
    packer.put(commits_);
    packer.put(longest_);
    packer.put(static_cast<std::int32_t>(odd_));
    for (std::size_t i = 0; i < hours; ++i) {
        packer.put(seen_[i]);
        packer.put(watched_[i]);
    }
    return {{"version", 1}, {"commits", commits_}, {"state", packer.text()}, {"gaps", gaps_.encode()}};
}

base::Result<Rhythm> Rhythm::decode(const json::object& object) {
    const auto corrupt = [] { return base::fail(base::ErrorKind::CorruptData, "a rhythm that can't be read"); };
    const auto* version = object.if_contains("version");
    const auto* state = object.if_contains("state");
    const auto* gaps = object.if_contains("gaps");
    if (version == nullptr || *version != json::value(1) || state == nullptr || !state->is_string() ||
        gaps == nullptr || !gaps->is_object())
        return corrupt();
    SB_TRY(std::string bytes, from_base64(state->get_string()));
    Unpacker unpacker(std::move(bytes));
    Rhythm rhythm;
    std::uint8_t any = 0;
    std::int64_t first = 0;
    std::int64_t last = 0;
    std::int32_t odd = 0;
    unpacker.get(any);
    unpacker.get(first);
    unpacker.get(last);
    unpacker.get(rhythm.commits_);
    unpacker.get(rhythm.longest_);
    unpacker.get(odd);
    rhythm.odd_ = odd;
    double sum = rhythm.longest_;
    for (std::size_t i = 0; i < hours; ++i) {
        unpacker.get(rhythm.seen_[i]);
        unpacker.get(rhythm.watched_[i]);
        sum += static_cast<double>(rhythm.seen_[i]) + static_cast<double>(rhythm.watched_[i]);
    }
    if (!unpacker.finished() || !std::isfinite(sum)) return corrupt();
    if (any != 0) {
        rhythm.first_ = WallTime(base::Duration(first));
        rhythm.last_ = WallTime(base::Duration(last));
    }
    SB_TRY(rhythm.gaps_, Band::decode(gaps->get_object(), gap_config()));
    return rhythm;
}

}  // namespace signalbox::alarms
