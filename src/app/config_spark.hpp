#pragma once
// The part of a job's configuration that is a Spark application.

#include <string>

#include "adapters/yaml/document.hpp"
#include "domain/jobs/job.hpp"

namespace signalbox::app {

// Reads the mapping `spark` of a job; faults are collected by the reader. Relative paths become absolute, from the
// configuration file's folder.
jobs::SparkApplication read_spark(yaml::Reader& reader, const std::string& config_file);

}  // namespace signalbox::app
