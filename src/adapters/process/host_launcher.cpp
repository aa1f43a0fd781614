#include "adapters/process/host_launcher.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <future>
#include <sys/stat.h>

#include "adapters/process/host_spawn.hpp"
#include "adapters/process/node_command.hpp"
#include "base/text.hpp"

namespace signalbox::process {
namespace {

using namespace std::chrono_literals;
using base::Error;
using base::ErrorKind;
using base::fail;
using Kind = jobs::LaunchResult::Kind;
namespace fs = std::filesystem;

constexpr base::Duration launch_timeout = 15s;
// From killing what a supervisor watches until it has noted the end, and has ended what is left.
constexpr base::Duration note_timeout = 3s;
constexpr base::Duration kill_timeout = 5s;
// A folder that changed less long ago may change again without another time of change.
constexpr base::Duration settled_after = 2s;
constexpr std::size_t stops_at_once = 8;
constexpr std::string_view file_prefix = "rank-";
constexpr std::string_view lock_ending = ".lock";

std::string id_of(const std::string& run_directory, int rank) {
    return fmt::format("{}/{}{}", run_directory, file_prefix, rank);
}

struct Place {
    std::string run_directory;
    int rank = 0;
};

std::optional<Place> place_of(const std::string& id) {
    const auto slash = id.rfind('/');
    if (slash == std::string::npos || !std::string_view(id).substr(slash + 1).starts_with(file_prefix))
        return std::nullopt;
    const auto rank = base::parse_uint(std::string_view(id).substr(slash + 1 + file_prefix.size()));
    if (!rank || *rank > 1'000'000) return std::nullopt;
    return Place{id.substr(0, slash), static_cast<int>(*rank)};
}

// What can never be launched; empty if nothing is wrong.
std::string invalid(const ports::NodeLaunch& node) {
    if (std::string why = invalid_launch(node); !why.empty()) return why;
    std::error_code ignored;
    if (fs::is_directory(node.directory, ignored)) return {};
    return fmt::format("the directory {} in which the command should run does not exist", node.directory);
}

// Later ones win; each name once.
std::vector<std::string> environment_of(const ports::NodeLaunch& node, const std::string& address) {
    std::map<std::string, std::string> all;
    for (const auto& [key, value] : plain_environment()) all[key] = value;
    for (const auto& [key, value] : node.environment) all[key] = value;
    all["SIGNALBOX_NODE_ADDRESS"] = address;
    all[token_variable] = node.token;
    std::vector<std::string> entries;
    entries.reserve(all.size());
    for (const auto& [key, value] : all) entries.push_back(fmt::format("{}={}", key, value));
    return entries;
}

// The modification time of the folder: files come and go in it with every start and end of a node.
base::WallTime changed_at(const std::string& folder) {
    struct stat status {};
    if (::stat(folder.c_str(), &status) != 0) return {};
    return base::WallTime(std::chrono::seconds(status.st_mtim.tv_sec) +
                          std::chrono::nanoseconds(status.st_mtim.tv_nsec));
}

// The files of a damaged or deleted folder name no process; the processes themselves still carry the token.
base::Status stop_by_token(const std::string& token, base::Duration grace) {
    const auto end = std::chrono::steady_clock::now() + grace;
    std::vector<ProcessHandle> handles;
    for (const pid_t pid : processes_with_token(token)) {
        const auto identity = identify(pid);
        auto handle = identity ? ProcessHandle::open(*identity) : std::nullopt;
        if (!handle || token_of(pid) != token) continue;
        handle->signal(SIGTERM);
        handles.push_back(std::move(*handle));
    }
    for (const ProcessHandle& handle : handles) handle.wait_for_end(end - std::chrono::steady_clock::now());
    return kill_with_token(token, kill_timeout);
}

base::Status stop_one(const std::string& id, base::Duration grace) {
    const auto place = place_of(id);
    if (!place) return {};
    SB_TRY(const auto files, read_node(place->run_directory, place->rank));
    if (!files) return {};
    if (files->fate == NodeFate::Running) {
        const auto supervisor = files->pid ? ProcessHandle::open(files->pid->identity) : std::nullopt;
        if (!supervisor) return stop_by_token(files->token, grace);
        supervisor->signal(SIGTERM);
        if (!supervisor->wait_for_end(grace)) {
            // Not the supervisor itself at first: it still has to note how the command ended.
            (void)kill_with_token(files->token, note_timeout, files->pid->identity.pid);
            if (!supervisor->wait_for_end(note_timeout)) supervisor->signal(SIGKILL);
            if (!supervisor->wait_for_end(kill_timeout))
                return fail(ErrorKind::UnknownOutcome, "the supervisor of {} did not end after SIGKILL", id);
        }
    }
    return kill_with_token(files->token, kill_timeout);
}

}  // namespace

jobs::NodeProcess HostLauncher::describe(const std::string& run_directory, int rank, const NodeFiles& files) const {
    jobs::NodeProcess process;
    process.token = files.token;
    process.id = id_of(run_directory, rank);
    process.address = options_.address;
    process.running = files.fate == NodeFate::Running;
    if (files.pid) process.started_at = files.pid->started_at;
    if (files.fate == NodeFate::Ended) {
        process.exit = files.status->exit;
        process.started_at = files.status->started_at;
        process.ended_at = files.status->ended_at;
    } else if (files.fate == NodeFate::Lost) {
        process.exit = jobs::Exit{};
        process.ended_at = files.seen_at;
    }
    return process;
}

base::Result<std::optional<jobs::NodeProcess>> HostLauncher::find(const std::string& run_directory, int rank,
                                                                  const std::string& token) const {
    SB_TRY(const auto files, read_node(run_directory, rank, token));
    if (files) {
        // Ended means that nothing of it runs any more; a supervisor that was killed could not see to it.
        if (files->fate == NodeFate::Lost) SB_CHECK(kill_with_token(token, kill_timeout));
        return std::optional(describe(run_directory, rank, *files));
    }
    std::error_code ignored;
    if (fs::exists(run_directory, ignored)) return std::optional<jobs::NodeProcess>();
    // Somebody removed the folder, but a process can't be removed that way.
    if (processes_with_token(token).empty()) return std::optional<jobs::NodeProcess>();
    return fail(ErrorKind::Unavailable,
                "{}: the run's folder is gone while its processes run; stop them, or restore it", run_directory);
}

jobs::LaunchResult HostLauncher::launch(const ports::NodeLaunch& node) {
    if (std::string why = invalid(node); !why.empty()) return {Kind::Invalid, {}, std::move(why)};
    const auto known = [&]() -> std::optional<jobs::LaunchResult> {
        auto found = find(node.run_directory, node.rank, node.token);
        if (!found) return jobs::LaunchResult{Kind::Unknown, {}, found.error().text()};
        if (!*found) return std::nullopt;
        return jobs::LaunchResult{Kind::Started, std::move(**found), {}};
    };
    if (auto result = known()) return std::move(*result);
    const SpawnResult spawned = spawn_detached(
        {supervised(options_.program, node, {"--detach"}), environment_of(node, options_.address), node.directory},
        launch_timeout);
    if (auto result = known()) return std::move(*result);
    switch (spawned.kind) {
        case SpawnResult::Kind::Detached:
            return {Kind::Unknown, {}, fmt::format("{}: the supervisor's files are gone", node.run_directory)};
        case SpawnResult::Kind::Refused:
            return {Kind::Refused, {}, spawned.text};
        case SpawnResult::Kind::Unknown:
            break;
    }
    return {Kind::Unknown, {}, spawned.text};
}

base::Result<std::vector<jobs::NodeProcess>> HostLauncher::list(const jobs::Run& run) {
    std::vector<jobs::NodeProcess> processes;
    for (const jobs::Node& node : run.nodes) {
        SB_TRY(auto process, find(run.directory, node.rank, node.token));
        if (process) processes.push_back(std::move(*process));
    }
    return processes;
}

base::Result<std::vector<jobs::NodeProcess>> HostLauncher::list_folder(const std::string& folder) const {
    std::vector<jobs::NodeProcess> processes;
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
        const std::string name = entry->path().filename().string();
        if (!name.starts_with(file_prefix) || !name.ends_with(lock_ending)) continue;
        const auto place = place_of(folder + "/" + name.substr(0, name.size() - lock_ending.size()));
        if (!place) continue;
        SB_TRY(const auto files, read_node(place->run_directory, place->rank));
        if (files) processes.push_back(describe(folder, place->rank, *files));
    }
    if (error) return fail(ErrorKind::Unavailable, "{}: cannot list: {}", folder, error.message());
    return processes;
}

