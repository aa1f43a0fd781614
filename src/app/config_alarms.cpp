#include "app/config_alarms.hpp"

#include <algorithm>
#include <set>

#include "domain/lake/metrics.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using alarms::AlarmConfig;
using alarms::AlarmKind;

constexpr std::size_t alarms_max = 1000;
constexpr std::size_t exclusions_max = 1000;
constexpr std::size_t playbook_max_bytes = 10'000;
constexpr int periods_max = 100;
constexpr double value_max = 1e300;
constexpr auto year = 365 * 24h;

// The words of an enumeration, in its order.
template <typename Enum>
std::vector<std::string> words(std::initializer_list<Enum> values) {
    std::vector<std::string> list;
    for (const Enum value : values) list.emplace_back(alarms::to_string(value));
    return list;
}

const std::vector<std::string>& kind_words() {
    static const auto list =
        words({AlarmKind::Band, AlarmKind::Threshold, AlarmKind::Late, AlarmKind::Drift, AlarmKind::Rollback,
               AlarmKind::DeletionSpike, AlarmKind::SchemaChanged, AlarmKind::Repeated});
    return list;
}

void read_metric(yaml::Reader& reader, AlarmConfig& alarm) {
    alarm.metric = reader.text("metric").value_or("");
    const bool measured = alarm.kind == AlarmKind::Band || alarm.kind == AlarmKind::Threshold;
    if (!measured && !alarm.metric.empty()) {
        reader.fault("metric",
                     fmt::format("an alarm of kind '{}' looks at commits, not at a metric", to_string(alarm.kind)));
    } else if (measured && alarm.metric.empty()) {
        reader.fault("metric", "expected the metric's name, such as snapshot.added_records");
    } else if (measured) {
        if (std::string fault = metric_fault(alarm.metric); !fault.empty()) reader.fault("metric", std::move(fault));
    }
}

void read_bounds(yaml::Reader& reader, AlarmConfig& alarm) {
    using alarms::Comparison;
    using alarms::Side;
    alarm.k = reader.number("k", 0.1, 100).value_or(alarm.k);
    alarm.k_alone = reader.number("k_alone", 0.1, 1000);
    if (const auto word = reader.word("side", words({Side::Both, Side::Above, Side::Below})))
        alarm.side = alarms::parse_side(*word).value_or(alarm.side);
    alarm.threshold = reader.number("threshold", -value_max, value_max);
    alarm.clear_threshold = reader.number("clear_threshold", -value_max, value_max);
    const auto comparison = reader.word("comparison", words({Comparison::GreaterThan, Comparison::GreaterOrEqual,
                                                             Comparison::LessThan, Comparison::LessOrEqual}));
    if (comparison) alarm.comparison = alarms::parse_comparison(*comparison).value_or(alarm.comparison);
}

void read_periods(yaml::Reader& reader, AlarmConfig& alarm) {
    using alarms::MissingData;
    using alarms::Statistic;
    alarm.period = reader.duration("period", 0s, year).value_or(alarm.period);
    const auto statistic = reader.word("statistic", words({Statistic::Sum, Statistic::Average, Statistic::Minimum,
                                                           Statistic::Maximum, Statistic::Last}));
    if (statistic) alarm.statistic = alarms::parse_statistic(*statistic);
    const auto m = reader.integer("m", 1, periods_max);
    const auto n = reader.integer("n", 1, periods_max);
    alarm.n = static_cast<int>(n.value_or(m ? std::max<std::int64_t>(*m, alarm.n) : alarm.n));
    alarm.m = static_cast<int>(m.value_or(std::min(alarm.m, alarm.n)));
    const auto missing = reader.word("missing", words({MissingData::Missing, MissingData::Ignore,
                                                       MissingData::Breaching, MissingData::NotBreaching}));
    if (missing) alarm.missing = alarms::parse_missing_data(*missing).value_or(alarm.missing);
    alarm.interval = reader.duration("interval", 1s, year);
    if (alarm.interval && alarm.kind != AlarmKind::Late)
        reader.fault("interval", fmt::format("it concerns the kind 'late' alone, found '{}'", to_string(alarm.kind)));
}

base::WallTime read_time(yaml::Reader& reader, const std::string& key) {
    const std::string text = reader.need_text(key);
    if (text.empty()) return {};
    const auto time = base::parse_time(text);
    if (time) return *time;
    reader.fault(key, fmt::format("expected a time as 2026-01-31T08:00:00Z, found '{}'", text));
    return {};
}

