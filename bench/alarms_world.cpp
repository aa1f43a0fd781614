#include "alarms_world.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

namespace signalbox::bench {
namespace {

using alarms::CommitFact;
using alarms::PointClass;
using base::Duration;
using base::Prng;
using base::WallTime;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr hours learning{14 * 24};
constexpr hours month{30 * 24};
constexpr double pi = 3.14159265358979;

double uniform(Prng& prng, double low, double high) { return low + (high - low) * prng.unit(); }

double normal(Prng& prng) {
    const double u = 1 - prng.unit();
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * pi * prng.unit());
}

Duration of_seconds(double value) { return Duration(static_cast<std::int64_t>(value * 1e9)); }

// The habits of one table.
struct Habits {
    Personality personality;
    double rows;  // of a usual commit
    double row_bytes;
    double noise;      // standard deviation of the logarithm
    double day_swing;  // how much the hour of day matters
    double peak_hour;
    double weekend;  // factor
    double growth;   // per day
    double minute;   // of the hour (hourly), of the day (daily)
    double jitter_s;
    double live_rows;     // at the beginning
    double delete_share;  // of the commits that delete a little
    Duration interval;    // usual
    Duration compaction_every;
};

Habits make_habits(Prng& prng, Personality personality) {
    Habits habits{};
    habits.personality = personality;
    habits.rows = std::pow(10, uniform(prng, 2.5, 6.5));
    habits.row_bytes = uniform(prng, 20, 400);
    habits.noise = uniform(prng, 0.08, 0.25);
    habits.day_swing = uniform(prng, 0.1, 0.8);
    habits.peak_hour = uniform(prng, 0, 24);
    habits.weekend = uniform(prng, 0.4, 1.1);
    habits.minute = uniform(prng, 0, 60);
    habits.jitter_s = uniform(prng, 5, 120);
    habits.interval = hours(1);
    habits.compaction_every = prng.chance(0.5) ? hours(24) : hours(6);
    habits.delete_share = prng.chance(0.4) ? uniform(prng, 0.02, 0.5) : 0;
    switch (personality) {
        case Personality::Hourly:
            break;
        case Personality::Daily:
            habits.interval = hours(24);
            habits.minute = uniform(prng, 0, 24 * 60);
            habits.jitter_s = uniform(prng, 60, 1200);
            habits.compaction_every = hours(7 * 24);
            break;
        case Personality::FiveMinutes:
            habits.interval = minutes(5);
            habits.jitter_s = uniform(prng, 2, 30);
            habits.noise = uniform(prng, 0.1, 0.35);
            break;
        case Personality::Weekdays:
            habits.weekend = 0;
            break;
        case Personality::Bursty:
            habits.interval = minutes(static_cast<int>(uniform(prng, 10, 40)));
            habits.noise = uniform(prng, 0.5, 0.9);
            habits.day_swing = uniform(prng, 0.1, 0.5);
            break;
        case Personality::Trending:
            habits.growth = uniform(prng, -0.015, 0.03);
            break;
    }
    habits.live_rows = habits.rows * uniform(prng, 500, 5000);
    return habits;
}

double hour_of_day(WallTime at) {
    return std::fmod(std::chrono::duration<double, std::ratio<3600>>(at.time_since_epoch()).count(), 24);
}

bool weekend(WallTime at) {
    const auto day = std::chrono::floor<std::chrono::days>(at).time_since_epoch().count();
    return (day + 3) % 7 >= 5;  // 1970-01-01 was a Thursday
}

double season(const Habits& habits, WallTime at, WallTime begin) {
    const double day = 1 + habits.day_swing * std::cos((hour_of_day(at) - habits.peak_hour) * 2 * pi / 24);
    const double days = std::chrono::duration<double, std::ratio<86400>>(at - begin).count();
    const double week = weekend(at) && habits.weekend > 0 ? habits.weekend : 1;
    return day * week * std::exp(habits.growth * days);
}

bool works(const Habits& habits, WallTime at) {
    if (habits.personality != Personality::Weekdays) return true;
    return !weekend(at) && hour_of_day(at) >= 7 && hour_of_day(at) < 19;
}

// When loads come, without faults.
std::vector<WallTime> schedule(Prng& prng, const Habits& habits, WallTime begin, WallTime end) {
    std::vector<WallTime> times;
    if (habits.personality == Personality::Bursty) {
        WallTime at = begin;
        while (true) {
            const double rate = 1 + 0.5 * std::cos((hour_of_day(at) - habits.peak_hour) * 2 * pi / 24);
            const double mean = std::chrono::duration<double>(habits.interval).count() / rate;
            at += of_seconds(std::max(1.0, -mean * std::log(1 - prng.unit())));
            if (at >= end) return times;
            times.push_back(at);
        }
    }
    for (WallTime slot = begin; slot < end; slot += habits.interval) {
        const Duration offset = habits.interval == minutes(5) ? Duration{} : of_seconds(habits.minute * 60);
        const WallTime at = slot + offset + of_seconds(std::abs(normal(prng)) * habits.jitter_s);
        if (works(habits, slot + offset) && at < end) times.push_back(at);
    }
    return times;
}

struct Load {
    WallTime at;
    double rows;
    double bytes;
    double deleted = 0;
};

// Faults change the loads of a table that would otherwise be as usual.
class Faulty {
  public:
    Faulty(Prng& prng, const Habits& habits, std::vector<Load>& loads) : prng_(prng), habits_(habits), loads_(loads) {}

