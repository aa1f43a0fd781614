#pragma once
// Follows one channel: feeds what comes in to the pure machine of domain/channels, compares positions with the
// cluster's history, executes the machine's actions through ports, and keeps the record. Single-threaded, without a
// clock: the time is an argument. It blocks in the store and the journal only.

#include <map>
#include <string>
#include <variant>

#include "base/json.hpp"
#include "base/time.hpp"
#include "domain/channels/machine.hpp"
#include "domain/clusters/config.hpp"
#include "ports/channels.hpp"
#include "ports/journal.hpp"

namespace signalbox::engine {

// The world of one channel's loop. All of them outlive the loop.
struct ChannelPorts {
    ports::ChannelStore& store;
    ports::Journal& journal;
    ports::ChannelProbes& probes;
};

using ChannelEvent = std::variant<channels::Observation, ports::ChannelRestarted>;
const std::string& channel_of(const ChannelEvent& event);

// Whether `position` is part of `history`, both texts of the engine. `shared`: the position may hold what is not of
// this cluster; MariaDB's domains that the history does not know are then left out. A replica that has nothing yet has
// nothing that the writer lacks. Unknown, if there is no history, or either can't be read.
channels::Verdict judge(clusters::Engine engine, const std::string& position, bool shared, const std::string& history);

class ChannelLoop {
  public:
    ChannelLoop(channels::ChannelConfig config, clusters::Engine engine, ChannelPorts ports);

    // Loads what is known of it and begins to look. A memory that can't be read counts as none, and is journaled.
    void start(base::MonoTime now, base::WallTime wall);
    // Events of other channels are ignored.
    void handle(const ChannelEvent& event, base::MonoTime now, base::WallTime wall);
    // What is known of its cluster now; of other clusters the caller keeps it. As often as it likes.
    void on_cluster(const channels::ClusterFacts& facts, base::MonoTime now, base::WallTime wall);
    void tick(base::MonoTime now, base::WallTime wall);
    // An operator has taken note of the findings: their alarms end.
    void acknowledge(base::MonoTime now, base::WallTime wall);
    base::MonoTime next_deadline() const { return machine_.next_deadline(); }

    const channels::ChannelConfig& config() const { return config_; }
    const channels::Machine& machine() const { return machine_; }
    // {"name","cluster","kind","state","epoch","writer","last_answer_ms","last_resume_ms","restarts","replica"|"slot",
    // "alarms":[{"kind","text","since"}],"findings"}: docs/reference/channels.md.
    base::json::object status(base::MonoTime now) const;
    std::uint64_t journal_failures() const { return journal_failures_; }
    std::uint64_t store_failures() const { return store_failures_; }

  private:
    void step(const channels::Input& input, base::MonoTime now, base::WallTime wall);
    void execute(const std::vector<channels::Action>& actions, base::WallTime wall);
    void journal(const std::string& kind, base::json::object data, base::WallTime wall);
    channels::Verdict verdict(const std::string& position, bool shared) const;

    const channels::ChannelConfig config_;
    const clusters::Engine engine_;
    ChannelPorts ports_;
    channels::Machine machine_;
    channels::ClusterFacts facts_;
    std::map<std::string, base::WallTime> alarm_since_;
    std::uint64_t journal_failures_ = 0;
    std::uint64_t store_failures_ = 0;
};

}  // namespace signalbox::engine
