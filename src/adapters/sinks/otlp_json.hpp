#pragma once
// Metric points as an OTLP ExportMetricsServiceRequest in its JSON form (opentelemetry-proto 1.x, "JSON Protobuf
// Encoding"), and what a receiver answers.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ports/metric_sink.hpp"

namespace signalbox::sinks {

// Gauges named as the metrics are, with the attributes "table" and "partition"; points without a value are left out.
// resource: attributes of the resource, "service.name" among them. Empty if no point has a value.
std::string otlp_request(const std::vector<ports::MetricPoint>& points,
                         const std::vector<std::pair<std::string, std::string>>& resource);

// What a 200's body says of points that were not taken (ExportMetricsPartialSuccess); none if it says nothing, or is no
// JSON.
struct OtlpPartial {
    std::int64_t rejected = 0;
    std::string message;
};
OtlpPartial otlp_partial(std::string_view body);

// Whether a request with this answer is sent again (OTLP/HTTP, "Retryable Response Codes").
bool otlp_retryable(unsigned status);

}  // namespace signalbox::sinks
