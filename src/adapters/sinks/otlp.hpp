#pragma once
// Sends metrics to an OTLP receiver over HTTP, from a bounded queue, with a thread of its own.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ports/metric_sink.hpp"

namespace signalbox::sinks {

struct OtlpOptions {
    std::string url;                                           // http://host:4318/v1/metrics
    std::vector<std::pair<std::string, std::string>> headers;  // may hold secrets; never printed
    std::string tls_ca_file;                                   // empty: the system's
    std::vector<std::pair<std::string, std::string>> resource{{"service.name", "signalbox"}};
    base::Duration deadline = std::chrono::seconds(10);     // of one request
    base::Duration backoff_base = std::chrono::seconds(1);  // doubled with each try, with full jitter
    base::Duration backoff_max = std::chrono::seconds(30);
    base::Duration retry_time_max = std::chrono::minutes(5);  // then what is being sent is dropped
    base::Duration flush_time_max = std::chrono::seconds(2);  // at the end
    std::size_t queue_max = 100'000;                          // points
    std::size_t batch_max = 2'000;                            // points of one request
    std::size_t partitions_max = 20;                          // limit_partitions
};

struct OtlpCounters {
    std::uint64_t sent = 0;      // points that the receiver took
    std::uint64_t dropped = 0;   // that the queue had no room for, or that were tried for too long or refused
    std::uint64_t rejected = 0;  // that the receiver did not take of a request that it took
    std::uint64_t queued = 0;    // now
    std::string trouble;         // of the last request; empty if it was taken
};

class Otlp final : public ports::MetricSink {
  public:
    explicit Otlp(OtlpOptions options);
    // Tries what is queued once more, within flush_time_max.
    ~Otlp() override;
    Otlp(const Otlp&) = delete;
    Otlp& operator=(const Otlp&) = delete;

    // With a full queue the oldest points make room, and are counted as dropped: what is new is worth more.
    base::Status write(const std::vector<ports::MetricPoint>& points) override;
    OtlpCounters counters() const;

  private:
    enum class Answer { Taken, Later, Never };
    void send_all();
    Answer send(const std::vector<ports::MetricPoint>& batch, base::Duration deadline, base::Duration& after);
    void settle(const std::vector<ports::MetricPoint>& batch, std::int64_t rejected, const std::string& trouble);
    bool pause(base::Duration time);

    const OtlpOptions options_;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<ports::MetricPoint> queue_;
    OtlpCounters counters_;
    bool ending_ = false;
    std::thread thread_;
};

}  // namespace signalbox::sinks
