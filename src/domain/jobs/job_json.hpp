#pragma once
// Jobs and connections as JSON, both ways: as part of a stored run and of a journaled decision.

#include "base/json.hpp"
#include "domain/jobs/job.hpp"

namespace signalbox::jobs {

base::json::object to_json(const Connection& connection);
// Without the environment, which may hold secrets: whoever stores the job adds it.
base::json::object to_json(const Job& job);
// CorruptData with the field. Fields that older versions did not write may be missing; so may the environment.
base::Result<Connection> connection_from_json(const base::json::value& value);
base::Result<Job> job_from_json(const base::json::value& value);

}  // namespace signalbox::jobs
