#include "domain/alarms/alarm.hpp"

#include <algorithm>

#include "domain/alarms/alarm_internal.hpp"
#include "domain/alarms/evaluation.hpp"

namespace signalbox::alarms {
namespace {

using base::WallTime;

Transition change_to(const AlarmConfig& config, AlarmMemory& memory, AlarmState to, WallTime at, std::string text,
                     base::json::object evidence) {
    Transition transition;
    transition.from = memory.state;
    transition.to = to;
    transition.at = at;
    if (to == AlarmState::Alarm) ++memory.episode;
    transition.episode = memory.episode;
    evidence["alarm"] = config.name;
    evidence["kind"] = to_string(config.kind);
    evidence["text"] = text;
    transition.text = text;
    transition.evidence = std::move(evidence);
    memory.state = to;
    memory.since = at;
    memory.text = std::move(text);
    memory.acknowledged.reset();
    return transition;
}

void push(const AlarmConfig& config, AlarmMemory& memory, Datum datum) {
    memory.data.push_back(datum);
    const auto most = static_cast<std::size_t>(config.n) + AlarmMemory::evaluation_extra;
    if (memory.data.size() > most)
        memory.data.erase(memory.data.begin(), memory.data.end() - static_cast<std::ptrdiff_t>(most));
    if (datum == Datum::Bad) memory.good_run = 0;
    if (datum == Datum::Good) memory.good_run = std::min(memory.good_run + 1, 1000);
}

// A metric's datum, missing ones too: m of n decides.
std::optional<Transition> weigh(const AlarmConfig& config, AlarmMemory& memory, Judged judged, WallTime at) {
    push(config, memory, judged.datum);
    AlarmState to = evaluate(memory.data, config.m, config.n, config.missing, memory.state);
    if (judged.alone) to = AlarmState::Alarm;
    const bool clearing = memory.state == AlarmState::Alarm && to == AlarmState::Ok;
    if (clearing && memory.good_run < config.clear_after) return std::nullopt;
    if (to == memory.state) return std::nullopt;
    const auto bad = std::count(memory.data.begin(), memory.data.end(), Datum::Bad);
    if (to == AlarmState::Alarm && config.n > 1 && !judged.alone)
        judged.text += fmt::format("; {} of the last {} {} bad", bad, memory.data.size(),
                                   config.period == base::Duration::zero() ? "commits" : "periods");
    return change_to(config, memory, to, at, std::move(judged.text), std::move(judged.evidence));
}

// What one commit did: it fires by itself, and the next clean commit ends it.
std::optional<Transition> weigh_commit(const AlarmConfig& config, AlarmMemory& memory, Judged judged, WallTime at) {
    if (judged.datum == Datum::Bad) {
        if (memory.state == AlarmState::Alarm && !judged.occurrence) return std::nullopt;
        return change_to(config, memory, AlarmState::Alarm, at, std::move(judged.text), std::move(judged.evidence));
    }
    if (memory.state == AlarmState::Ok) return std::nullopt;
    return change_to(config, memory, AlarmState::Ok, at, std::move(judged.text), std::move(judged.evidence));
}

WallTime period_start(const AlarmConfig& config, WallTime at) {
    const auto since = at.time_since_epoch();
    auto rest = since % config.period;
    if (rest < base::Duration::zero()) rest += config.period;
    return at - rest;
}

double value_of(const AlarmConfig& config, const OpenPeriod& period) {
    switch (statistic_of(config)) {
        case Statistic::Sum:
            return period.sum;
        case Statistic::Average:
            return period.sum / static_cast<double>(period.points);
        case Statistic::Minimum:
            return period.least;
        case Statistic::Maximum:
            return period.most;
        case Statistic::Last:
            return period.last;
    }
    return period.last;
}

void close_period(const AlarmConfig& config, AlarmMemory& memory, Stepped& out) {
    OpenPeriod& period = *memory.period;
    const WallTime end = period.start + config.period;
    std::optional<Judged> judged;
    out.look = {};
    if (period.points > 0) {
        judged = judge_value(config, memory, {period.start, value_of(config, period), PointClass::Change},
                             memory.last_commit, out.look);
    } else if (!excluded(config.exclusions, period.start)) {
        judged.emplace();
        judged->text = fmt::format("{}: no data from {} to {}, which counts as {}", config.metric,
                                   base::format_time(period.start), base::format_time(end), to_string(config.missing));
        // Before the first value there is nothing that could be missing.
        if (memory.data.empty()) judged.reset();
    }
    period = OpenPeriod{end, PointClass::Change, 0, 0, 0, 0, 0};
    if (!judged) return;
    if (auto transition = weigh(config, memory, std::move(*judged), end)) {
        if (out.transition) out.earlier.push_back(std::move(*out.transition));
        out.transition = std::move(transition);
    }
}

void close_periods(const AlarmConfig& config, AlarmMemory& memory, WallTime until, Stepped& out) {
    if (!memory.period) memory.period = OpenPeriod{period_start(config, until), PointClass::Change, 0, 0, 0, 0, 0};
    // After so many empty periods the next ones change nothing more.
    int left = config.n + AlarmMemory::evaluation_extra + 1;
    while (memory.period->start + config.period <= until) {
        if (left-- == 0)
            memory.period->start = std::max(memory.period->start, period_start(config, until) - config.period);
        close_period(config, memory, out);
    }
}

void add_to_period(AlarmMemory& memory, double value) {
    OpenPeriod& period = *memory.period;
    period.least = period.points == 0 ? value : std::min(period.least, value);
    period.most = period.points == 0 ? value : std::max(period.most, value);
    period.sum += value;
    period.last = value;
    ++period.points;
}

void on_point(const AlarmConfig& config, AlarmMemory& memory, const MetricPoint& seen, Stepped& out) {
    if (seen.metric != config.metric) return;
    if (config.period == base::Duration::zero()) {
        memory.last_commit = seen.commit;
        auto judged = judge_value(config, memory, seen.point, seen.commit, out.look);
        if (judged) out.transition = weigh(config, memory, std::move(*judged), seen.point.at);
        return;
    }
    if (seen.point.kind == PointClass::Rewrite) return;
    close_periods(config, memory, seen.point.at, out);
    if (seen.point.at < memory.period->start) return;  // its period is closed
    add_to_period(memory, seen.point.value);
    memory.last_commit = seen.commit;
}

void on_late_commit(const AlarmConfig& config, AlarmMemory& memory, const CommitFact& fact, Stepped& out) {
    const WallTime at = fact.commit.at;
    if (fact.event || fact.kind == PointClass::Rewrite) return;  // neither brings data
    if (memory.last_data_commit && at <= *memory.last_data_commit) return;
    const auto before = memory.last_data_commit;
    memory.last_data_commit = at;
    memory.last_commit = fact.commit;
    if (!config.interval && !excluded(config.exclusions, at)) memory.rhythm.open().commit(at);
    out.look.value = before ? base::to_ms(at - *before) / 1000 : std::optional<double>{};
    const bool known = config.interval || !memory.rhythm || !memory.rhythm->learning(at);
    out.look.learning = !known;
    if (!known || memory.state == AlarmState::Ok) return;
    std::string text = "a commit came: " + commit_text(fact.commit);
    if (before) text += fmt::format(", {} after the one before", span_text(at - *before));
    base::json::object evidence;
    add_commit(evidence, fact.commit);
    out.transition = change_to(config, memory, AlarmState::Ok, at, std::move(text), std::move(evidence));
}

void on_late_tick(const AlarmConfig& config, AlarmMemory& memory, WallTime now, Stepped& out) {
    if (!memory.watched_since) memory.watched_since = now;
    if (memory.state == AlarmState::Alarm || excluded(config.exclusions, now)) return;
    const auto due = late_at(config, memory);
    if (!due || now < *due) return;
    const WallTime since = memory.last_data_commit.value_or(*memory.watched_since);
    std::string text = fmt::format("no commit with data for {}, since {}: one was due by {} ({})",
                                   span_text(now - since), base::format_time(since), base::format_time(*due),
                                   config.interval ? "an interval of " + span_text(*config.interval) + " is given"
                                                   : fmt::format("learned from {} commits", memory.rhythm->commits()));
    base::json::object evidence{{"due", base::format_time(*due)}, {"silent_since", base::format_time(since)}};
    if (memory.last_data_commit) {
        add_commit(evidence, memory.last_commit);
        if (const std::string by = commit_text(memory.last_commit); !by.empty()) text += "; the last was " + by;
    }
    out.transition = change_to(config, memory, AlarmState::Alarm, now, std::move(text), std::move(evidence));
}

}  // namespace

std::optional<WallTime> late_at(const AlarmConfig& config, const AlarmMemory& memory) {
    if (config.interval) {
        const auto since = memory.last_data_commit ? memory.last_data_commit : memory.watched_since;
        return since ? std::optional<WallTime>(*since + *config.interval) : std::nullopt;
    }
    return memory.rhythm ? memory.rhythm->late_at() : std::nullopt;
}

Stepped step_and_look(const AlarmConfig& config, AlarmMemory& memory, const Observation& observation, WallTime now) {
    Stepped out;
    const bool of_metric = config.kind == AlarmKind::Band || config.kind == AlarmKind::Threshold;
    if (const auto* point = std::get_if<MetricPoint>(&observation)) {
        if (of_metric) on_point(config, memory, *point, out);
    } else if (const auto* fact = std::get_if<CommitFact>(&observation)) {
        if (of_metric) return out;
        if (config.kind == AlarmKind::Late) {
            on_late_commit(config, memory, *fact, out);
        } else if (auto judged = judge_commit(config, memory, *fact, out.look)) {
            memory.last_commit = fact->commit;
            out.transition = weigh_commit(config, memory, std::move(*judged), fact->commit.at);
        }
    } else {
        if (of_metric && config.period > base::Duration::zero()) close_periods(config, memory, now, out);
        if (config.kind == AlarmKind::Late) on_late_tick(config, memory, now, out);
    }
    return out;
}

std::optional<Transition> step(const AlarmConfig& config, AlarmMemory& memory, const Observation& observation,
                               WallTime now) {
    return step_and_look(config, memory, observation, now).transition;
}

std::optional<WallTime> next_due(const AlarmConfig& config, const AlarmMemory& memory, WallTime now) {
    if (config.kind == AlarmKind::Late) {
        if (memory.state == AlarmState::Alarm) return std::nullopt;
        if (config.interval && !memory.last_data_commit && !memory.watched_since) return now;
        auto due = late_at(config, memory);
        if (!due) return std::nullopt;
        due = std::max(*due, now);
        for (const Exclusion& out : config.exclusions)
            if (out.from <= *due && *due < out.until) due = out.until;
        return due;
    }
    const bool of_metric = config.kind == AlarmKind::Band || config.kind == AlarmKind::Threshold;
    if (!of_metric || config.period == base::Duration::zero()) return std::nullopt;
    if (!memory.period) return now;
    return std::max(now, memory.period->start + config.period);
}

base::Status acknowledge(const AlarmConfig& config, AlarmMemory& memory, std::string by, WallTime at,
                         std::string note) {
    if (memory.state != AlarmState::Alarm)
        return base::fail(base::ErrorKind::Conflict, "alarm '{}' is {}: only one in ALARM can be acknowledged",
                          config.name, to_string(memory.state));
    memory.acknowledged = Acknowledgement{std::move(by), at, std::move(note)};
    return {};
}

}  // namespace signalbox::alarms
