#include "engine/table_record.hpp"

#include <algorithm>
#include <cmath>

namespace signalbox::engine {

namespace json = base::json;

namespace {

constexpr std::size_t data = static_cast<std::size_t>(lake::FileContent::Data);
constexpr std::size_t positions = static_cast<std::size_t>(lake::FileContent::PositionDeletes);
constexpr std::size_t equalities = static_cast<std::size_t>(lake::FileContent::EqualityDeletes);

base::WallTime time_of(std::int64_t timestamp_ms) {
    // A writer's clock may say anything; what no time holds is cut.
    constexpr std::int64_t most_ms = INT64_MAX / 1'000'000;
    return base::WallTime(std::chrono::milliseconds(std::clamp(timestamp_ms, std::int64_t{0}, most_ms)));
}

std::string find(const lake::Snapshot& snapshot, std::string_view key) {
    const auto found = snapshot.summary.find(key);
    return found == snapshot.summary.end() ? std::string() : found->second.substr(0, 200);
}

// Of events that concern one; 0 for others, whose numbers are ids of schemas and specs.
std::int64_t snapshot_of(const lake::TableEvent& event) {
    using lake::TableEventKind;
    const bool other = event.kind == TableEventKind::SchemaChanged || event.kind == TableEventKind::SpecChanged ||
                       event.kind == TableEventKind::SortOrderChanged;
    return other ? 0 : event.to.value_or(0);
}

json::object change_json(const lake::Change& change) {
    json::object object{{"truth", lake::to_string(change.truth)}};
    const bool known = change.truth != lake::Truth::Unknown;
    const auto put = [&](std::string_view key, std::int64_t value) {
        object[key] = known ? json::value(value) : json::value(nullptr);
    };
    put("added_data_files", change.added[data].files);
    put("added_records", change.added[data].records);
    put("added_data_size", change.added[data].size_bytes);
    put("deleted_data_files", change.removed[data].files);
    put("deleted_records", change.removed[data].records);
    put("deleted_data_size", change.removed[data].size_bytes);
    put("added_delete_files", change.added[positions].files + change.added[equalities].files);
    put("removed_delete_files", change.removed[positions].files + change.removed[equalities].files);
    put("added_position_deletes", change.added_position_deletes);
    put("changed_partition_count", static_cast<std::int64_t>(change.partitions.size()));
    return object;
}

json::object summary_json(const lake::Snapshot& snapshot) {
    constexpr std::size_t entries_max = 100;
    json::object object;
    for (const auto& [key, value] : snapshot.summary) {
        if (object.size() == entries_max) break;
        object[key.substr(0, 200)] = value.substr(0, 1000);
    }
    return object;
}

}  // namespace

std::string operation_of(const lake::Snapshot& snapshot) { return find(snapshot, "operation"); }

std::string author_of(const lake::Snapshot& snapshot) {
    std::string author = find(snapshot, "engine-name");
    if (const std::string version = find(snapshot, "engine-version"); !author.empty() && !version.empty())
        author += " " + version;
    std::string app = find(snapshot, "app-name");
    std::string id = find(snapshot, "app-id");
    if (id.empty()) id = find(snapshot, "spark.app.id");
    if (app.empty()) std::swap(app, id);
    if (!app.empty()) author += (author.empty() ? "app " : ", app ") + app;
    if (!id.empty()) author += " (" + id + ")";
    return author;
}

json::value to_json(const lake::MetricValue& value) {
    if (const auto* integer = std::get_if<std::int64_t>(&value)) return *integer;
    if (const auto* real = std::get_if<double>(&value); real != nullptr && std::isfinite(*real)) return *real;
    return nullptr;
}

json::object metrics_json(const lake::TableMetrics& metrics) {
    json::object object;
    for (const lake::Metric& metric : metrics.metrics) object[metric.name] = to_json(metric.value);
    return object;
}

ports::CommitRecord commit_record(const std::string& table, const CommitFigures& figures, std::size_t partitions_max,
                                  base::WallTime now) {
    const lake::Snapshot& snapshot = *figures.snapshot;
    ports::CommitRecord record;
    record.table = table;
    record.snapshot_id = snapshot.id;
    record.kind = lake::to_string(figures.step->kind);
    record.ref = figures.step->ref;
    record.timestamp_ms = snapshot.timestamp_ms;
    record.reported_at = now;
    json::object& object = record.data;
    const std::string operation = operation_of(snapshot);
    object["operation"] = operation.empty() ? json::value(nullptr) : json::value(operation);
    object["parent_id"] = figures.step->parent_id ? json::value(*figures.step->parent_id) : json::value(nullptr);
    object["sequence_number"] = snapshot.sequence_number;
    object["author"] = author_of(snapshot);
    object["change"] = change_json(figures.change);
    object["metrics"] = metrics_json(figures.metrics);
    json::array partitions;
    for (const lake::PartitionMetrics& partition : figures.metrics.partitions) {
        if (partitions.size() == partitions_max) break;
        partitions.push_back(json::object{{"partition_name", partition.name},
                                          {"record_count", partition.record_count},
                                          {"file_count", partition.file_count}});
    }
    object["partition_count"] = figures.metrics.partitions.size();
    object["partitions"] = std::move(partitions);
    json::array drifts;
    for (const lake::Drift& drift : figures.metrics.drift) {
        drifts.push_back(
            json::object{{"field", drift.field}, {"summary", drift.summary}, {"manifests", drift.manifests}});
    }
    object["drift"] = std::move(drifts);
    json::array notes;
    for (const std::string& note : figures.change.notes) notes.emplace_back(note);
    object["notes"] = std::move(notes);
    object["read"] = json::object{{"requests", figures.read.requests},
                                  {"bytes", figures.read.bytes},
                                  {"manifests_read", figures.manifests_read},
                                  {"manifests_known", figures.manifests_known}};
    object["latency_ms"] = base::to_ms(now - time_of(snapshot.timestamp_ms));
    object["summary"] = summary_json(snapshot);
    return record;
}

ports::CommitRecord event_record(const std::string& table, const lake::TableEvent& event, base::WallTime now) {
    ports::CommitRecord record;
    record.table = table;
    record.snapshot_id = snapshot_of(event);
    record.kind = lake::to_string(event.kind);
    record.ref = event.ref;
    record.timestamp_ms = event.timestamp_ms;
    record.reported_at = now;
    record.data = {{"from", event.from ? json::value(*event.from) : json::value(nullptr)},
                   {"to", event.to ? json::value(*event.to) : json::value(nullptr)},
                   {"ref", event.ref},
                   {"count", event.count},
                   {"text", event.text}};
    return record;
}

namespace {

alarms::CommitFact fact_of(const CommitFigures& figures, const alarms::CommitRef& commit, alarms::PointClass kind) {
    alarms::CommitFact fact;
    fact.commit = commit;
    fact.kind = kind;
    fact.compared = figures.compared;
    for (const lake::Drift& drift : figures.metrics.drift) {
        fact.drift.push_back({drift.field, drift.summary, std::to_string(drift.manifests)});
    }
    const lake::Change& change = figures.change;
    if (change.truth != lake::Truth::Unknown) {
        fact.added_records = static_cast<double>(change.added[data].records);
        fact.added_bytes = static_cast<double>(change.added[data].size_bytes);
        fact.deleted_records = static_cast<double>(change.removed[data].records);
        fact.deleted_files = static_cast<double>(change.removed[data].files);
    }
    if (figures.before_known) {
        fact.records_before = static_cast<double>(figures.records_before);
        fact.files_before = static_cast<double>(figures.files_before);
    }
    return fact;
}

}  // namespace

std::vector<alarms::Observation> observations_of(const CommitFigures& figures, base::WallTime now) {
    const lake::Snapshot& snapshot = *figures.snapshot;
    const std::string operation = operation_of(snapshot);
    const alarms::CommitRef commit{snapshot.id, std::min(time_of(snapshot.timestamp_ms), now), author_of(snapshot),
                                   operation};
    const auto kind = operation == "replace" ? alarms::PointClass::Rewrite : alarms::PointClass::Change;
    std::vector<alarms::Observation> observations;
    observations.emplace_back(fact_of(figures, commit, kind));
    for (const lake::Metric& metric : figures.metrics.metrics) {
        double value = 0;
        if (const auto* integer = std::get_if<std::int64_t>(&metric.value)) {
            value = static_cast<double>(*integer);
        } else if (const auto* real = std::get_if<double>(&metric.value); real != nullptr && std::isfinite(*real)) {
            value = *real;
        } else {
            continue;
        }
        observations.emplace_back(alarms::MetricPoint{metric.name, {commit.at, value, kind}, commit});
    }
    return observations;
}

alarms::CommitFact fact_of(const lake::TableEvent& event, base::WallTime now) {
    alarms::CommitFact fact;
    fact.event = true;
    fact.commit.snapshot_id = snapshot_of(event);
    fact.commit.at = event.timestamp_ms > 0 ? std::min(time_of(event.timestamp_ms), now) : now;
    switch (event.kind) {
        case lake::TableEventKind::Rollback:
            fact.rollback = true;
            fact.abandoned_snapshot = event.from;
            break;
        case lake::TableEventKind::SchemaChanged:
            fact.schema_changes.push_back(event.text);
            break;
        case lake::TableEventKind::SpecChanged:
        case lake::TableEventKind::SortOrderChanged:
            fact.spec_changes.push_back(event.text);
            break;
        default:
            break;
    }
    return fact;
}

}  // namespace signalbox::engine
