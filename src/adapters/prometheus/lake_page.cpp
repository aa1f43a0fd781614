#include "adapters/prometheus/lake_page.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "adapters/sinks/partitions.hpp"

namespace signalbox::prometheus_text {
namespace {

using ports::MetricPoint;

constexpr std::string_view prefix = "signalbox_table_";

struct Name {
    std::string_view metric;
    std::string_view family;  // behind the prefix
};
// Those that a rule would name badly. Sorted by metric.
constexpr Name names[] = {
    {"deletes.dangling_file_count", "dangling_delete_files"},
    {"deletes.equality_file_count", "equality_delete_files"},
    {"deletes.file_ratio", "delete_files_ratio"},
    {"deletes.position_file_count", "position_delete_files"},
    {"deletes.record_ratio", "deleted_records_ratio"},
    {"deletes.vector_count", "deletion_vectors"},
    {"files.small_file_count", "small_files"},
    {"files.small_file_share", "small_files_ratio"},
    {"files.small_size_share", "small_files_bytes_ratio"},
    {"files.target_size", "target_file_bytes"},
    {"history.metadata_file_count", "metadata_files"},
    {"history.ref_count", "refs"},
    {"history.snapshot_count", "snapshots"},
    {"manifests.data_count", "data_manifests"},
    {"manifests.delete_count", "delete_manifests"},
    {"snapshot.total_data_files", "data_files"},
    {"snapshot.total_delete_files", "delete_files"},
    {"snapshot.total_equality_deletes", "equality_deletes"},
    {"snapshot.total_files_size", "files_bytes"},
    {"snapshot.total_position_deletes", "position_deletes"},
    {"snapshot.total_records", "records"},
    {"summary_drift", "drift_fields"},
};
constexpr Name partition_names[] = {
    {"file_count", "partition_data_files"},
    {"record_count", "partition_records"},
};
// What commits added and removed, also summed up over commits.
constexpr std::string_view summed_prefixes[] = {"snapshot.added_", "snapshot.deleted_", "snapshot.removed_"};
// The page has it from the snapshot itself.
constexpr std::string_view commit_time = "table.last_commit_timestamp";

template <std::size_t Size>
std::string_view known_name(const Name (&all)[Size], std::string_view metric) {
    const auto found =
        std::find_if(std::begin(all), std::end(all), [&](const Name& one) { return one.metric == metric; });
    return found == std::end(all) ? std::string_view() : found->family;
}

void replace_end(std::string& text, std::string_view end, std::string_view by) {
    if (text.ends_with(end)) text.replace(text.size() - end.size(), end.size(), by);
}

// Lower-case letters, digits and single underscores; units as Prometheus's conventions have them (base unit last); no
// name that ends as a histogram's or counter's would.
std::string by_rule(std::string_view metric, std::string_view unit) {
    std::string name;
    for (const char letter : metric) {
        const bool plain = (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9');
        const bool upper = letter >= 'A' && letter <= 'Z';
        if (plain || upper) name += upper ? static_cast<char>(letter - 'A' + 'a') : letter;
        if (!plain && !upper && !name.empty() && name.back() != '_') name += '_';
    }
    while (!name.empty() && name.back() == '_') name.pop_back();
    if (unit == "Bytes") {
        replace_end(name, "_size", "_bytes");
        if (!name.ends_with("bytes")) name += "_bytes";
    } else if (unit == "Seconds") {
        if (!name.ends_with("_seconds")) name += "_seconds";
    } else if (unit == "Ratio") {
        replace_end(name, "_share", "");
        if (!name.ends_with("_ratio")) name += "_ratio";
    } else {
        replace_end(name, "_count", "s");
    }
    for (const std::string_view reserved : {"_total", "_sum", "_bucket"}) replace_end(name, reserved, "_value");
    return name;
}

std::string help_of(const std::string& metric, bool summed) {
    return summed ? fmt::format("{}, summed up over the commits since the start", metric)
                  : fmt::format("{} of the last commit", metric);
}

// "signalbox_table_last_commit_added_files_bytes" → "signalbox_table_added_files_bytes_total"
std::string sum_family(const std::string& family) {
    constexpr std::string_view commit = "last_commit_";
    return std::string(prefix) + family.substr(prefix.size() + commit.size()) + "_total";
}

bool is_summed(std::string_view metric) {
    return std::any_of(std::begin(summed_prefixes), std::end(summed_prefixes),
                       [&](std::string_view start) { return metric.starts_with(start); });
}

double seconds_of(base::WallTime at) { return std::chrono::duration<double>(at.time_since_epoch()).count(); }

}  // namespace

std::string family_of(std::string_view metric, std::string_view unit) {
    if (metric == commit_time) return {};
    if (const auto known = known_name(names, metric); !known.empty()) return std::string(prefix) + std::string(known);
    constexpr std::string_view of_commit = "snapshot.";
    const bool commit = metric.starts_with(of_commit);
    const std::string name = by_rule(commit ? metric.substr(of_commit.size()) : metric, unit);
    if (name.empty()) return {};
    return std::string(prefix) + (commit ? "last_commit_" : "") + name;
}

std::string partition_family_of(std::string_view metric, std::string_view unit) {
    if (const auto known = known_name(partition_names, metric); !known.empty())
        return std::string(prefix) + std::string(known);
    const std::string name = by_rule(metric, unit);
    return name.empty() ? std::string() : std::string(prefix) + "partition_" + name;
}

bool LakePage::take(Table& table, const MetricPoint& point, bool new_commit) const {
    if (point.name == commit_time) return true;
    const std::string family =
        point.partition.empty() ? family_of(point.name, point.unit) : partition_family_of(point.name, point.unit);
    if (family.empty()) return false;
    const Value value{point.name, *point.value};
    if (!point.partition.empty()) {
        table.in_partitions[family][point.partition] = value;
        return true;
    }
    const auto known = table.values.find(family);
    if (known != table.values.end() && known->second.metric != point.name) return false;
    if (known == table.values.end() && table.values.size() >= limits_.metrics_max) return false;
    table.values[family] = value;
    if (new_commit && is_summed(point.name) && *point.value > 0) {
        Value& sum = table.sums[sum_family(family)];
        sum.metric = point.name;
        sum.value += *point.value;
    }
    return true;
}

base::Status LakePage::write(const std::vector<MetricPoint>& points) {
    const auto limited = sinks::limit_partitions(points, limits_.partitions_max);
    const std::lock_guard guard(mutex_);
    Table* table = nullptr;
    const MetricPoint* commit = nullptr;  // the first point of the commit that is being taken
    bool new_commit = false;
    std::set<std::string> seen;  // metrics whose partitions were given anew
    for (const MetricPoint& point : limited) {
        if (commit == nullptr || commit->table != point.table || commit->snapshot_id != point.snapshot_id) {
            commit = &point;
            seen.clear();
            const auto known = tables_.find(point.table);
            table = nullptr;
            if (known != tables_.end() || tables_.size() < limits_.tables_max) table = &tables_[point.table];
            new_commit = table != nullptr && (table->commits == 0 || table->snapshot_id != point.snapshot_id);
            if (new_commit) {
                table->at = point.at;
                table->snapshot_id = point.snapshot_id;
                ++table->commits;
                table->values.clear();
                table->in_partitions.clear();
            }
        }
        if (table != nullptr && !point.partition.empty() && seen.insert(point.name).second)
            table->in_partitions.erase(partition_family_of(point.name, point.unit));
        if (!point.value || !std::isfinite(*point.value)) continue;
        if (table == nullptr || !take(*table, point, new_commit)) ++left_out_;
    }
    return {};
}

void LakePage::forget(const std::string& table) {
    const std::lock_guard guard(mutex_);
    tables_.erase(table);
    alarms_.erase(table);
}

void LakePage::set_alarms(const std::string& table, std::vector<AlarmFigure> alarms) {
    const std::lock_guard guard(mutex_);
    alarms_[table] = std::move(alarms);
}

void LakePage::set_reading(std::vector<ReadingFigure> reading) {
    const std::lock_guard guard(mutex_);
    reading_ = std::move(reading);
}

void LakePage::render_tables(Page& page) const {
    for (const auto& [name, table] : tables_) {
        const Labels labels{{"table", name}};
        page.gauge("signalbox_table_last_commit_timestamp_seconds", "when the last commit was made, by its snapshot",
                   labels, seconds_of(table.at));
        page.counter("signalbox_table_commits_total", "commits seen since the start", labels,
                     static_cast<double>(table.commits));
        for (const auto& [family, value] : table.values)
            page.gauge(family, help_of(value.metric, false), labels, value.value);
        for (const auto& [family, value] : table.sums)
            page.counter(family, help_of(value.metric, true), labels, value.value);
        for (const auto& [family, partitions] : table.in_partitions) {
            for (const auto& [partition, value] : partitions)
                page.gauge(family, help_of(value.metric, false) + " in a partition",
                           {{"table", name}, {"partition", partition}}, value.value);
        }
    }
}

void LakePage::render_alarm(Page& page, const AlarmFigure& alarm) {
    constexpr std::array<std::string_view, 3> states = {"OK", "ALARM", "INSUFFICIENT_DATA"};
    for (const std::string_view state : states) {
        page.gauge("signalbox_alarm_state", "1 for the state that the alarm is in",
                   {{"alarm", alarm.alarm}, {"table", alarm.table}, {"state", std::string(state)}},
                   alarm.state == state ? 1 : 0);
    }
    const Labels labels{{"alarm", alarm.alarm}, {"table", alarm.table}, {"metric", alarm.metric}};
    if (alarm.value) page.gauge("signalbox_alarm_value", "what was judged last", labels, *alarm.value);
    // An open end has no value.
    if (alarm.lower && std::isfinite(*alarm.lower))
        page.gauge("signalbox_alarm_expected_lower", "the lower end of the expected range", labels, *alarm.lower);
    if (alarm.upper && std::isfinite(*alarm.upper))
        page.gauge("signalbox_alarm_expected_upper", "the upper end of the expected range", labels, *alarm.upper);
}

void LakePage::render(Page& page) const {
    const std::lock_guard guard(mutex_);
    render_tables(page);
    for (const auto& [table, alarms] : alarms_) {
        for (const AlarmFigure& alarm : alarms) render_alarm(page, alarm);
    }
    for (const ReadingFigure& reading : reading_) {
        const Labels labels{{"kind", reading.kind}};
        page.counter("signalbox_lake_requests_total", "reads of metadata", labels,
                     static_cast<double>(reading.requests));
        page.counter("signalbox_lake_read_bytes_total", "bytes of metadata read", labels,
                     static_cast<double>(reading.bytes));
    }
    page.counter("signalbox_lake_points_left_out_total", "points beyond the page's bounds, or without a name", {},
                 static_cast<double>(left_out_));
}

}  // namespace signalbox::prometheus_text