base::Result<std::vector<jobs::NodeProcess>> HostLauncher::list_all() {
    const std::lock_guard guard(mutex_);
    std::vector<jobs::NodeProcess> all;
    const auto now = std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now());
    std::error_code error;
    if (!fs::exists(options_.runs_root, error) && !error) return all;
    for (fs::directory_iterator entry(options_.runs_root, error), end; !error && entry != end; entry.increment(error)) {
        std::error_code ignored;
        if (!entry->is_directory(ignored)) continue;
        const std::string folder = entry->path().string();
        const base::WallTime changed = changed_at(folder);
        const auto seen = ended_.find(folder);
        if (seen != ended_.end() && seen->second.changed_at == changed) {
            all.insert(all.end(), seen->second.processes.begin(), seen->second.processes.end());
            continue;
        }
        SB_TRY(const auto processes, list_folder(folder));
        all.insert(all.end(), processes.begin(), processes.end());
        const bool over = !processes.empty() && std::none_of(processes.begin(), processes.end(),
                                                             [](const auto& process) { return process.running; });
        if (over && now - changed > settled_after) ended_[folder] = {changed, processes};
    }
    if (error) return fail(ErrorKind::Unavailable, "{}: cannot list: {}", options_.runs_root, error.message());
    return all;
}

base::Status HostLauncher::stop(const std::vector<std::string>& processes, base::Duration grace) {
    base::Status first;
    for (std::size_t begin = 0; begin < processes.size(); begin += stops_at_once) {
        std::vector<std::future<base::Status>> stops;
        const std::size_t end = std::min(processes.size(), begin + stops_at_once);
        for (std::size_t i = begin; i < end; ++i)
            stops.push_back(std::async(std::launch::async, stop_one, processes[i], grace));
        for (auto& stop : stops) {
            auto status = stop.get();
            if (!status && first) first = std::move(status);
        }
    }
    return first;
}

}  // namespace signalbox::process