    std::optional<Fault> add(FaultKind kind, WallTime at) {
        const auto first = std::find_if(loads_.begin(), loads_.end(), [at](const Load& load) { return load.at >= at; });
        if (loads_.end() - first < 400 && loads_.end() - first < static_cast<std::ptrdiff_t>(loads_.size() / 30 + 4))
            return std::nullopt;
        const auto index = static_cast<std::size_t>(first - loads_.begin());
        switch (kind) {
            case FaultKind::Stop:
                return stop(index);
            case FaultKind::Drop:
                return drop(index);
            case FaultKind::Spike:
                return spike(index);
            case FaultKind::Duplicate:
                return duplicate(index);
            case FaultKind::Late:
                return late(index);
            case FaultKind::DeletionStorm:
                return storm(index);
        }
        return std::nullopt;
    }

  private:
    // How long after its end an alarm still names it.
    Duration grace() const { return std::max<Duration>(hours(3), 3 * habits_.interval); }
    bool daily() const { return habits_.interval >= hours(24); }

    // A stop is over several loads: so many that the gap is unlike any usual one.
    std::size_t silent_loads() {
        if (daily()) return 2;
        if (habits_.personality == Personality::Bursty) return 30 + prng_.below(30);
        if (habits_.personality == Personality::FiveMinutes) return 12 + prng_.below(60);
        return 5 + prng_.below(12);
    }

    Fault stop(std::size_t index) {
        const std::size_t count = std::min(silent_loads(), loads_.size() - index - 2);
        const Fault fault{FaultKind::Stop, loads_[index].at, loads_[index + count].at + grace()};
        const auto first = loads_.begin() + static_cast<std::ptrdiff_t>(index);
        loads_.erase(first, first + static_cast<std::ptrdiff_t>(count));
        return fault;
    }

    Fault drop(std::size_t index) {
        const std::size_t count =
            std::min<std::size_t>(daily() ? 2 + prng_.below(2) : silent_loads(), loads_.size() - index - 2);
        const double factor = std::min(uniform(prng_, 0, 0.2), std::exp(-4.5 * habits_.noise));
        for (std::size_t i = index; i < index + count; ++i) {
            loads_[i].rows = std::floor(loads_[i].rows * factor);
            loads_[i].bytes *= factor;
        }
        return {FaultKind::Drop, loads_[index].at, loads_[index + count].at + grace()};
    }

    // So many times the noise that people would call it one.
    Fault spike(std::size_t index) {
        const double factor = std::max(uniform(prng_, 5, 20), std::exp(uniform(prng_, 6, 9) * habits_.noise));
        loads_[index].rows = std::floor(loads_[index].rows * factor);
        loads_[index].bytes *= factor;
        return {FaultKind::Spike, loads_[index].at, loads_[index].at + grace()};
    }

    Fault duplicate(std::size_t index) {
        Load again = loads_[index];
        const double part = std::chrono::duration<double>(habits_.interval).count() * uniform(prng_, 0.02, 0.4);
        again.at += of_seconds(std::min(part, 3600.0));
        again.bytes = std::floor(again.bytes * uniform(prng_, 0.9995, 1.0005));
        again.deleted = 0;
        const Fault fault{FaultKind::Duplicate, again.at, again.at + grace()};
        loads_.push_back(again);
        std::sort(loads_.begin(), loads_.end(), [](const Load& a, const Load& b) { return a.at < b.at; });
        return fault;
    }

