#pragma once
// A channel on the bench: facts and looks are given by hand, time is a number.

#include <string>
#include <vector>

#include "domain/channels/machine.hpp"

namespace signalbox::channels {

using base::MonoTime;
using namespace std::chrono_literals;

inline ChannelConfig a_replica() {
    ChannelConfig config;
    config.name = "warehouse";
    config.cluster = "orders";
    config.address = {"10.0.2.20", 3306};
    config.endpoint = "w";
    config.source = {"10.0.1.10", 3306};
    config.heartbeat = 5s;
    return config;
}

inline ChannelConfig a_slot() {
    ChannelConfig config;
    config.name = "cdc";
    config.cluster = "orders";
    config.kind = Kind::Slot;
    config.slot = "debezium";
    config.heartbeat = 5s;
    return config;
}

inline ReplicaStatus reading(std::uint64_t heartbeats = 1) {
    ReplicaStatus status;
    status.io = Thread::Running;
    status.sql_running = true;
    status.source = {"10.0.1.10", 3306};
    status.uses_gtid = true;
    status.position = "0-1-100";
    status.heartbeats = heartbeats;
    status.heartbeat_period = 1s;
    status.retry = 60s;
    return status;
}

inline ReplicaStatus connecting() {
    ReplicaStatus status = reading();
    status.io = Thread::Connecting;
    status.io_error = 2003;
    status.io_error_text = "error connecting to source";
    return status;
}

inline ReplicaStatus stopped(int io_error = 0, bool sql_running = false) {
    ReplicaStatus status = reading();
    status.io = Thread::Stopped;
    status.io_error = io_error;
    status.sql_running = sql_running;
    return status;
}

inline SlotStatus slot_at(std::uint64_t restart, std::uint64_t confirmed, bool active = true,
                          const std::string& reply = "t0") {
    SlotStatus status;
    status.exists = true;
    status.active = active;
    status.restart_lsn = restart;
    status.confirmed_lsn = confirmed;
    status.wal_status = "reserved";
    status.reply_time = reply;
    status.current_lsn = confirmed + 0x100;
    status.timeline = 1;
    return status;
}

inline Verdict contained() { return {Verdict::Is::Contained, {}, false}; }
inline Verdict missing() { return {Verdict::Is::Missing, "0-1-105", true}; }

class Bench {
  public:
    explicit Bench(ChannelConfig config = a_replica(), Memory memory = {})
        : machine(std::move(config), std::move(memory)) {
        take(machine.start(now));
    }

    void route(std::uint64_t epoch, const std::string& writer, const Verdict& verdict = contained()) {
        facts = {};
        facts.epoch = epoch;
        facts.routed = true;
        facts.writer = writer;
        facts.routed_at = facts.ended_at = now;
        facts.history = "h";
        judge(verdict);
    }
    // The writer was asked now.
    void judge(const Verdict& verdict) {
        facts.history_at = now;
        take(machine.step(input::Facts{facts, verdict}, now));
    }
    void unroute() {
        facts.routed = false;
        take(machine.step(input::Facts{facts, {}}, now));
    }
    void see(std::variant<ReplicaStatus, SlotStatus, Failure> result, const Verdict& verdict = contained()) {
        Observation seen;
        seen.channel = machine.config().name;
        seen.member = facts.writer;
        seen.sent_at = now;
        now += 1ms;
        seen.completed_at = now;
        seen.result = std::move(result);
        take(machine.step(input::Observed{&seen, verdict}, now));
    }
    void restarted(RestartOutcome outcome = RestartOutcome::Done, const std::string& text = {}) {
        take(machine.step(input::RestartEnded{serial(), outcome, text}, now));
    }
    void pass(base::Duration time) {
        now += time;
        take(machine.step(input::Tick{}, now));
    }

    std::size_t restarts() const {
        std::size_t count = 0;
        for (const Action& action : actions) count += std::holds_alternative<action::Restart>(action) ? 1 : 0;
        return count;
    }
    std::uint64_t serial() const {
        for (auto action = actions.rbegin(); action != actions.rend(); ++action) {
            if (const auto* restart = std::get_if<action::Restart>(&*action)) return restart->serial;
        }
        return 0;
    }
    std::vector<std::string> records() const {
        std::vector<std::string> kinds;
        for (const Action& action : actions) {
            if (const auto* record = std::get_if<action::Record>(&action)) kinds.push_back(record->kind);
        }
        return kinds;
    }
    std::string alarm(const std::string& kind) const {
        const auto found = machine.alarms().find(kind);
        return found == machine.alarms().end() ? std::string() : found->second;
    }

    MonoTime now = MonoTime{} + 1000s;
    Machine machine;
    ClusterFacts facts;
    std::vector<Action> actions;

  private:
    void take(std::vector<Action> more) {
        for (Action& action : more) actions.push_back(std::move(action));
    }
};

// A replica that has been seen to read in epoch 1.
inline Bench following() {
    Bench bench;
    bench.route(1, "a");
    bench.see(reading(1));
    bench.pass(1s);
    bench.see(reading(2));
    bench.actions.clear();
    return bench;
}

}  // namespace signalbox::channels
