#include "api/jobs.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace signalbox::api {
namespace {

namespace json = base::json;
using base::ErrorKind;
using base::fail;

constexpr std::uint64_t runs_default = 50;
constexpr std::uint64_t runs_max = 1000;
constexpr std::size_t key_size_max = 200;
constexpr std::size_t pause_reason_max = 500;

Response respond(unsigned status, const json::value& body) {
    return {status, "application/json", json::serialize(body) + "\n"};
}

// "jr_", letters and digits, "_attempt_N": nothing that is longer than an id can be.
bool is_run_id(std::string_view text) {
    constexpr std::size_t size_max = 3 + 64 + 16;
    return text.starts_with("jr_") && text.size() <= size_max && std::all_of(text.begin(), text.end(), [](char letter) {
               return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '_';
           });
}

bool is_plain(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](unsigned char letter) { return letter >= ' ' && letter != 127; });
}

base::Result<std::vector<std::pair<std::string, std::string>>> read_arguments(const json::value& value) {
    std::vector<std::pair<std::string, std::string>> arguments;
    const json::object* object = value.if_object();
    if (object == nullptr) return fail(ErrorKind::InvalidArgument, "arguments: expected an object of texts");
    for (const auto& [key, one] : *object) {
        if (key.empty() || !one.is_string() || !is_plain(key))
            return fail(ErrorKind::InvalidArgument, "arguments: '{}': expected a name and a text", std::string(key));
        arguments.emplace_back(key, one.get_string());
    }
    return arguments;
}

base::Result<RunRequest> read_request(const std::string& job, const std::string& body) {
    RunRequest request;
    request.job = job;
    if (base::trim(body).empty()) return request;
    SB_TRY(const auto document, base::parse_json(body));
    const json::object* object = document.if_object();
    if (object == nullptr)
        return fail(
            ErrorKind::InvalidArgument,
            "expected a body like {{\"arguments\": {{\"day\": \"2026-01-02\"}}, \"idempotency_key\": \"KEY\"}}");
    for (const auto& [key, value] : *object) {
        if (key == "arguments") {
            SB_TRY(request.arguments, read_arguments(value));
        } else if (key == "idempotency_key") {
            const std::string text = value.is_string() ? std::string(value.get_string()) : std::string();
            if (text.empty() || text.size() > key_size_max || !is_plain(text))
                return fail(ErrorKind::InvalidArgument, "idempotency_key: expected a text of 1 to {} bytes",
                            key_size_max);
            request.key = text;
        } else if (key == "force") {
            if (!value.is_bool()) return fail(ErrorKind::InvalidArgument, "force: expected true or false");
            request.force = value.get_bool();
        } else {
            return fail(ErrorKind::InvalidArgument,
                        "'{}' is not known here; there are 'arguments', 'idempotency_key' and 'force'",
                        std::string(key));
        }
    }
    return request;
}

Response list_runs(JobSource& source, const std::string& job, const Request& request) {
    std::uint64_t limit = runs_default;
    for (const auto& [name, value] : request.query) {
        const auto number = name == "limit" ? base::parse_uint(value) : std::nullopt;
        if (!number || *number < 1 || *number > runs_max) {
            return error({ErrorKind::InvalidArgument,
                          fmt::format("query: expected limit=N from 1 to {}, found {}={}", runs_max, name, value),
                          {},
                          0});
        }
        limit = *number;
    }
    auto runs = source.runs(job, static_cast<std::size_t>(limit));
    if (!runs) return error(runs.error());
    return respond(200, json::object{{"items", std::move(*runs)}});
}

Response start_run(JobSource& source, const std::string& job, const Request& request) {
    const auto wanted = read_request(job, request.body);
    if (!wanted) return error(wanted.error());
    auto started = source.start_run(*wanted);
    if (!started) return error(started.error());
    return respond(started->created ? 201 : 200, std::move(started->run));
}

Response pause_job(JobSource& source, const std::string& job, const Request& request) {
    const auto document = base::parse_json(request.body);
    const json::object* object = document ? document->if_object() : nullptr;
    const json::value* reason = object != nullptr ? object->if_contains("reason") : nullptr;
    const std::string text = reason != nullptr && reason->is_string() ? std::string(reason->get_string()) : "";
    if (object == nullptr || object->size() != 1 || base::trim(text).empty() || text.size() > pause_reason_max ||
        !is_plain(text)) {
        return error({ErrorKind::InvalidArgument,
                      fmt::format("expected a body like {{\"reason\": \"TEXT\"}}, of at most {} bytes on one line",
                                  pause_reason_max),
                      {},
                      0});
    }
    auto paused = source.pause_job(job, text);
    return paused ? respond(200, std::move(*paused)) : error(paused.error());
}

}  // namespace

std::optional<JobPlace> job_place(std::string_view path) {
    using What = JobPlace::What;
    if (path == "/v1/jobs") return JobPlace{What::Jobs, {}};
    const auto parts = base::split(path, '/');
    if (parts.size() < 4 || parts[1] != "v1") return std::nullopt;
    const std::string name(parts[3]);
    const bool of_job = parts[2] == "jobs" && base::is_name(name);
    if (of_job && parts.size() == 5 && parts[4] == "runs") return JobPlace{What::Runs, name};
    if (of_job && parts.size() == 5 && parts[4] == "pause") return JobPlace{What::Pause, name};
    if (of_job && parts.size() == 5 && parts[4] == "resume") return JobPlace{What::Resume, name};
    if (parts[2] != "runs" || !is_run_id(name)) return std::nullopt;
    if (parts.size() == 4) return JobPlace{What::Run, name};
    if (parts.size() == 5 && parts[4] == "stop") return JobPlace{What::Stop, name};
    return std::nullopt;
}

Response answer_jobs(JobSource& source, const JobPlace& place, const Request& request) {
    using What = JobPlace::What;
    const bool post = request.method == "POST";
    const bool acts = place.what == What::Stop || place.what == What::Pause || place.what == What::Resume;
    const bool allowed = place.what == What::Runs ? post || request.method == "GET"
                         : acts                   ? post
                                                  : request.method == "GET";
    if (!allowed) {
        const char* methods = place.what == What::Runs ? "GET and POST" : acts ? "POST" : "GET";
        return error(405, base::to_string(ErrorKind::InvalidArgument),
                     fmt::format("{} takes {}, found {}", request.path, methods, request.method));
    }
    switch (place.what) {
        case What::Jobs:
            return respond(200, json::object{{"items", source.jobs()}});
        case What::Runs:
            return post ? start_run(source, place.name, request) : list_runs(source, place.name, request);
        case What::Run: {
            auto run = source.run(place.name);
            return run ? respond(200, std::move(*run)) : error(run.error());
        }
        case What::Stop: {
            auto run = source.stop_run(place.name);
            return run ? respond(202, std::move(*run)) : error(run.error());
        }
        case What::Pause:
            return pause_job(source, place.name, request);
        case What::Resume: {
            auto ended = source.resume_job(place.name);
            return ended ? respond(200, std::move(*ended)) : error(ended.error());
        }
    }
    return error(404, base::to_string(ErrorKind::NotFound), request.path);
}

}  // namespace signalbox::api
