#pragma once
// Jobs and connections as JSON, as runs and decisions store them.

#include "base/json.hpp"
#include "domain/jobs/job.hpp"

namespace signalbox::jobs {

base::json::object to_json(const Connection& connection);
// CorruptData names the missing or wrong field.
base::Result<Connection> parse_connection(const base::json::value& value);

// The values of a job's environment may be secrets.
enum class Secrets { LeftOut, Included };
base::json::object to_json(const Job& job, Secrets secrets);
// Reads both forms, and jobs that an older version stored: a field that came later has its default. CorruptData names
// the missing or wrong field.
base::Result<Job> parse_job(const base::json::value& value);

}  // namespace signalbox::jobs
