#include "adapters/process/supervisor_files.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "base/json.hpp"
#include "base/text.hpp"

namespace signalbox::process {
namespace {

using base::Error;
using base::ErrorKind;
namespace json = base::json;

constexpr std::uint64_t status_max_bytes = 1 << 16;

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
    const std::string path = status_path(run_directory, rank);
    const std::string temporary = path + ".tmp";
    const std::string text = base::pretty_json(json::object{{"token", record.token},
                                                            {"state", jobs::to_string(record.exit.how)},
                                                            {"exit_code", record.exit.code},
                                                            {"signal", record.exit.signal},
                                                            {"started_at", base::format_time(record.started_at)},
                                                            {"ended_at", base::format_time(record.ended_at)}}) +
                             "\n";
    {
        const Descriptor file{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
        if (file.fd < 0) return failed(temporary, "open");
        if (::write(file.fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
            return failed(temporary, "write");
        if (::fsync(file.fd) != 0) return failed(temporary, "sync");
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) return failed(path, "rename to");
    const Descriptor folder{::open(run_directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (folder.fd < 0 || ::fsync(folder.fd) != 0) return failed(run_directory, "sync");
    return {};
}

}  // namespace signalbox::process
