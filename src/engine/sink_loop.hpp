#pragma once
// Brings every reported commit's metrics to every sink, in order and at least once: each sink has a position in the
// store.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "ports/lake_store.hpp"
#include "ports/metric_sink.hpp"

namespace signalbox::engine {

// The metrics of a reported commit; empty for what is no commit of main. Unknown values are points without a value.
std::vector<ports::MetricPoint> points_of(const ports::CommitRecord& commit);

class SinkLoop {
  public:
    // The store must outlive it.
    explicit SinkLoop(ports::LakeStore& store) : store_(store) {}
    // By name; a name that is new begins with the next commit, not with the past.
    base::Status configure(std::map<std::string, std::shared_ptr<ports::MetricSink>> sinks);
    // Writes what the sinks have not got yet, at most batch_max commits each. Returns how many were written; an error
    // of one sink does not hold up the others, and is returned at the end.
    base::Result<std::size_t> run_once();

    static constexpr std::size_t batch_max = 500;

  private:
    base::Result<std::size_t> feed(const std::string& name, ports::MetricSink& sink);

    ports::LakeStore& store_;
    std::map<std::string, std::shared_ptr<ports::MetricSink>> sinks_;
};

}  // namespace signalbox::engine
