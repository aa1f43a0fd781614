#include "adapters/process/lab_launcher.hpp"

#include <algorithm>
#include <future>

#include "adapters/process/node_command.hpp"
#include "adapters/process/supervisor_files.hpp"

namespace signalbox::process {
namespace {

using namespace std::chrono_literals;
using base::Error;
using base::ErrorKind;
using base::fail;
namespace json = base::json;

constexpr base::Duration list_timeout = 5s;
constexpr base::Duration launch_timeout = 15s;
// The lab answers a stop when the process is gone: the grace, and time to take the node down.
constexpr base::Duration stop_slack = 10s;
constexpr std::size_t stops_at_once = 8;

std::string text_of(const json::object& object, const char* key) {
    const json::value* value = object.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

int number_of(const json::object& object, const char* key) {
    const json::value* value = object.if_contains(key);
    return value != nullptr && value->is_int64() ? static_cast<int>(value->get_int64()) : 0;
}

std::optional<base::WallTime> time_of(const json::object& object, const char* key) {
    const auto time = base::parse_time(text_of(object, key));
    return time ? std::optional(*time) : std::nullopt;
}

base::Result<jobs::NodeProcess> parse_process(const json::value& value) {
    const json::object* object = value.if_object();
    if (object == nullptr)
        return fail(ErrorKind::CorruptData, "/v1/processes: expected a process, found something else");
    jobs::NodeProcess process;
    process.token = text_of(*object, "token");
    process.id = text_of(*object, "id");
    process.address = text_of(*object, "address");
    const std::string state = text_of(*object, "state");
    if (process.token.empty() || process.id.empty() || (state != "running" && state != "exited"))
        return fail(ErrorKind::CorruptData, "/v1/processes: a process without id, token or a known state ('{}')",
                    state);
    process.running = state == "running";
    process.started_at = time_of(*object, "started_at");
    if (!process.running) {
        process.ended_at = time_of(*object, "ended_at");
        const int signal = number_of(*object, "signal");
        process.exit = signal != 0 ? jobs::Exit{jobs::ExitHow::Signaled, 0, signal}
                                   : jobs::Exit{jobs::ExitHow::Exited, number_of(*object, "exit_code"), 0};
    }
    return process;
}

// The supervisor's own record says more than how the supervisor ended.
void prefer_record(jobs::NodeProcess& process, const std::string& run_directory, int rank) {
    const auto record = read_status(run_directory, rank);
    if (!record || !*record || (*record)->token != process.token) return;
    process.exit = (*record)->exit;
    process.ended_at = (*record)->ended_at;
}

// With the provider away, the exit statuses still tell how a run ended; only all of them together are an answer.
std::optional<std::vector<jobs::NodeProcess>> from_records(const jobs::Run& run) {
    std::vector<jobs::NodeProcess> processes;
    for (const jobs::Node& node : run.nodes) {
        if (node.stage != jobs::NodeStage::Started && node.stage != jobs::NodeStage::Intended) continue;
        const auto record = read_status(run.directory, node.rank);
        if (!record || !*record || (*record)->token != node.token) return std::nullopt;
        processes.push_back({node.token, node.process, node.address, false, (*record)->exit, (*record)->started_at,
                             (*record)->ended_at});
    }
    if (processes.empty()) return std::nullopt;
    return processes;
}

}  // namespace

jobs::LaunchResult LabLauncher::launch(const ports::NodeLaunch& node) {
    using Kind = jobs::LaunchResult::Kind;
    if (std::string why = invalid_launch(node); !why.empty()) return {Kind::Invalid, {}, std::move(why)};
    json::array groups, command;
    for (const std::string& group : node.security_groups) groups.push_back(json::value(group));
    for (const std::string& word : supervised(program_, node)) command.push_back(json::value(word));
    json::object environment;
    for (const auto& [key, value] : node.environment) environment[key] = value;
    const json::object body = {{"token", node.token},           {"name", node.name},
                               {"subnet", node.subnet},         {"security_groups", std::move(groups)},
                               {"command", std::move(command)}, {"environment", std::move(environment)},
                               {"directory", node.directory}};
    const http::Client client(base_url_);
    const auto answer = client.call("POST", "/v1/processes", body, launch_timeout);
    if (answer) {
        auto process = parse_process(*answer);
        if (!process) return {Kind::Unknown, {}, process.error().text()};
        if (!process->running) prefer_record(*process, node.run_directory, node.rank);
        return {Kind::Started, std::move(*process), {}};
    }
    const Error& error = answer.error();
    switch (error.kind) {
        case ErrorKind::Unavailable:
        case ErrorKind::Timeout:
        case ErrorKind::Conflict:
            return {Kind::Refused, {}, error.text()};
        case ErrorKind::InvalidArgument:
        case ErrorKind::NotFound:
        case ErrorKind::NotSupported:
        case ErrorKind::PermissionDenied:
            return {Kind::Invalid, {}, error.text()};
        default:
            // Also the server's own internal errors: what it had done by then is not known.
            return {Kind::Unknown, {}, error.text()};
    }
}

base::Result<std::vector<jobs::NodeProcess>> LabLauncher::list_all() {
    const http::Client client(base_url_);
    SB_TRY(const json::value answer, client.get("/v1/processes", list_timeout));
    const json::object* object = answer.if_object();
    const json::value* items = object == nullptr ? nullptr : object->if_contains("items");
    if (items == nullptr || !items->is_array())
        return fail(ErrorKind::CorruptData, "/v1/processes: expected an object with a list 'items'");
    std::vector<jobs::NodeProcess> processes;
    for (const json::value& item : items->get_array()) {
        const json::object* entry = item.if_object();
        // Others may start processes without a token of ours.
        if (entry != nullptr && text_of(*entry, "token").empty()) continue;
        SB_TRY(jobs::NodeProcess process, parse_process(item));
        processes.push_back(std::move(process));
    }
    return processes;
}

base::Result<std::vector<jobs::NodeProcess>> LabLauncher::list(const jobs::Run& run) {
    auto all = list_all();
    if (!all) {
        if (auto records = from_records(run)) return std::move(*records);
        return tl::unexpected<Error>(all.error());
    }
    std::vector<jobs::NodeProcess> processes;
    for (jobs::NodeProcess& process : *all) {
        for (const jobs::Node& node : run.nodes) {
            if (node.token != process.token) continue;
            if (!process.running) prefer_record(process, run.directory, node.rank);
            processes.push_back(std::move(process));
            break;
        }
    }
    // A lab that was taken down and up again knows nothing of the run, but the exit statuses do.
    for (const jobs::Node& node : run.nodes) {
        if (node.stage != jobs::NodeStage::Started) continue;
        const bool listed = std::any_of(processes.begin(), processes.end(),
                                        [&](const auto& process) { return process.token == node.token; });
        if (listed) continue;
        const auto record = read_status(run.directory, node.rank);
        if (!record || !*record || (*record)->token != node.token) continue;
        processes.push_back({node.token, node.process, node.address, false, (*record)->exit, (*record)->started_at,
                             (*record)->ended_at});
    }
    return processes;
}

base::Status LabLauncher::stop(const std::vector<std::string>& processes, base::Duration grace) {
    const auto grace_ms = std::chrono::duration_cast<std::chrono::milliseconds>(grace).count();
    const auto stop_one = [&](const std::string& process) -> base::Status {
        const http::Client client(base_url_);
        const auto answer = client.call("DELETE", fmt::format("/v1/processes/{}?grace_ms={}", process, grace_ms),
                                        nullptr, grace + stop_slack);
        if (answer || answer.error().kind == ErrorKind::NotFound) return {};
        return tl::unexpected<Error>(answer.error());
    };
    base::Status first;
    for (std::size_t begin = 0; begin < processes.size(); begin += stops_at_once) {
        std::vector<std::future<base::Status>> stops;
        const std::size_t end = std::min(processes.size(), begin + stops_at_once);
        for (std::size_t i = begin; i < end; ++i)
            stops.push_back(std::async(std::launch::async, stop_one, processes[i]));
        for (auto& stop : stops) {
            auto status = stop.get();
            if (!status && first) first = std::move(status);
        }
    }
    return first;
}

}  // namespace signalbox::process