void read_exclusions(yaml::Reader& reader, AlarmConfig& alarm) {
    for (yaml::Reader& item : reader.list("exclusions")) {
        alarms::Exclusion exclusion;
        exclusion.from = read_time(item, "from");
        exclusion.until = read_time(item, "until");
        const bool known = exclusion.from != base::WallTime{} && exclusion.until != base::WallTime{};
        if (known && exclusion.until <= exclusion.from) item.fault("until", "expected a time after 'from'");
        item.finish();
        alarm.exclusions.push_back(exclusion);
    }
    if (alarm.exclusions.size() > exclusions_max)
        reader.fault("exclusions", fmt::format("expected at most {} exclusions", exclusions_max));
}

void read_actions(yaml::Reader& reader, const std::vector<alarms::ActionConfig>& known, AlarmConfig& alarm) {
    std::vector<std::string> names;
    for (const auto& action : known) names.push_back(action.name);
    alarm.actions = reader.texts("actions");
    std::set<std::string> seen;
    for (const std::string& name : alarm.actions) {
        if (!seen.insert(name).second) reader.fault("actions", fmt::format("the action '{}' stands twice", name));
        if (std::find(names.begin(), names.end(), name) != names.end()) continue;
        const auto near = base::nearest(name, names);
        reader.fault("actions", fmt::format("there is no action '{}'; {}", name,
                                            near            ? "did you mean " + *near + "?"
                                            : names.empty() ? "add it to 'actions'"
                                                            : "there are " + base::join(names, ", ")));
    }
}

engine::AlarmBinding read_alarm(yaml::Reader& reader, const std::vector<alarms::ActionConfig>& actions) {
    engine::AlarmBinding binding;
    AlarmConfig& alarm = binding.config;
    const std::size_t faults_before = reader.fault_count();
    alarm.name = reader.need_name("name");
    if (!reader.has("kind")) reader.fault("kind", "expected one of " + base::join(kind_words(), ", "));
    if (const auto kind = reader.word("kind", kind_words()))
        alarm.kind = alarms::parse_alarm_kind(*kind).value_or(alarm.kind);
    if (const auto tables = reader.texts("tables"); reader.has("tables")) {
        binding.tables = tables;
        if (tables.empty()) reader.fault("tables", "expected at least one name or pattern, such as prod.sales.*");
    }
    read_metric(reader, alarm);
    read_bounds(reader, alarm);
    read_periods(reader, alarm);
    read_exclusions(reader, alarm);
    read_actions(reader, actions, alarm);
    alarm.playbook = reader.text("playbook").value_or("");
    if (alarm.playbook.size() > playbook_max_bytes)
        reader.fault("playbook", fmt::format("expected at most {} bytes", playbook_max_bytes));
    reader.finish();
    // What fields mean together; a field that is wrong by itself was named above.
    if (reader.fault_count() == faults_before) {
        if (const auto status = alarms::check(alarm); !status) reader.fault("", status.error().text());
    }
    return binding;
}

}  // namespace

const std::vector<std::string>& table_metric_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> list;
        for (const lake::Metric& metric : lake::compute_metrics({}, nullptr, {}, {}).metrics)
            list.push_back(metric.name);
        return list;
    }();
    return names;
}

std::string metric_fault(const std::string& name) {
    const auto& names = table_metric_names();
    if (std::find(names.begin(), names.end(), name) != names.end()) return {};
    // A name without its group is the likeliest slip.
    for (const std::string& known : names)
        if (known.ends_with("." + name)) return fmt::format("there is no metric '{}'; did you mean {}?", name, known);
    const auto near = base::nearest(name, names);
    return fmt::format("there is no metric '{}'; {}", name,
                       near ? "did you mean " + *near + "?" : "`signalbox table metrics` names them all");
}

std::vector<engine::AlarmBinding> read_alarms(yaml::Reader& root, const std::vector<alarms::ActionConfig>& actions) {
    std::vector<engine::AlarmBinding> bindings;
    if (!root.has("alarms")) {
        for (AlarmConfig& alarm : alarms::default_alarms()) bindings.push_back({std::move(alarm), {"*"}});
        return bindings;
    }
    yaml::UniqueNames names("alarm");
    for (yaml::Reader& reader : root.list("alarms")) {
        bindings.push_back(read_alarm(reader, actions));
        names.add(reader, "name", bindings.back().config.name);
    }
    if (bindings.size() > alarms_max)
        root.fault("alarms", fmt::format("expected at most {} alarms, found {}", alarms_max, bindings.size()));
    return bindings;
}

void read_first_look(yaml::Reader& tables, engine::TableLoopConfig& config) {
    if (const auto word = tables.word("first_look", {"history", "baseline"}))
        config.first_look = *word == "baseline" ? lake::FirstLook::Baseline : lake::FirstLook::History;
    config.partitions_max = static_cast<std::size_t>(
        tables.integer("partitions_max", 0, 10'000).value_or(static_cast<std::int64_t>(config.partitions_max)));
}

}  // namespace signalbox::app
