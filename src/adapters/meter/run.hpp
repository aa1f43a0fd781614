#pragma once
// One measurement: starts the workers of every path, watches them, stops them, and gathers what they recorded.

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "adapters/meter/events.hpp"
#include "adapters/meter/probe.hpp"

namespace signalbox::meter {

// Where a measurement stands, for progress lines and for deciding when to stop.
struct RunStatus {
    struct Path {
        std::uint64_t writes_ok = 0;
        std::uint64_t writes_failed = 0;
        std::uint64_t writes_unknown = 0;
        bool good = false;  // its last read (and, unless it is a member, its last write) was good, and lately
    };
    Duration elapsed{};
    std::vector<Path> paths;
    bool steady = false;        // every group has taken a write, or answered a read if it only reads
    bool outage_seen = false;   // since it was steady, a write failed on a path that had taken one
    Duration good_for{};        // how long every group has been good again
    bool samples_full = false;  // the bound on samples ended it
};

class MeterRun {
  public:
    MeterRun(MeterOptions options, std::vector<PathTarget> paths);
    ~MeterRun();
    MeterRun(const MeterRun&) = delete;
    MeterRun& operator=(const MeterRun&) = delete;

    // `events_source` may be empty. Errors: the event source does not answer.
    base::Status start(const std::string& events_source);
    // Call it every 50–200 ms: what it says about steadiness and recovery is seen at the calls.
    RunStatus status();
    // Stops the workers, waits for operations under way (at most their time-out), and hands over the recording, without
    // a fault time.
    Recording stop();

  private:
    bool path_good(std::size_t path, MonoTime now) const;

    const MeterOptions options_;
    const std::vector<PathTarget> paths_;
    std::vector<PathState> states_;
    RunState run_;
    std::vector<std::unique_ptr<Probe>> probes_;
    std::vector<std::thread> threads_;
    std::unique_ptr<EventListener> events_;
    MonoTime started_at_{};
    base::WallTime started_at_wall_{};
    bool steady_ = false;
    bool outage_seen_ = false;
    std::uint64_t broken_before_ = 0;
    MonoTime good_since_{};
    bool all_good_ = false;
};

}  // namespace signalbox::meter
