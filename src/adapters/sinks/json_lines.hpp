#pragma once
// Metrics as a file of JSON objects, a line for each commit.

#include <mutex>
#include <string>

#include "base/json.hpp"
#include "ports/metric_sink.hpp"

namespace signalbox::sinks {

// The lines of these points, without line breaks: {"at", "table", "snapshot_id", "metrics": {NAME: VALUE or null},
// "partitions": {PARTITION: {NAME: VALUE}}}. Unknown is null.
std::vector<std::string> json_lines(const std::vector<ports::MetricPoint>& points);

class JsonLines final : public ports::MetricSink {
  public:
    // partitions_max: of one commit and metric (limit_partitions).
    JsonLines(std::string path, std::size_t partitions_max) : path_(std::move(path)), partitions_max_(partitions_max) {}
    ~JsonLines() override;
    JsonLines(const JsonLines&) = delete;
    JsonLines& operator=(const JsonLines&) = delete;

    // Appends; the file is made with mode 0640. A file that was moved away or removed since (logrotate) is made anew.
    // An error leaves no half line: what follows begins on a line of its own.
    base::Status write(const std::vector<ports::MetricPoint>& points) override;

  private:
    base::Status open_current();
    base::Status append(std::string_view line);

    const std::string path_;
    const std::size_t partitions_max_;
    std::mutex mutex_;
    int fd_ = -1;
    bool torn_ = false;  // the file's last line has no end
};

}  // namespace signalbox::sinks
