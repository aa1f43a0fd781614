#include "app/table_output.hpp"

#include <array>
#include <cmath>

#include "app/json_fields.hpp"
#include "base/table_text.hpp"
#include "base/text.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;

constexpr std::string_view unknown = "unknown";

std::string count_text(const std::optional<std::int64_t>& value) {
    return value ? fmt::format("{}", *value) : std::string(unknown);
}

std::string share_text(const std::optional<double>& value) {
    return value ? fmt::format("{:.1f} %", *value * 100) : std::string(unknown);
}

// "+120 -3", "0" for a commit that did neither.
std::string change_text(const json::object& change, const char* added, const char* removed) {
    const auto plus = integer_of(change, added);
    const auto minus = integer_of(change, removed);
    if (!plus && !minus) return std::string(unknown);
    std::string text;
    if (!plus || *plus != 0) text = "+" + count_text(plus);
    if (!minus || *minus != 0) text += (text.empty() ? "-" : " -") + count_text(minus);
    return text.empty() ? "0" : text;
}

std::string kind_text(const ports::CommitRecord& record) {
    return record.ref.empty() || record.kind == record.ref ? record.kind : record.kind + " " + record.ref;
}

// What is wrong with a commit, or what the event says.
std::string remark(const ports::CommitRecord& record) {
    if (!is_commit(record)) return text_of(record.data, "text");
    std::vector<std::string> parts;
    if (const auto& drift = array_of(record.data, "drift"); !drift.empty())
        parts.push_back(fmt::format("the summary is wrong in {} field{}", drift.size(), drift.size() == 1 ? "" : "s"));
    for (const auto& note : array_of(record.data, "notes"))
        if (note.is_string()) parts.emplace_back(note.get_string());
    return base::join(parts, "; ");
}

std::string time_of(const ports::CommitRecord& record) { return timestamp_text(record.timestamp_ms); }

std::string metric_count(const json::object& record, const char* name) {
    return count_text(integer_of(object_of(record, "metrics"), name));
}

}  // namespace

std::string size_text(double bytes) {
    constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    std::size_t unit = 0;
    while (std::abs(bytes) >= 1024 && unit + 1 < units.size()) {
        bytes /= 1024;
        ++unit;
    }
    return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, units[unit]);
}

std::string age_text(base::WallTime then, base::WallTime now) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - then).count();
    if (seconds < 0) return "in the future";
    if (seconds < 120) return fmt::format("{} s", seconds);
    if (seconds < 2 * 3600) return fmt::format("{} min", seconds / 60);
    if (seconds < 48 * 3600) return fmt::format("{} h", seconds / 3600);
    return fmt::format("{} d", seconds / 86'400);
}

std::string timestamp_text(std::int64_t timestamp_ms) {
    constexpr std::int64_t year_9999_ms = 253'402'300'799'999;
    if (timestamp_ms < 0 || timestamp_ms > year_9999_ms) return fmt::format("{} ms", timestamp_ms);
    if (timestamp_ms > INT64_MAX / 1'000'000) return fmt::format("{} ms", timestamp_ms);
    return base::format_time(base::WallTime(std::chrono::milliseconds(timestamp_ms)));
}

json::object table_json(const ports::TableRecord& table) {
    json::object object;
    object["table"] = table.name;
    for (const auto& [key, value] : table.data) object[key] = value;
    return object;
}

std::string tables_text(const std::vector<ports::TableRecord>& tables, base::WallTime now) {
    base::TableText text({"TABLE", "LAST COMMIT", "OPERATION", "RECORDS", "FILES", "SMALL FILES", "DELETED", "DRIFT",
                          "IN ALARM", "TROUBLE"});
    for (const ports::TableRecord& table : tables) {
        const json::object& last = object_of(table.data, "last_commit");
        const json::object& metrics = object_of(table.data, "metrics");
        const auto at_ms = integer_of(last, "timestamp_ms");
        const bool in_calendar = at_ms && *at_ms >= 0 && *at_ms < INT64_MAX / 1'000'000;
        const std::string operation = text_of(last, "operation");
        std::vector<std::string> alarms;
        for (const auto& alarm : array_of(table.data, "in_alarm"))
            if (alarm.is_string()) alarms.emplace_back(alarm.get_string());
        text.row({table.name,
                  in_calendar ? age_text(base::WallTime(std::chrono::milliseconds(*at_ms)), now) + " ago" : "none",
                  operation.empty() ? "-" : operation, metric_count(table.data, "snapshot.total_records"),
                  metric_count(table.data, "snapshot.total_data_files"),
                  share_text(number_of(metrics, "files.small_file_share")),
                  share_text(number_of(metrics, "deletes.record_ratio")),
                  count_text(integer_of(table.data, "drift_commits")), alarms.empty() ? "-" : base::join(alarms, ", "),
                  text_of(table.data, "trouble")});
    }
    return text.render();
}

