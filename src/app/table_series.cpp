#include "app/table_series.hpp"

#include <algorithm>
#include <cmath>

#include "app/json_fields.hpp"
#include "base/text.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;
using base::ErrorKind;
using base::fail;

constexpr std::size_t points_max = 10'000'000;

std::optional<base::WallTime> wall_time(std::int64_t timestamp_ms) {
    if (timestamp_ms < 0 || timestamp_ms > INT64_MAX / 1'000'000) return std::nullopt;
    return base::WallTime(std::chrono::milliseconds(timestamp_ms));
}

alarms::PointClass class_of(std::string_view operation) {
    return operation == "replace" ? alarms::PointClass::Rewrite : alarms::PointClass::Change;
}

alarms::CommitRef ref_of(const ports::CommitRecord& record, base::WallTime at) {
    return {record.snapshot_id, at, text_of(record.data, "author"), text_of(record.data, "operation")};
}

// What was there before: what is there now, less what was added, plus what went.
std::optional<double> before(const std::optional<double>& total, const std::optional<double>& added,
                             const std::optional<double>& removed) {
    if (!total || !added || !removed) return std::nullopt;
    return *total - *added + *removed;
}

alarms::CommitFact fact_of(const ports::CommitRecord& record, base::WallTime at) {
    alarms::CommitFact fact;
    fact.commit = ref_of(record, at);
    fact.kind = class_of(fact.commit.operation);
    for (const auto& item : array_of(record.data, "drift")) {
        if (!item.is_object()) continue;
        const auto* manifests = member(item.get_object(), "manifests");
        fact.drift.push_back({text_of(item.get_object(), "field"), text_of(item.get_object(), "summary"),
                              manifests == nullptr ? "" : json::serialize(*manifests)});
    }
    const json::object& change = object_of(record.data, "change");
    const json::object& metrics = object_of(record.data, "metrics");
    fact.added_records = number_of(change, "added_records");
    fact.added_bytes = number_of(change, "added_data_size");
    fact.deleted_records = number_of(change, "deleted_records");
    fact.deleted_files = number_of(change, "deleted_data_files");
    fact.records_before =
        before(number_of(metrics, "snapshot.total_records"), fact.added_records, fact.deleted_records);
    fact.files_before = before(number_of(metrics, "snapshot.total_data_files"), number_of(change, "added_data_files"),
                               fact.deleted_files);
    return fact;
}

// Nothing for an event that no alarm looks at.
std::optional<alarms::CommitFact> event_of(const ports::CommitRecord& record, base::WallTime at) {
    alarms::CommitFact fact;
    fact.commit = ref_of(record, at);
    const std::string text = text_of(record.data, "text");
    if (record.kind == "rollback") {
        fact.rollback = true;
        fact.abandoned_snapshot = integer_of(record.data, "from");
    } else if (record.kind == "schema-changed") {
        fact.schema_changes.push_back(text);
    } else if (record.kind == "spec-changed" || record.kind == "sort-order-changed") {
        fact.spec_changes.push_back(text);
    } else {
        return std::nullopt;
    }
    return fact;
}

std::optional<base::WallTime> parse_csv_time(std::string_view text) {
    if (const auto seconds = base::parse_double(text)) {
        constexpr double limit = 253'402'300'799.0;  // the end of year 9999
        if (!(*seconds >= 0 && *seconds <= limit)) return std::nullopt;
        return base::WallTime(
            std::chrono::nanoseconds(static_cast<std::int64_t>(std::llround(*seconds * 1000)) * 1'000'000));
    }
    std::string full(text);
    if (full.size() > 10 && full[10] == ' ') full[10] = 'T';
    if (full.size() == 10) full += "T00:00:00";
    if (!full.empty() && full.back() != 'Z') full += 'Z';
    const auto time = base::parse_time(full);
    return time ? std::optional(*time) : std::nullopt;
}

// Nothing if the line is none of ours.
std::optional<alarms::Point> parse_csv_line(std::string_view line) {
    const auto cells = base::split(line, ',');
    if (cells.size() < 2 || cells.size() > 3) return std::nullopt;
    const auto at = parse_csv_time(base::trim(cells[0]));
    const auto value = base::parse_double(base::trim(cells[1]));
    if (!at || !value || !std::isfinite(*value)) return std::nullopt;
    return alarms::Point{*at, *value, cells.size() > 2 ? class_of(base::trim(cells[2])) : alarms::PointClass::Change};
}

}  // namespace

std::vector<alarms::Observation> observations_of(const std::vector<ports::CommitRecord>& records,
                                                 const std::string& metric) {
    std::vector<alarms::Observation> observations;
    for (const auto& record : records) {
        const auto at = wall_time(record.timestamp_ms);
        if (!at) continue;
        if (record.kind != "main") {
            if (auto event = event_of(record, *at)) observations.emplace_back(std::move(*event));
            continue;
        }
        alarms::CommitFact fact = fact_of(record, *at);
        const auto value = number_of(object_of(record.data, "metrics"), metric);
        if (value) observations.emplace_back(alarms::MetricPoint{metric, {*at, *value, fact.kind}, fact.commit});
        observations.emplace_back(std::move(fact));
    }
    return observations;
}

base::Result<std::vector<alarms::Point>> parse_csv(const std::string& text, const std::string& file) {
    std::vector<alarms::Point> points;
    std::size_t number = 0;
    std::string_view rest = text;
    while (!rest.empty()) {
        const std::size_t end = rest.find('\n');
        const std::string_view line = base::trim(rest.substr(0, end));
        rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
        ++number;
        if (line.empty()) continue;
        const auto point = parse_csv_line(line);
        if (!point && number == 1) continue;
        if (!point) {
            return fail(ErrorKind::InvalidArgument,
                        "{}:{}: expected timestamp,value or timestamp,value,operation; found '{}'", file, number,
                        line.substr(0, 80));
        }
        if (points.size() >= points_max)
            return fail(ErrorKind::NotSupported, "{}: more than {} points", file, points_max);
        points.push_back(*point);
    }
    if (points.empty())
        return fail(ErrorKind::InvalidArgument, "{}: there is no point in it; expected lines of timestamp,value", file);
    std::stable_sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
    return points;
}

}  // namespace signalbox::app
