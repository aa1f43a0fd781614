#include "engine/sink_loop.hpp"

#include <algorithm>

#include "domain/lake/metrics.hpp"

namespace signalbox::engine {

using base::Result;
using base::Status;
namespace json = base::json;

namespace {

std::optional<double> number(const json::value& value) {
    if (value.is_int64()) return static_cast<double>(value.get_int64());
    if (value.is_uint64()) return static_cast<double>(value.get_uint64());
    if (value.is_double()) return value.get_double();
    return std::nullopt;
}

void add_partitions(const json::object& data, ports::MetricPoint point, std::vector<ports::MetricPoint>& points) {
    const json::value* partitions = data.if_contains("partitions");
    if (partitions == nullptr || !partitions->is_array()) return;
    for (const json::value& partition : partitions->get_array()) {
        const json::object* object = partition.if_object();
        const json::value* name = object == nullptr ? nullptr : object->if_contains("partition_name");
        if (name == nullptr || !name->is_string()) continue;
        point.partition = std::string(name->get_string());
        for (const char* metric : {"record_count", "file_count"}) {
            const json::value* value = object->if_contains(metric);
            point.name = metric;
            point.unit = lake::unit_of(metric);
            point.value = value == nullptr ? std::nullopt : number(*value);
            points.push_back(point);
        }
    }
}

}  // namespace

std::vector<ports::MetricPoint> points_of(const ports::CommitRecord& commit) {
    std::vector<ports::MetricPoint> points;
    const json::value* metrics = commit.data.if_contains("metrics");
    if (commit.kind != lake::to_string(lake::CommitKind::Main) || metrics == nullptr || !metrics->is_object())
        return points;
    constexpr std::int64_t most_ms = INT64_MAX / 1'000'000;
    ports::MetricPoint point;
    point.table = commit.table;
    point.at = base::WallTime(std::chrono::milliseconds(std::clamp(commit.timestamp_ms, std::int64_t{0}, most_ms)));
    point.snapshot_id = commit.snapshot_id;
    for (const auto& [name, value] : metrics->get_object()) {
        point.name = std::string(name);
        point.unit = lake::unit_of(point.name);
        point.value = number(value);
        points.push_back(point);
    }
    if (const json::value* drift = commit.data.if_contains("drift"); drift != nullptr && drift->is_array()) {
        point.name = "summary_drift";
        point.unit = "Count";
        point.value = static_cast<double>(drift->get_array().size());
        points.push_back(point);
    }
    add_partitions(commit.data, point, points);
    return points;
}

Status SinkLoop::configure(std::map<std::string, std::shared_ptr<ports::MetricSink>> sinks) {
    sinks_ = std::move(sinks);
    ports::CommitQuery newest;
    newest.newest_first = true;
    newest.limit = 1;
    SB_TRY(const auto last, store_.commits(newest));
    for (const auto& [name, sink] : sinks_) {
        SB_TRY(const auto position, store_.sink_position(name));
        if (!position) SB_CHECK(store_.save_sink_position(name, last.empty() ? 0 : last.front().sequence));
    }
    return {};
}

Result<std::size_t> SinkLoop::run_once() {
    std::size_t written = 0;
    std::optional<base::Error> trouble;
    for (const auto& [name, sink] : sinks_) {
        const auto fed = feed(name, *sink);
        if (fed) {
            written += *fed;
        } else {
            trouble = base::in_context(fed.error(), "sink " + name).value();
        }
    }
    if (trouble) return tl::unexpected<base::Error>(std::move(*trouble));
    return written;
}

Result<std::size_t> SinkLoop::feed(const std::string& name, ports::MetricSink& sink) {
    SB_TRY(const auto position, store_.sink_position(name));
    ports::CommitQuery query;
    query.after = position.value_or(0);
    query.limit = batch_max;
    SB_TRY(const auto commits, store_.commits(query));
    if (commits.empty()) return 0;
    std::vector<ports::MetricPoint> points;
    for (const ports::CommitRecord& commit : commits) {
        std::vector<ports::MetricPoint> own = points_of(commit);
        std::move(own.begin(), own.end(), std::back_inserter(points));
    }
    if (!points.empty()) SB_CHECK(sink.write(points));
    SB_CHECK(store_.save_sink_position(name, commits.back().sequence));
    return commits.size();
}

}  // namespace signalbox::engine
