#pragma once
// The part of the API that concerns jobs and their runs (docs/reference/api.md).

#include <optional>
#include <string>
#include <string_view>

#include "api/api.hpp"

namespace signalbox::api {

struct JobPlace {
    enum class What { Jobs, Runs, Run, Stop, Pause, Resume };
    What what = What::Jobs;
    std::string name;  // the job, or the run's id
};

// Nothing if the path is none of /v1/jobs, /v1/jobs/NAME/runs, /v1/jobs/NAME/pause, /v1/jobs/NAME/resume, /v1/runs/ID,
// /v1/runs/ID/stop.
std::optional<JobPlace> job_place(std::string_view path);
Response answer_jobs(JobSource& source, const JobPlace& place, const Request& request);

}  // namespace signalbox::api
