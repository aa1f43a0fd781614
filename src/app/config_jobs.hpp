#pragma once
// The part of the configuration that concerns jobs: the provider, connections and jobs.

#include "adapters/yaml/document.hpp"

namespace signalbox::app {

struct JobsConfig {};

// Reads the keys `provider`, `connections` and `jobs` of the root; faults are collected by the reader.
JobsConfig read_jobs(yaml::Reader& root);

}  // namespace signalbox::app
