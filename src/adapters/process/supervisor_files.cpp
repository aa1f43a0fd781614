#include "adapters/process/supervisor_files.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.hpp"
#include "base/text.hpp"

namespace signalbox::process {
namespace {

using base::Error;
using base::ErrorKind;
namespace json = base::json;

constexpr std::uint64_t status_max_bytes = 1 << 16;
constexpr std::size_t token_max_bytes = 255;

std::string path_of(const std::string& run_directory, int rank, std::string_view ending) {
    return fmt::format("{}/rank-{}.{}", run_directory, rank, ending);
}

tl::unexpected<Error> failed(const std::string& path, std::string_view doing) {
    const int code = errno;
    return tl::unexpected<Error>(
        Error{ErrorKind::Unavailable, fmt::format("cannot {}: {}", doing, std::strerror(code)), path, code});
}

struct Descriptor {
    int fd;
    ~Descriptor() {
        if (fd >= 0) ::close(fd);
    }
};

}  // namespace

std::string log_path(const std::string& run_directory, int rank) { return path_of(run_directory, rank, "log"); }
std::string lock_path(const std::string& run_directory, int rank) { return path_of(run_directory, rank, "lock"); }
std::string heartbeat_path(const std::string& run_directory, int rank) {
    return path_of(run_directory, rank, "heartbeat");
}
std::string status_path(const std::string& run_directory, int rank) { return path_of(run_directory, rank, "status"); }
std::string pid_path(const std::string& run_directory, int rank) { return path_of(run_directory, rank, "pid"); }

base::Result<std::optional<StatusRecord>> read_status(const std::string& run_directory, int rank) {
    const std::string path = status_path(run_directory, rank);
    const auto content = base::read_file(path, status_max_bytes);
    if (!content && content.error().kind == ErrorKind::NotFound) return std::optional<StatusRecord>();
    if (!content) return tl::unexpected<Error>(content.error());
    const auto corrupt = [&](std::string_view what) {
        return tl::unexpected<Error>(
            Error{ErrorKind::CorruptData, fmt::format("is no exit status: {}", what), path, 0});
    };
    const auto value = base::parse_json(*content);
    if (!value || !value->is_object()) return corrupt("not a JSON object");
    const json::object& object = value->get_object();
    const auto text = [&](const char* key) {
        const json::value* field = object.if_contains(key);
        return field != nullptr && field->is_string() ? std::string(field->get_string()) : std::string();
    };
    const auto number = [&](const char* key) {
        const json::value* field = object.if_contains(key);
        return field != nullptr && field->is_int64() ? static_cast<int>(field->get_int64()) : 0;
    };
    const auto how = jobs::parse_exit_how(text("state"));
    const auto started = base::parse_time(text("started_at"));
    const auto ended = base::parse_time(text("ended_at"));
    if (!how) return corrupt("'state' is missing or unknown");
    if (!started || !ended) return corrupt("'started_at' or 'ended_at' is no time");
    if (text("token").empty()) return corrupt("'token' is missing");
    return std::optional(StatusRecord{text("token"), {*how, number("exit_code"), number("signal")}, *started, *ended});
}

base::Status write_status(const std::string& run_directory, int rank, const StatusRecord& record) {
    return write_whole(status_path(run_directory, rank),
                       base::pretty_json(json::object{{"token", record.token},
                                                      {"state", jobs::to_string(record.exit.how)},
                                                      {"exit_code", record.exit.code},
                                                      {"signal", record.exit.signal},
                                                      {"started_at", base::format_time(record.started_at)},
                                                      {"ended_at", base::format_time(record.ended_at)}}) +
                           "\n",
                       0644);
}

base::Result<std::optional<PidRecord>> read_pid(const std::string& run_directory, int rank) {
    const std::string path = pid_path(run_directory, rank);
    const auto content = base::read_file(path, status_max_bytes);
    if (!content && content.error().kind == ErrorKind::NotFound) return std::optional<PidRecord>();
    if (!content) return tl::unexpected<Error>(content.error());
    const auto value = base::parse_json(*content);
    const json::object* object = value ? value->if_object() : nullptr;
    const auto field = [&](const char* key) { return object == nullptr ? nullptr : object->if_contains(key); };
    const json::value* token = field("token");
    const json::value* pid = field("pid");
    const json::value* ticks = field("start_ticks");
    const json::value* boot = field("boot");
    const json::value* started = field("started_at");
    const bool whole = token != nullptr && token->is_string() && pid != nullptr && pid->is_int64() &&
                       ticks != nullptr && ticks->is_int64() && boot != nullptr && boot->is_string() &&
                       started != nullptr && started->is_string();
    const auto started_at = whole ? base::parse_time(std::string(started->get_string())) : base::parse_time("");
    if (!started_at) return tl::unexpected<Error>(Error{ErrorKind::CorruptData, "names no process", path, 0});
    return std::optional(PidRecord{std::string(token->get_string()),
                                   {static_cast<pid_t>(pid->get_int64()),
                                    static_cast<std::uint64_t>(ticks->get_int64()), std::string(boot->get_string())},
                                   *started_at});
}

base::Status write_pid(const std::string& run_directory, int rank, const PidRecord& record) {
    return write_whole(pid_path(run_directory, rank),
                       base::pretty_json(json::object{{"token", record.token},
                                                      {"pid", record.identity.pid},
                                                      {"start_ticks", record.identity.start_ticks},
                                                      {"boot", record.identity.boot},
                                                      {"started_at", base::format_time(record.started_at)}}) +
                           "\n",
                       0644);
}

base::Result<std::optional<NodeFiles>> read_node(const std::string& run_directory, int rank, const std::string& token) {
    const std::string path = lock_path(run_directory, rank);
    const Descriptor lock{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (lock.fd < 0 && errno == ENOENT) return std::optional<NodeFiles>();
    if (lock.fd < 0) return failed(path, "open");
    char known[token_max_bytes + 1] = {};
    const ssize_t size = ::pread(lock.fd, known, token_max_bytes, 0);
    if (size < 0) return failed(path, "read");
    NodeFiles node;
    node.token.assign(known, static_cast<std::size_t>(size));
    // A supervisor that has not got so far may still refuse.
    if (node.token.empty() || (!token.empty() && node.token != token)) return std::optional<NodeFiles>();
    const bool held = ::flock(lock.fd, LOCK_SH | LOCK_NB) != 0;
    if (held && errno != EWOULDBLOCK) return failed(path, "look at the lock of");
    if (!held) ::flock(lock.fd, LOCK_UN);
    // The lock before the status: in the other order, one that ends in between would look lost.
    SB_TRY(auto status, read_status(run_directory, rank));
    if (status && status->token == node.token) node.status = std::move(status);
    node.fate = held ? NodeFate::Running : node.status ? NodeFate::Ended : NodeFate::Lost;
    // A damaged one must not hide a running node: there are other ways to find its processes.
    if (auto pid = read_pid(run_directory, rank); pid && *pid && (*pid)->token == node.token)
        node.pid = std::move(*pid);
    struct stat beat {};
    if (::stat(heartbeat_path(run_directory, rank).c_str(), &beat) == 0)
        node.seen_at =
            base::WallTime(std::chrono::seconds(beat.st_mtim.tv_sec) + std::chrono::nanoseconds(beat.st_mtim.tv_nsec));
    return std::optional(std::move(node));
}

base::Status write_whole(const std::string& path, const std::string& text, mode_t mode) {
    const std::string temporary = path + ".tmp";
    {
        const Descriptor file{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)};
        if (file.fd < 0) return failed(temporary, "open");
        if (::write(file.fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
            return failed(temporary, "write");
        if (::fsync(file.fd) != 0) return failed(temporary, "sync");
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) return failed(path, "rename to");
    const std::string folder_path = path.substr(0, path.rfind('/'));
    const Descriptor folder{::open(folder_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (folder.fd < 0 || ::fsync(folder.fd) != 0) return failed(folder_path, "sync");
    return {};
}

}  // namespace signalbox::process
