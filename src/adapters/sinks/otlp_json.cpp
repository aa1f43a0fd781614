#include "adapters/sinks/otlp_json.hpp"

#include <cmath>
#include <map>

#include "base/json.hpp"
#include "base/text.hpp"

namespace signalbox::sinks {
namespace {

namespace json = base::json;
using ports::MetricPoint;

// UCUM, as OpenTelemetry's conventions ask for.
std::string_view unit_of(std::string_view unit) {
    if (unit == "Bytes") return "By";
    if (unit == "Seconds") return "s";
    return "1";
}

json::object attribute(std::string_view key, std::string_view value) {
    return {{"key", key}, {"value", {{"stringValue", value}}}};
}

json::object data_point(const MetricPoint& point) {
    json::array attributes{attribute("table", point.table)};
    if (!point.partition.empty()) attributes.push_back(attribute("partition", point.partition));
    // 64-bit whole numbers are texts in protobuf's JSON.
    return {{"attributes", std::move(attributes)},
            {"timeUnixNano", std::to_string(point.at.time_since_epoch().count())},
            {"asDouble", *point.value}};
}

}  // namespace

std::string otlp_request(const std::vector<MetricPoint>& points,
                         const std::vector<std::pair<std::string, std::string>>& resource) {
    std::map<std::string, json::object> metrics;
    for (const MetricPoint& point : points) {
        if (!point.value || !std::isfinite(*point.value) || point.at.time_since_epoch().count() < 0) continue;
        json::object& metric = metrics[point.name];
        if (metric.empty()) {
            metric = {{"name", point.name}, {"unit", unit_of(point.unit)}, {"gauge", {{"dataPoints", json::array()}}}};
        }
        metric["gauge"].get_object()["dataPoints"].get_array().push_back(data_point(point));
    }
    if (metrics.empty()) return {};
    json::array all;
    for (auto& [name, metric] : metrics) all.push_back(std::move(metric));
    json::array attributes;
    for (const auto& [key, value] : resource) attributes.push_back(attribute(key, value));
    json::object scope{{"scope", {{"name", "signalbox"}}}, {"metrics", std::move(all)}};
    json::object of_resource{{"resource", {{"attributes", std::move(attributes)}}},
                             {"scopeMetrics", json::array{std::move(scope)}}};
    return json::serialize(json::object{{"resourceMetrics", json::array{std::move(of_resource)}}});
}

OtlpPartial otlp_partial(std::string_view body) {
    OtlpPartial partial;
    const auto value = base::parse_json(body);
    const json::object* answer = value ? value->if_object() : nullptr;
    const json::value* found = answer != nullptr ? answer->if_contains("partialSuccess") : nullptr;
    if (found == nullptr || !found->is_object()) return partial;
    const json::object& object = found->get_object();
    if (const auto* rejected = object.if_contains("rejectedDataPoints")) {
        if (rejected->is_int64()) partial.rejected = rejected->get_int64();
        if (rejected->is_string()) partial.rejected = base::parse_int(rejected->get_string()).value_or(0);
    }
    if (const auto* message = object.if_contains("errorMessage"); message != nullptr && message->is_string())
        partial.message = std::string(message->get_string());
    return partial;
}

bool otlp_retryable(unsigned status) { return status == 429 || status == 502 || status == 503 || status == 504; }

}  // namespace signalbox::sinks
