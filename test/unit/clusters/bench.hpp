#pragma once
// A machine on the bench: probes are given by hand, stores and fences answer at once unless told otherwise.

#include <algorithm>
#include <string>
#include <vector>

#include "domain/clusters/machine.hpp"

namespace signalbox::clusters {

using base::MonoTime;
using namespace std::chrono_literals;

inline ClusterConfig three_members() {
    ClusterConfig config;
    config.name = "orders";
    config.user = "probe";
    config.members = {{"a", {"10.0.0.1", 3306}}, {"b", {"10.0.0.2", 3306}}, {"c", {"10.0.0.3", 3306}}};
    return config;
}

inline Evidence writer(int index, const std::string& state = "0-1-100") {
    Evidence evidence;
    evidence.server_id = static_cast<std::uint64_t>(index) + 1;
    evidence.server_uid = std::string("uid-") + static_cast<char>('a' + index);
    evidence.read_only = evidence.innodb_read_only = false;
    evidence.binlog_state = state;
    return evidence;
}

inline Evidence reader(int index, int source, const std::string& received = "0-1-100", bool running = true) {
    Evidence evidence = writer(index, received);
    evidence.read_only = true;
    evidence.applied = received;
    evidence.sources = {{"", {"10.0.0." + std::to_string(source + 1), 3306}, running, true, received}};
    return evidence;
}

class Bench {
  public:
    explicit Bench(Rules rules = {}, ClusterConfig config = three_members()) : machine(std::move(config), rules) {
        take(machine.start(now));
    }

    void load(std::optional<EpochFacts> facts = {}) { step(input::Loaded{std::move(facts)}); }
    void tell(int member, std::variant<Evidence, ProbeFailure> result) {
        tell_at(member, std::move(result), now - 1ms);
    }
    void tell_at(int member, std::variant<Evidence, ProbeFailure> result, MonoTime sent, std::uint64_t sequence = 0) {
        Observation observation;
        observation.cluster = "orders";
        observation.member = std::string(1, static_cast<char>('a' + member));
        observation.sequence = sequence != 0 ? sequence : ++sequence_;
        observation.sent_at = sent;
        observation.completed_at = now;
        observation.result = std::move(result);
        step(input::Observed{&observation});
    }
    void fail(int member, ProbeFailureKind kind) { tell(member, ProbeFailure{kind, 1, "x"}); }
    void tick(base::Duration later) {
        now += later;
        step(input::Tick{});
    }
    // As a daemon that keeps time: each tick when it is due.
    void pass(base::Duration time) {
        const MonoTime end = now + time;
        while (machine.next_deadline() <= end) {
            now = machine.next_deadline();
            step(input::Tick{});
        }
        now = end;
    }
    void step(const Input& input) { take(machine.step(input, now)); }
    // Everybody answers as a cluster does whose writer is `writing`.
    void calm(int writing, const std::string& state = "0-1-100") {
        now += 10ms;
        for (int i = 0; i < static_cast<int>(machine.members().size()); ++i) {
            if (i != writing) tell(i, reader(i, writing, state));
        }
        tell(writing, clusters::writer(writing, state));
    }

    template <typename T>
    std::vector<T> all() const {
        std::vector<T> found;
        for (const Action& action : actions) {
            if (const T* one = std::get_if<T>(&action)) found.push_back(*one);
        }
        return found;
    }
    bool recorded(const std::string& kind) const {
        const auto records = all<Record>();
        return std::any_of(records.begin(), records.end(), [&](const Record& one) { return one.kind == kind; });
    }
    std::string routed() const {
        const auto routes = all<action::Route>();
        return routes.empty() ? "" : routes.back().member;
    }

    MonoTime now{MonoTime(10s)};
    Machine machine;
    std::vector<Action> actions;  // all so far
    bool store_works = true;
    bool barrier_answers = true;
    input::BarrierDone barrier;  // what a fence answers, its epoch filled in

  private:
    void take(std::vector<Action> taken) {
        for (Action& action : taken) {
            actions.push_back(action);
            if (const auto* store = std::get_if<action::Store>(&action)) {
                base::Status outcome;
                if (!store_works) outcome = base::fail(base::ErrorKind::Unavailable, "no space left");
                step(input::Stored{store->facts.epoch, store->facts.active, outcome});
            } else if (const auto* fence = std::get_if<action::Fence>(&action); fence && barrier_answers) {
                barrier.epoch = fence->epoch;
                step(barrier);
            }
        }
    }
    std::uint64_t sequence_ = 0;
};

}  // namespace signalbox::clusters