bool is_commit(const ports::CommitRecord& record) {
    return record.kind == "main" || record.kind == "branch" || record.kind == "staged" || record.kind == "rolled-back";
}

json::object commit_json(const ports::CommitRecord& record) {
    json::object object;
    object["sequence"] = record.sequence;
    object["table"] = record.table;
    object["kind"] = record.kind;
    object["ref"] = record.ref.empty() ? json::value(nullptr) : json::value(record.ref);
    object["snapshot_id"] = record.snapshot_id == 0 ? json::value(nullptr) : json::value(record.snapshot_id);
    object["timestamp"] = timestamp_text(record.timestamp_ms);
    object["timestamp_ms"] = record.timestamp_ms;
    object["reported_at"] = base::format_time(record.reported_at);
    for (const auto& [key, value] : record.data) object[key] = value;
    return object;
}

std::string commits_text(const std::vector<ports::CommitRecord>& records) {
    base::TableText text(
        {"TIME", "SNAPSHOT", "KIND", "OPERATION", "RECORDS", "FILES", "DELETE FILES", "TOTAL RECORDS", "BY", "REMARK"});
    for (const ports::CommitRecord& record : records) {
        if (!is_commit(record)) {
            text.row({time_of(record), record.snapshot_id == 0 ? "" : fmt::format("{}", record.snapshot_id),
                      kind_text(record), "", "", "", "", "", "", remark(record)});
            continue;
        }
        const json::object& change = object_of(record.data, "change");
        text.row({time_of(record), fmt::format("{}", record.snapshot_id), kind_text(record),
                  text_of(record.data, "operation"), change_text(change, "added_records", "deleted_records"),
                  change_text(change, "added_data_files", "deleted_data_files"),
                  change_text(change, "added_delete_files", "removed_delete_files"),
                  metric_count(record.data, "snapshot.total_records"), text_of(record.data, "author"), remark(record)});
    }
    return text.render();
}

std::string commit_line(const ports::CommitRecord& record) {
    const std::string what = remark(record);
    if (!is_commit(record))
        return fmt::format("{} {} {}{}\n", time_of(record), record.table, kind_text(record),
                           what.empty() ? "" : ": " + what);
    const json::object& change = object_of(record.data, "change");
    const auto latency_ms = number_of(record.data, "latency_ms");
    std::string line =
        fmt::format("{} {} {} {}: records {}, files {}", time_of(record), record.table, kind_text(record),
                    text_of(record.data, "operation"), change_text(change, "added_records", "deleted_records"),
                    change_text(change, "added_data_files", "deleted_data_files"));
    if (const auto deletes = change_text(change, "added_delete_files", "removed_delete_files"); deletes != "0")
        line += ", delete files " + deletes;
    if (latency_ms) line += fmt::format(" ({:.0f} ms after the commit)", *latency_ms);
    if (!what.empty()) line += "; " + what;
    return line + "\n";
}

std::string drift_text(const std::vector<ports::CommitRecord>& records) {
    base::TableText text({"TIME", "SNAPSHOT", "KIND", "OPERATION", "FIELD", "SUMMARY", "MANIFESTS", "BY"});
    for (const ports::CommitRecord& record : records) {
        for (const auto& item : array_of(record.data, "drift")) {
            if (!item.is_object()) continue;
            const auto& drift = item.get_object();
            text.row({time_of(record), fmt::format("{}", record.snapshot_id), kind_text(record),
                      text_of(record.data, "operation"), text_of(drift, "field"), text_of(drift, "summary"),
                      count_text(integer_of(drift, "manifests")), text_of(record.data, "author")});
        }
    }
    return text.render();
}

json::array drift_json(const std::vector<ports::CommitRecord>& records) {
    json::array items;
    for (const ports::CommitRecord& record : records) {
        const auto& drift = array_of(record.data, "drift");
        if (drift.empty()) continue;
        items.push_back(json::object{{"table", record.table},
                                     {"snapshot_id", record.snapshot_id},
                                     {"kind", record.kind},
                                     {"timestamp", time_of(record)},
                                     {"operation", text_of(record.data, "operation")},
                                     {"author", text_of(record.data, "author")},
                                     {"fields", drift}});
    }
    return items;
}

}  // namespace signalbox::app
