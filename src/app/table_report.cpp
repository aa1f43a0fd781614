#include "app/table_report.hpp"

#include <algorithm>
#include <cmath>

#include "app/table_output.hpp"
#include "base/table_text.hpp"
#include "engine/table_snapshot.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;

json::value to_json(const lake::MetricValue& value) {
    if (const auto* integer = std::get_if<std::int64_t>(&value)) return *integer;
    if (const auto* real = std::get_if<double>(&value); real != nullptr && std::isfinite(*real)) return *real;
    return nullptr;
}

std::string to_text(const lake::MetricValue& value) {
    if (const auto* integer = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *integer);
    if (const auto* real = std::get_if<double>(&value)) return fmt::format("{:.3f}", *real);
    return "unknown";
}

std::string operation(const lake::Snapshot& snapshot) {
    const auto found = snapshot.summary.find("operation");
    return found == snapshot.summary.end() ? "unknown operation" : found->second;
}

std::string partitions_text(const TableReport& report, std::size_t partitions_max) {
    const auto& partitions = report.metrics.partitions;
    if (partitions.empty() || partitions_max == 0) return {};
    base::TableText table({"PARTITION", "RECORDS", "FILES"});
    const std::size_t shown = std::min(partitions_max, partitions.size());
    for (std::size_t i = 0; i < shown; ++i) {
        table.row({partitions[i].name, fmt::format("{}", partitions[i].record_count),
                   fmt::format("{}", partitions[i].file_count)});
    }
    std::string text = "\n" + table.render();
    if (shown < partitions.size()) {
        text += fmt::format("and {} more; --partitions {} shows all\n", partitions.size() - shown, partitions.size());
    }
    return text;
}

std::string drift_text(const TableReport& report) {
    if (report.metrics.drift.empty()) return {};
    base::TableText table({"SUMMARY FIELD", "SUMMARY", "MANIFESTS"});
    for (const lake::Drift& drift : report.metrics.drift) {
        table.row({drift.field, drift.summary, fmt::format("{}", drift.manifests)});
    }
    return "\nThe snapshot's summary is wrong here; the metrics above are computed from the manifests:\n" +
           table.render();
}

// A file of the table that is missing is a fault of the table, not an answer.
tl::unexpected<base::Error> fault_of(base::Error error, const std::string& metadata_file) {
    if (error.kind == base::ErrorKind::NotFound) error.kind = base::ErrorKind::Unavailable;
    if (error.context.empty()) return base::in_context(std::move(error), metadata_file);
    return tl::unexpected<base::Error>(std::move(error));
}

}  // namespace

base::Result<TableReport> read_table_report(ReadTable table) {
    TableReport report;
    const lake::Snapshot* snapshot = table.metadata.current_snapshot();
    if (snapshot == nullptr) {
        report.metrics = lake::compute_metrics(table.metadata, nullptr, lake::TableState(), lake::Change());
    } else {
        Progress progress;
        auto reading =
            engine::read_snapshot(*table.reader, table.metadata, *snapshot, show_reading(progress, table.name));
        if (!reading) return fault_of(std::move(reading.error()), table.metadata_location);
        report.metrics = lake::compute_metrics(table.metadata, snapshot, reading->state, reading->change);
        report.truth = reading->change.truth;
        report.notes = std::move(reading->change.notes);
    }
    report.notes.insert(report.notes.begin(), table.metadata.notes.begin(), table.metadata.notes.end());
    report.table = std::move(table.name);
    report.metadata_file = std::move(table.metadata_location);
    report.metadata = std::move(table.metadata);
    return report;
}

base::Result<TableReport> read_table_report(const std::string& path) {
    SB_TRY(ReadTable table, read_path(path));
    return read_table_report(std::move(table));
}

base::json::value report_json(const TableReport& report, std::size_t partitions_max) {
    const lake::Snapshot* snapshot = report.metadata.current_snapshot();
    json::object root;
    root["table"] = report.table;
    root["metadata_file"] = report.metadata_file;
    root["format_version"] = report.metadata.format_version;
    root["snapshot_id"] = snapshot == nullptr ? json::value(nullptr) : json::value(snapshot->id);
    root["timestamp"] =
        snapshot == nullptr ? json::value(nullptr) : json::value(timestamp_text(snapshot->timestamp_ms));
    root["operation"] = nullptr;
    if (snapshot != nullptr && snapshot->summary.count("operation") > 0) root["operation"] = operation(*snapshot);
    root["changes_known_by"] = to_string(report.truth);
    json::object metrics;
    for (const lake::Metric& metric : report.metrics.metrics) metrics[metric.name] = to_json(metric.value);
    root["metrics"] = std::move(metrics);
    json::array partitions;
    for (std::size_t i = 0; i < std::min(partitions_max, report.metrics.partitions.size()); ++i) {
        const lake::PartitionMetrics& partition = report.metrics.partitions[i];
        partitions.push_back(json::object{{"partition_name", partition.name},
                                          {"record_count", partition.record_count},
                                          {"file_count", partition.file_count},
                                          {"data_size_bytes", partition.data_size_bytes},
                                          {"small_file_count", partition.small_file_count},
                                          {"delete_file_count", partition.delete_file_count},
                                          {"dangling_delete_count", partition.dangling_delete_count}});
    }
    root["partition_count"] = report.metrics.partitions.size();
    root["partitions"] = std::move(partitions);
    json::array drifts;
    for (const lake::Drift& drift : report.metrics.drift) {
        drifts.push_back(json::object{{"field", drift.field},
                                      {"summary", drift.summary},
                                      {"manifests", drift.manifests},
                                      {"claimed", drift.claimed}});
    }
    root["summary_drift"] = std::move(drifts);
    json::array notes;
    for (const std::string& note : report.notes) notes.emplace_back(note);
    root["notes"] = std::move(notes);
    return root;
}

std::string report_text(const TableReport& report, std::size_t partitions_max) {
    const lake::Snapshot* snapshot = report.metadata.current_snapshot();
    std::string text = fmt::format("Table {}, Iceberg version {}, {}\n", report.table, report.metadata.format_version,
                                   report.metadata_file);
    if (snapshot == nullptr) {
        text += "No snapshot: nothing was committed yet\n";
    } else {
        text += fmt::format("Snapshot {} of {}, {}\n", snapshot->id, timestamp_text(snapshot->timestamp_ms),
                            operation(*snapshot));
    }
    for (const std::string& note : report.notes) text += "Note: " + note + "\n";
    base::TableText table({"METRIC", "VALUE", "UNIT"});
    for (const lake::Metric& metric : report.metrics.metrics) {
        table.row({metric.name, to_text(metric.value), std::string(lake::unit_of(metric.name))});
    }
    return text + "\n" + table.render() + partitions_text(report, partitions_max) + drift_text(report);
}

}  // namespace signalbox::app
