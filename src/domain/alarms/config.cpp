// What an alarm's configuration means, and when it is wrong.

#include <cmath>

#include "base/text.hpp"
#include "domain/alarms/alarm.hpp"

namespace signalbox::alarms {
namespace {

using base::ErrorKind;
using base::fail;

constexpr int n_max = 100;

base::Status check_numbers(const AlarmConfig& config) {
    const auto wrong = [&config](std::string_view field, std::string_view right) {
        return fail(ErrorKind::InvalidConfig, "alarm '{}': {} {}", config.name, field, right);
    };
    if (!std::isfinite(config.k) || config.k <= 0) return wrong("k", "must be a number above 0");
    if (config.k_alone && (!std::isfinite(*config.k_alone) || *config.k_alone < config.k))
        return wrong("k_alone", "must be at least k");
    if (config.n < 1 || config.n > n_max) return wrong("n", "must be 1 to 100");
    if (config.m < 1 || config.m > config.n) return wrong("m", "must be 1 to n");
    if (config.clear_after < 0 || config.clear_after > n_max) return wrong("clear_after", "must be 0 to 100");
    if (config.period < base::Duration::zero()) return wrong("period", "must not be negative");
    if (config.period > base::Duration::zero() && config.period < std::chrono::seconds(1))
        return wrong("period", "must be at least 1s, or 0 for each commit");
    if (config.interval && *config.interval <= base::Duration::zero()) return wrong("interval", "must be above 0");
    for (const Exclusion& out : config.exclusions)
        if (out.until <= out.from) return wrong("exclusions", "must end after they begin");
    return {};
}

base::Status check_threshold(const AlarmConfig& config) {
    if (!config.threshold || !std::isfinite(*config.threshold))
        return fail(ErrorKind::InvalidConfig, "alarm '{}': a threshold alarm needs a threshold", config.name);
    if (!config.clear_threshold) return {};
    const bool upwards =
        config.comparison == Comparison::GreaterThan || config.comparison == Comparison::GreaterOrEqual;
    if (!std::isfinite(*config.clear_threshold) ||
        (upwards ? *config.clear_threshold > *config.threshold : *config.clear_threshold < *config.threshold))
        return fail(ErrorKind::InvalidConfig, "alarm '{}': clear_threshold must be on the good side of threshold",
                    config.name);
    return {};
}

}  // namespace

base::Status check(const AlarmConfig& config) {
    if (!base::is_name(config.name))
        return fail(ErrorKind::InvalidConfig, "alarm '{}': not a name: 1 to 63 of a-z A-Z 0-9 . _ -", config.name);
    SB_CHECK(check_numbers(config));
    const bool of_metric = config.kind == AlarmKind::Band || config.kind == AlarmKind::Threshold;
    if (of_metric && config.metric.empty())
        return fail(ErrorKind::InvalidConfig, "alarm '{}': a {} alarm needs a metric", config.name,
                    to_string(config.kind));
    if (config.kind == AlarmKind::Threshold) SB_CHECK(check_threshold(config));
    if (!of_metric && config.period != base::Duration::zero())
        return fail(ErrorKind::InvalidConfig, "alarm '{}': only band and threshold alarms have a period", config.name);
    if (config.judge_rewrites && config.period != base::Duration::zero())
        return fail(ErrorKind::InvalidConfig, "alarm '{}': rewrites are judged per commit only, without a period",
                    config.name);
    return {};
}

std::vector<AlarmConfig> default_alarms() {
    const auto of = [](std::string name, AlarmKind kind) {
        AlarmConfig config;
        config.name = std::move(name);
        config.kind = kind;
        return config;
    };
    AlarmConfig rows = of("rows", AlarmKind::Band);
    rows.metric = "snapshot.added_records";
    rows.k_alone = 5;
    rows.clear_after = 3;
    return {std::move(rows),
            of("late", AlarmKind::Late),
            of("deletions", AlarmKind::DeletionSpike),
            of("repeated", AlarmKind::Repeated),
            of("drift", AlarmKind::Drift),
            of("rollback", AlarmKind::Rollback),
            of("schema", AlarmKind::SchemaChanged)};
}

bool is_of_commit(std::string_view metric) {
    for (const std::string_view part : {".added_", ".deleted_", ".removed_", ".changed_"})
        if (metric.find(part) != std::string_view::npos) return true;
    return false;
}

Statistic statistic_of(const AlarmConfig& config) {
    if (config.statistic) return *config.statistic;
    return is_of_commit(config.metric) ? Statistic::Sum : Statistic::Last;
}

BandConfig band_config(const AlarmConfig& config) {
    BandConfig band;
    band.k = config.k;
    band.exclusions = config.exclusions;
    return band;
}

}  // namespace signalbox::alarms
