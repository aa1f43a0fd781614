#pragma once
// A Spark application as JSON, both ways.

#include <optional>

#include "base/json.hpp"
#include "domain/jobs/job.hpp"

namespace signalbox::jobs {

// Its configuration may hold secrets: what people and programs are shown hides it.
enum class SparkConf { Hidden, Whole };

// null for none.
base::json::value spark_to_json(const std::optional<SparkApplication>& spark, SparkConf conf);
// Errors: CorruptData with the field.
base::Result<std::optional<SparkApplication>> spark_from_json(const base::json::value& value);

}  // namespace signalbox::jobs