    // Loads wait, and come at once when the way is free again, in one commit.
    Fault late(std::size_t index) {
        if (daily()) {
            const WallTime due = loads_[index].at;
            loads_[index].at += hours(static_cast<int>(uniform(prng_, 8, 18)));
            return {FaultKind::Late, due, loads_[index].at + grace()};
        }
        const std::size_t count = std::min(silent_loads(), loads_.size() - index - 2);
        const WallTime due = loads_[index].at;
        Load all = loads_[index + count];
        for (std::size_t i = index; i < index + count; ++i) {
            all.rows += loads_[i].rows;
            all.bytes += loads_[i].bytes;
        }
        loads_[index + count] = all;
        const auto first = loads_.begin() + static_cast<std::ptrdiff_t>(index);
        loads_.erase(first, first + static_cast<std::ptrdiff_t>(count));
        return {FaultKind::Late, due, all.at + grace()};
    }

    Fault storm(std::size_t index) {
        loads_[index].deleted = -uniform(prng_, 0.2, 0.7);  // a share, until what lives is known
        return {FaultKind::DeletionStorm, loads_[index].at, loads_[index].at + grace()};
    }

    Prng& prng_;
    const Habits& habits_;
    std::vector<Load>& loads_;
};

std::vector<Load> usual_loads(Prng& prng, const Habits& habits, WallTime begin, WallTime end) {
    std::vector<Load> loads;
    for (const WallTime at : schedule(prng, habits, begin, end)) {
        Load load{at, 0, 0};
        load.rows = std::floor(habits.rows * season(habits, at, begin) * std::exp(habits.noise * normal(prng)));
        load.bytes = std::floor(load.rows * habits.row_bytes * uniform(prng, 0.97, 1.03));
        if (prng.chance(habits.delete_share)) load.deleted = std::floor(load.rows * uniform(prng, 0.01, 0.1));
        loads.push_back(load);
    }
    return loads;
}

CommitFact fact_of(const Load& load, double& live_rows, std::int64_t id) {
    CommitFact fact;
    const double deleted = load.deleted < 0 ? std::floor(-load.deleted * live_rows) : load.deleted;
    fact.commit = {id, load.at, "loader", deleted > 0 ? "overwrite" : "append"};
    fact.added_records = load.rows;
    fact.added_bytes = load.bytes;
    fact.deleted_records = deleted;
    fact.records_before = live_rows;
    live_rows = std::max(0.0, live_rows + load.rows - deleted);
    return fact;
}

CommitFact compaction(Prng& prng, WallTime at, double live_rows, double row_bytes, std::int64_t id) {
    CommitFact fact;
    // Mostly a small part of the table; now and then nearly all of it.
    const double part = prng.chance(0.05) ? uniform(prng, 0.5, 1) : uniform(prng, 0.001, 0.02);
    const double rows = std::floor(live_rows * part);
    fact.commit = {id, at, "maintenance", "replace"};
    fact.kind = PointClass::Rewrite;
    fact.added_records = rows;
    fact.added_bytes = std::floor(rows * row_bytes);
    fact.deleted_records = rows;
    fact.records_before = live_rows;
    return fact;
}

}  // namespace

std::string_view to_string(Personality personality) {
    constexpr std::string_view words[] = {"hourly", "daily", "five-minutes", "weekdays", "bursty", "trending"};
    return words[static_cast<std::size_t>(personality)];
}

std::string_view to_string(FaultKind kind) {
    constexpr std::string_view words[] = {"stop", "drop", "spike", "duplicate", "late", "deletion-storm"};
    return words[static_cast<std::size_t>(kind)];
}

TableWorld make_table(Prng& prng, Personality personality) {
    TableWorld table;
    table.personality = personality;
    // A Monday in the middle of a year, and a random day of the week after it.
    table.begin = WallTime(hours(24 * (19'885 + static_cast<int>(prng.below(7)))));
    table.measured_from = table.begin + learning;
    table.end = table.measured_from + month;
    const Habits habits = make_habits(prng, personality);
    std::vector<Load> loads = usual_loads(prng, habits, table.begin, table.end);
    Faulty faulty(prng, habits, loads);
    // Apart by some days, so that each alarm belongs to one of them.
    WallTime at = table.measured_from + hours(static_cast<int>(uniform(prng, 24, 5 * 24)));
    while (at < table.end - hours(4 * 24)) {
        const auto kind = static_cast<FaultKind>(prng.below(fault_kinds));
        if (const auto fault = faulty.add(kind, at)) table.faults.push_back(*fault);
        at += hours(static_cast<int>(uniform(prng, 7 * 24, 12 * 24)));
    }
    double live_rows = habits.live_rows;
    std::int64_t id = 1;
    WallTime next = table.begin + habits.compaction_every;
    for (const Load& load : loads) {
        while (next < load.at) {
            table.commits.push_back(compaction(prng, next, live_rows, habits.row_bytes, id++));
            next += habits.compaction_every;
        }
        table.commits.push_back(fact_of(load, live_rows, id++));
    }
    return table;
}

}  // namespace signalbox::bench
