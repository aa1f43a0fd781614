// Band and threshold: is this value good or bad?

#include <cmath>
#include <limits>

#include "domain/alarms/alarm_internal.hpp"

namespace signalbox::alarms {
namespace {

bool passes(Comparison comparison, double value, double bound) {
    switch (comparison) {
        case Comparison::GreaterThan:
            return value > bound;
        case Comparison::GreaterOrEqual:
            return value >= bound;
        case Comparison::LessThan:
            return value < bound;
        case Comparison::LessOrEqual:
            return value <= bound;
    }
    return false;
}

std::string_view words(Comparison comparison) {
    switch (comparison) {
        case Comparison::GreaterThan:
            return "above";
        case Comparison::GreaterOrEqual:
            return "at least";
        case Comparison::LessThan:
            return "below";
        case Comparison::LessOrEqual:
            return "at most";
    }
    return "";
}

bool upwards(Comparison comparison) {
    return comparison == Comparison::GreaterThan || comparison == Comparison::GreaterOrEqual;
}

Judged judge_threshold(const AlarmConfig& config, const AlarmMemory& memory, double value) {
    constexpr double open = std::numeric_limits<double>::infinity();
    const bool clearing = memory.state == AlarmState::Alarm && config.clear_threshold;
    const double bound = clearing ? *config.clear_threshold : config.threshold.value_or(0);
    Judged judged;
    judged.datum = passes(config.comparison, value, bound) ? Datum::Bad : Datum::Good;
    judged.look.expected = upwards(config.comparison) ? Range{-open, bound} : Range{bound, open};
    judged.text = fmt::format("{} is {}, {} {} {}", config.metric, number_text(value),
                              judged.datum == Datum::Bad ? "which is" : "no longer", words(config.comparison),
                              number_text(bound));
    judged.evidence["threshold"] = bound;
    judged.evidence["comparison"] = to_string(config.comparison);
    return judged;
}

std::optional<Judged> judge_band(const AlarmConfig& config, AlarmMemory& memory, const Point& point) {
    Band& band = memory.band.open(band_config(config));
    const BandVerdict verdict = band.step(point);
    Judged judged;
    judged.look.learning = verdict.learning;
    judged.look.score = verdict.score;
    judged.look.expected = verdict.expected;
    if (verdict.learning) return judged;
    const bool side = config.side == Side::Both || (config.side == Side::Above) == verdict.above;
    judged.datum = verdict.outside && side ? Datum::Bad : Datum::Good;
    judged.alone = judged.datum == Datum::Bad && config.k_alone && verdict.score > *config.k_alone;
    const Range& range = *verdict.expected;
    judged.text = fmt::format("{} is {}, {} {} to {}", config.metric, number_text(point.value),
                              verdict.outside ? "expected" : "within", number_text(range.low), number_text(range.high));
    if (verdict.outside)
        judged.text +=
            fmt::format(" ({} by {:.1f} times the width)", verdict.above ? "above" : "below", verdict.score / config.k);
    judged.evidence["expected"] = {{"low", range.low}, {"high", range.high}};
    judged.evidence["score"] = verdict.score;
    return judged;
}

}  // namespace

std::optional<Judged> judge_value(const AlarmConfig& config, AlarmMemory& memory, const Point& point,
                                  const CommitRef& commit, Look& look) {
    look = {};
    if (!std::isfinite(point.value)) return std::nullopt;
    look.value = point.value;
    look.learning = true;
    if (excluded(config.exclusions, point.at)) return std::nullopt;
    // A rewrite that nobody asked to judge still teaches its own model.
    std::optional<Judged> judged;
    if (config.kind == AlarmKind::Band) judged = judge_band(config, memory, point);
    if (config.kind == AlarmKind::Threshold) judged = judge_threshold(config, memory, point.value);
    if (!judged) return std::nullopt;
    judged->look.value = point.value;
    judged->look.datum = judged->datum;
    look = judged->look;
    // How a table is after a compaction is as true as after any commit: it may be what ends an alarm.
    const bool left_out = point.kind == PointClass::Rewrite && !config.judge_rewrites &&
                          (config.kind == AlarmKind::Band || is_of_commit(config.metric));
    if (judged->look.learning || left_out) {
        look.datum = Datum::Missing;
        return std::nullopt;
    }
    judged->evidence["metric"] = config.metric;
    judged->evidence["value"] = point.value;
    add_commit(judged->evidence, commit);
    if (const std::string by = commit_text(commit); !by.empty()) judged->text += "; " + by;
    return judged;
}

}  // namespace signalbox::alarms
