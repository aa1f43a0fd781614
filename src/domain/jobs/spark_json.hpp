#pragma once
// A Spark application as JSON, both ways.

#include <optional>

#include "base/json.hpp"
#include "domain/jobs/job_json.hpp"

namespace signalbox::jobs {

// null for none. Its configuration may hold secrets.
base::json::value spark_to_json(const std::optional<SparkApplication>& spark, Secrets secrets);
// Reads both forms. Errors: CorruptData with the field.
base::Result<std::optional<SparkApplication>> parse_spark(const base::json::value& value);

}  // namespace signalbox::jobs
