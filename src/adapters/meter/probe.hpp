#pragma once
// The meter's workers: each has a thread and a connection of its own and does one kind of operation on one path at
// every tick of its schedule, so that a slow operation delays no other.

#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "adapters/meter/resolver.hpp"
#include "adapters/mysql/client.hpp"
#include "domain/meter/sample.hpp"

namespace signalbox::meter {

struct PathTarget {
    PathInfo info;
    mysql::ConnectParams connect;
};

struct MeterOptions {
    Duration interval = std::chrono::milliseconds(10);
    Duration timeout = std::chrono::seconds(1);                 // of one operation
    Duration connect_timeout = std::chrono::milliseconds(500);  // of a name's resolution, and of a connection
    unsigned writers = 1;                                       // per path
    std::string database = "signalbox_meter";
    std::string table;                    // the run's own ledger
    std::size_t samples_max = 8'000'000;  // of all workers; the run ends when they are reached
};

// What the workers of one path share while the run lasts.
struct PathState {
    std::atomic<std::uint64_t> next_number{1};
    std::atomic<std::uint64_t> acknowledged_number{0};  // the highest
    // Of writes and reads: when the last good one completed, when the last unexpected failure did (0: never).
    std::atomic<std::int64_t> write_ok_at{0};
    std::atomic<std::int64_t> write_bad_at{0};
    std::atomic<std::int64_t> read_ok_at{0};
    std::atomic<std::int64_t> read_bad_at{0};
    std::atomic<std::uint64_t> writes_broken{0};  // how often a write failed after a good one
    std::atomic<std::uint64_t> writes_ok{0};
    std::atomic<std::uint64_t> writes_failed{0};
    std::atomic<std::uint64_t> writes_unknown{0};
};

struct RunState {
    std::atomic<bool> stop{false};
    std::atomic<std::size_t> samples{0};
};

MonoTime mono_now();

// One worker. Constructed and read by the run's thread; run() belongs to the worker's own.
class Probe {
  public:
    Probe(const MeterOptions& options, const std::vector<PathTarget>& paths, std::vector<PathState>& states,
          RunState& run, std::size_t path, Kind kind);

    // Works at `first`, `first` + interval, … until the run stops; an operation under way is finished.
    void run(MonoTime first);
    // Ends a wait for an answer soon. From any thread.
    void interrupt() { client_.cancel(); }

    // After run() has returned.
    std::vector<Sample>& samples() { return samples_; }
    const std::vector<std::string>& texts() const { return texts_; }
    const std::vector<RowId>& seen_rows() const { return seen_rows_; }
    std::uint64_t ticks_skipped = 0;
    std::uint64_t ticks_late = 0;
    Duration lag_max{};

  private:
    bool operate();
    base::Status connect();
    void write_row(Sample& sample);
    void read_rows(Sample& sample);
    void ask_role(Sample& sample);
    void resolve_name(Sample& sample);
    void note_seen(const mysql::ResultSet& rows);
    void finish(Sample& sample);
    std::string peek_sql() const;
    std::uint32_t intern(const std::string& text);
    bool sleep_until(MonoTime tick);

    const MeterOptions& options_;
    const std::vector<PathTarget>& paths_;
    std::vector<PathState>& states_;
    RunState& run_;
    const std::size_t path_;
    const Kind kind_;
    const std::string ledger_;  // `database`.`table`
    mysql::Client client_;
    std::unique_ptr<Resolver> resolver_;  // only for a name
    std::vector<Sample> samples_;
    std::vector<std::string> texts_{std::string()};
    std::unordered_map<std::string, std::uint32_t> text_index_;
    std::vector<RowId> seen_rows_;
};

// "7@db-1:3306": server id, host name and port, as the server itself gives them in the columns s, h and p.
std::string server_name(const mysql::ResultSet& row);

}  // namespace signalbox::meter
