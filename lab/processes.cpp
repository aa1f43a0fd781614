#include "lab/processes.hpp"

#include <csignal>
#include <thread>

#include "base/text.hpp"

namespace signalbox::lab {

using base::ErrorKind;
using base::fail;
namespace json = base::json;

namespace {

constexpr auto kill_timeout = std::chrono::seconds(10);

struct Request {
    std::string token, name, subnet, directory = "/";
    std::vector<std::string> groups, command, environment;
};

base::Status take_text(const json::object& body, std::string_view key, std::string& into, bool needed) {
    const auto* value = body.if_contains(key);
    if (!value && !needed) return {};
    if (!value || !value->is_string() || (needed && value->as_string().empty()))
        return fail(ErrorKind::InvalidArgument, "expected a text at '{}'", key);
    into = std::string(value->as_string());
    return {};
}

base::Status take_texts(const json::object& body, std::string_view key, std::vector<std::string>& into) {
    const auto* value = body.if_contains(key);
    if (!value) return {};
    if (!value->is_array()) return fail(ErrorKind::InvalidArgument, "expected a list of texts at '{}'", key);
    for (const auto& item : value->as_array()) {
        if (!item.is_string()) return fail(ErrorKind::InvalidArgument, "expected a list of texts at '{}'", key);
        into.emplace_back(item.as_string());
    }
    return {};
}

base::Result<Request> read_request(const json::value& body) {
    if (!body.is_object()) return fail(ErrorKind::InvalidArgument, "expected a JSON object that describes a process");
    const auto& object = body.as_object();
    Request request;
    SB_CHECK(take_text(object, "token", request.token, true));
    SB_CHECK(take_text(object, "name", request.name, true));
    SB_CHECK(take_text(object, "subnet", request.subnet, true));
    SB_CHECK(take_text(object, "directory", request.directory, false));
    SB_CHECK(take_texts(object, "security_groups", request.groups));
    SB_CHECK(take_texts(object, "command", request.command));
    if (request.command.empty())
        return fail(ErrorKind::InvalidArgument, "expected a program and its arguments at 'command'");
    if (!base::is_name(request.name))
        return fail(ErrorKind::InvalidArgument, "'{}' is no name for a process", request.name);
    bool has_path = false;
    if (const auto* environment = object.if_contains("environment")) {
        if (!environment->is_object())
            return fail(ErrorKind::InvalidArgument, "expected an object of texts at 'environment'");
        for (const auto& [key, value] : environment->as_object()) {
            if (!value.is_string())
                return fail(ErrorKind::InvalidArgument, "expected a text at 'environment.{}'", std::string_view(key));
            has_path |= key == "PATH";
            request.environment.push_back(std::string(key) + "=" + std::string(value.as_string()));
        }
    }
    if (!has_path)
        for (auto& entry : default_environment())
            if (entry.starts_with("PATH=")) request.environment.push_back(entry);
    return request;
}

}  // namespace

Processes::Processes(Network& network, Reaper& reaper, Names& names, Log& log)
    : network_(network), reaper_(reaper), names_(names), log_(log) {}

json::value Processes::describe(const Entry& entry) const {
    json::object object{
        {"id", entry.id},     {"token", entry.token},           {"name", entry.name},   {"subnet", entry.subnet},
        {"zone", entry.zone}, {"address", entry.address},       {"state", entry.state}, {"exit_code", nullptr},
        {"signal", nullptr},  {"started_at", entry.started_at}, {"ended_at", nullptr}};
    if (entry.state == "exited") {
        object["ended_at"] = entry.ended_at;
        if (entry.exit.signal)
            object["signal"] = entry.exit.signal;
        else
            object["exit_code"] = entry.exit.code;
    }
    return object;
}

base::Result<Processes::Started> Processes::start(const json::value& body) {
    SB_TRY(const Request request, read_request(body));
    // One start at a time: the same token twice must find the first one.
    std::unique_lock lock(mutex_);
    if (const auto known = by_token_.find(request.token); known != by_token_.end())
        return Started{false, describe(entries_.at(known->second))};
    std::size_t running = 0;
    for (const auto& [id, entry] : entries_) running += entry.state == "running";
    if (running >= running_max || entries_.size() >= remembered_max)
        return fail(ErrorKind::Unavailable, "the lab runs {} processes and remembers {}; it takes at most {} and {}",
                    running, entries_.size(), running_max, remembered_max);
    Entry entry;
    entry.id = fmt::format("p-{:05}", next_++);
    const auto node =
        network_.add_node(entry.id, "process", request.subnet, request.groups, std::nullopt, request.token);
    if (!node) return tl::unexpected<base::Error>(node.error());
    entry.token = request.token;
    entry.name = request.name;
    entry.subnet = request.subnet;
    entry.zone = node->zone;
    entry.address = ipv4_text(node->address);
    entry.state = "running";
    entry.started_at = now_text();
    SpawnOptions options;
    options.argv = request.command;
    options.environment = request.environment;
    options.directory = request.directory;
    options.netns = node->netns;
    // The lock is held: ended() waits until the entry is there.
    const auto pid = reaper_.spawn(options, [this, id = entry.id](Exit exit) {
        // A thread of its own, since giving the address back takes a while and the reaper must go on.
        std::thread([this, id, exit] { ended(id, exit); }).detach();
    });
    if (!pid) {
        network_.remove_node(entry.id);
        return base::in_context(pid.error(), request.name);
    }
    entry.pid = *pid;
    names_.set_address(entry.id + ".lab", node->address);
    log_.line("process {} ({}) starts at {} in {}", entry.id, entry.name, entry.address, entry.subnet);
    by_token_[entry.token] = entry.id;
    const auto described = describe(entry);
    entries_.emplace(entry.id, std::move(entry));
    return Started{true, described};
}

void Processes::ended(const std::string& id, Exit exit) {
    pid_t pid = -1;
    {
        const std::lock_guard lock(mutex_);
        const auto found = entries_.find(id);
        if (found == entries_.end()) return;  // it could not be executed
        pid = found->second.pid;
    }
    // What it left running in its group goes with it.
    ::kill(-pid, SIGKILL);
    if (const auto node = network_.node(id)) kill_all_in(node->netns);
    network_.remove_node(id);
    names_.remove(id + ".lab");
    {
        const std::lock_guard lock(mutex_);
        auto& entry = entries_.at(id);
        entry.exit = exit;
        entry.state = "exited";
        entry.ended_at = now_text();
        log_.line("process {} ({}) ended: {}", id, entry.name, exit.text());
    }
    changed_.notify_all();
}

json::array Processes::list(const std::string& token) const {
    const std::lock_guard lock(mutex_);
    json::array items;
    for (const auto& [id, entry] : entries_)
        if (token.empty() || entry.token == token) items.push_back(describe(entry));
    return items;
}

base::Result<json::value> Processes::stop(const std::string& id, base::Duration grace) {
    std::unique_lock lock(mutex_);
    const auto found = entries_.find(id);
    if (found == entries_.end()) return fail(ErrorKind::NotFound, "there is no process '{}'", id);
    const auto gone = [&] { return found->second.state == "exited"; };
    if (!gone()) {
        ::kill(-found->second.pid, SIGTERM);
        if (!changed_.wait_for(lock, grace, gone)) {
            ::kill(-found->second.pid, SIGKILL);
            if (!changed_.wait_for(lock, kill_timeout, gone))
                return fail(ErrorKind::UnknownOutcome, "process '{}' did not end within {} after SIGKILL", id,
                            base::format_duration(kill_timeout));
        }
    }
    return describe(found->second);
}

}  // namespace signalbox::lab
