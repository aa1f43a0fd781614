#include "adapters/sinks/json_lines.hpp"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/sinks/partitions.hpp"

namespace signalbox::sinks {
namespace {

namespace json = base::json;
using base::ErrorKind;
using base::fail;
using ports::MetricPoint;

// Beyond it a double is no exact whole number.
constexpr double whole_max = 9007199254740992.0;

// Whole numbers without a fraction, as people write them.
json::value number(const std::optional<double>& value) {
    if (!value || !std::isfinite(*value)) return nullptr;
    if (std::trunc(*value) == *value && std::abs(*value) <= whole_max) return static_cast<std::int64_t>(*value);
    return *value;
}

json::object& object_in(json::object& parent, const std::string& key) {
    auto& value = parent[key];
    return value.is_object() ? value.get_object() : value.emplace_object();
}

}  // namespace

std::vector<std::string> json_lines(const std::vector<MetricPoint>& points) {
    std::vector<std::string> lines;
    for (std::size_t first = 0; first < points.size();) {
        const MetricPoint& commit = points[first];
        json::object metrics;
        json::object partitions;
        std::size_t last = first;
        for (; last < points.size() && points[last].table == commit.table &&
               points[last].snapshot_id == commit.snapshot_id;
             ++last) {
            const MetricPoint& point = points[last];
            json::object& into = point.partition.empty() ? metrics : object_in(partitions, point.partition);
            into[point.name] = number(point.value);
        }
        json::object line{{"at", base::format_time(commit.at)},
                          {"table", commit.table},
                          {"snapshot_id", commit.snapshot_id},
                          {"metrics", std::move(metrics)}};
        if (!partitions.empty()) line["partitions"] = std::move(partitions);
        lines.push_back(json::serialize(line));
        first = last;
    }
    return lines;
}

JsonLines::~JsonLines() {
    if (fd_ >= 0) ::close(fd_);
}

base::Status JsonLines::open_current() {
    struct stat named {};
    struct stat opened {};
    if (fd_ >= 0 && ::stat(path_.c_str(), &named) == 0 && ::fstat(fd_, &opened) == 0 && named.st_ino == opened.st_ino &&
        named.st_dev == opened.st_dev)
        return {};
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    // Without waiting for a reader, should somebody have put a pipe there.
    fd_ = ::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
    if (fd_ < 0) return fail(ErrorKind::Unavailable, "{}: cannot be opened: {}", path_, std::strerror(errno));
    if (::fstat(fd_, &opened) != 0 || !S_ISREG(opened.st_mode)) {
        ::close(std::exchange(fd_, -1));
        return fail(ErrorKind::Unavailable, "{}: is no regular file", path_);
    }
    char end = '\n';
    torn_ = opened.st_size > 0 && ::pread(fd_, &end, 1, opened.st_size - 1) == 1 && end != '\n';
    return {};
}

base::Status JsonLines::append(std::string_view line) {
    std::string text = torn_ ? "\n" : "";
    text += line;
    text += '\n';
    std::string_view rest = text;
    while (!rest.empty()) {
        const ssize_t size = ::write(fd_, rest.data(), rest.size());
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) {
            const int error = errno;
            if (rest.size() != text.size()) torn_ = true;
            return fail(ErrorKind::Unavailable, "{}: cannot be written: {}", path_, std::strerror(error));
        }
        rest.remove_prefix(static_cast<std::size_t>(size));
    }
    torn_ = false;
    return {};
}

base::Status JsonLines::write(const std::vector<MetricPoint>& points) {
    const std::lock_guard guard(mutex_);
    SB_CHECK(open_current());
    for (const std::string& line : json_lines(limit_partitions(points, partitions_max_))) SB_CHECK(append(line));
    return {};
}

}  // namespace signalbox::sinks
