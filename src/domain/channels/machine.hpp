#pragma once
// Decides about one channel: does it read from the writer, has it what the writer has, must its receiving thread be
// restarted, and what must people be told. Pure: facts, observations and time in, actions out.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/json.hpp"
#include "base/time.hpp"
#include "domain/channels/config.hpp"
#include "domain/channels/memory.hpp"
#include "domain/channels/observation.hpp"
#include "domain/channels/transitions.hpp"

namespace signalbox::channels {

// How a restart of the receiving thread ended.
enum class RestartOutcome {
    Done,     // stopped and started
    Refused,  // somebody had stopped it: left alone
    Failed,   // the server refused
    Unknown,  // no answer in time: it may be stopped now
};

namespace input {
struct Tick {};
// `verdict` is about position() and the history in `facts`.
struct Facts {
    ClusterFacts facts;
    Verdict verdict;
};
// `verdict` is about the position that is observed and the history of the last facts.
struct Observed {
    const Observation* observation;
    Verdict verdict;
};
struct RestartEnded {
    std::uint64_t serial = 0;
    RestartOutcome outcome = RestartOutcome::Unknown;
    std::string text;  // of a failure
};
// An operator has taken note of what was lost.
struct Acknowledged {};
}  // namespace input
using Input = std::variant<input::Tick, input::Facts, input::Observed, input::RestartEnded, input::Acknowledged>;

namespace action {
struct SetCadence {
    bool fast = false;
};
struct Wake {};  // look now
struct Restart {
    std::uint64_t serial = 0;
    bool resume = false;  // it is stopped by us, so that it may be started although it is stopped
};
struct Store {
    Memory memory;
    bool durable = false;  // before anything else is done
};
struct Record {
    std::string kind;
    base::json::object data;
};
}  // namespace action
using Action = std::variant<action::SetCadence, action::Wake, action::Restart, action::Store, action::Record>;

class Machine {
  public:
    Machine(ChannelConfig config, Memory memory);

    std::vector<Action> start(base::MonoTime now);
    std::vector<Action> step(const Input& input, base::MonoTime now);
    // When a Tick is due at the latest.
    base::MonoTime next_deadline() const { return due_; }

    const ChannelConfig& config() const { return config_; }
    State state() const { return state_; }
    const Memory& memory() const { return memory_; }
    const ClusterFacts& facts() const { return facts_; }
    // The last whole answer, or nothing; and why the newest probe had none.
    const std::optional<ReplicaStatus>& replica() const { return replica_; }
    const std::optional<SlotStatus>& slot() const { return slot_; }
    const std::optional<Failure>& failure() const { return failure_; }
    base::MonoTime seen_at() const { return seen_at_; }  // when the last whole answer came
    // The position that must be contained in the writer's history; empty: there is none. For a slot "TIMELINE@LSN".
    std::string position() const;
    // Text by kind, "channel-diverged".
    const std::map<std::string, std::string>& alarms() const { return alarms_; }
    // From the route of the epoch's writer to the first proof that the channel reads; nothing before the first.
    std::optional<base::Duration> last_resume() const { return last_resume_; }
    std::uint64_t restarts() const { return restarts_; }
    std::uint64_t resumes() const { return resumes_; }

    // How long a thread that says it is running may show no life after the writer moved.
    static constexpr base::Duration settle = std::chrono::milliseconds(500);
    // For how long a channel is looked at often after the writer moved or the stream broke.
    static constexpr base::Duration fast_for = std::chrono::seconds(15);
    static constexpr base::Duration backoff_min = std::chrono::milliseconds(500);
    static constexpr base::Duration backoff_max = std::chrono::seconds(30);
    // A channel that can't be seen, or does not read, for so long raises an alarm.
    static constexpr base::Duration unseen_after = std::chrono::seconds(3);
    static constexpr base::Duration failed_after = std::chrono::seconds(10);
    static constexpr base::Duration store_interval = std::chrono::seconds(1);

  private:
    void absorb(const Input& input);
    void absorb_facts(const ClusterFacts& facts);
    void absorb_observation(const Observation& observation);
    void absorb_replica(const ReplicaStatus& status, const Observation& observation);
    void absorb_slot(const SlotStatus& status, const Observation& observation);
    void absorb_restart(const input::RestartEnded& ended);
    void compare_with_memory(const SlotStatus& status);
    void settle_former();
    void note_life(base::MonoTime not_before, base::MonoTime seen);
    void find(Finding finding);
    void keep(bool durable);

    bool holds(Condition condition) const;
    bool seen() const { return !failure_ && (replica_ || slot_); }
    bool stopped_by_operator() const;
    bool unfit() const;
    bool running() const;
    bool reads() const;
    bool silent() const;
    bool restart_due() const;
    bool position_missing() const;
    bool first_epoch() const { return facts_.epoch == first_epoch_; }
    base::Duration silence_max() const;

    void fire();
    void perform(Step step);
    void enter(State state);
    void record(std::string kind, base::json::object data);
    void raise(const std::string& kind, const std::optional<std::string>& text);
    void update_alarms();
    void alarm_replica();
    void alarm_slot();
    std::string unfit_text() const;
    void plan();

    ChannelConfig config_;
    Memory memory_;
    base::MonoTime now_{};
    base::MonoTime due_{};
    std::vector<Action> actions_;

    State state_ = State::Waiting;
    base::MonoTime state_since_{};
    base::MonoTime attentive_since_{};  // the last time that something became unclear
    std::optional<bool> fast_;          // the cadence as it was last set

    ClusterFacts facts_;
    Verdict verdict_;
    std::uint64_t proven_epoch_ = 0;  // it was seen to read in this one
    std::uint64_t first_epoch_ = 0;   // of this process: nobody moved the writer to it while we looked
    bool broken_ = false;             // since it was last seen to read
    bool half_dead_ = false;
    std::optional<ReplicaStatus> replica_;
    std::optional<SlotStatus> slot_;
    std::optional<Failure> failure_;
    base::MonoTime sent_at_{};
    base::MonoTime seen_at_{};
    base::MonoTime unseen_since_{};
    base::MonoTime life_not_before_{};          // the newest sign of life came after this
    base::MonoTime life_seen_at_{};             // and was noticed then
    std::optional<base::MonoTime> lags_since_;  // the writer has more, and nothing comes

    std::uint64_t serial_ = 0;
    std::uint64_t serial_ended_ = 0;
    base::MonoTime restart_ended_{};
    base::MonoTime retry_at_{};
    base::Duration backoff_ = backoff_min;
    std::string restart_text_;       // why the last restart failed
    std::uint64_t fatal_epoch_ = 0;  // a thread that ended with an error of its own was restarted in this epoch

    // The slot's last state under the former timeline, until the writer's history has told whether it is part of it.
    struct Former {
        std::uint64_t timeline = 0;
        std::uint64_t confirmed_lsn = 0;
    };
    std::optional<Former> former_;
    std::uint64_t compared_timeline_ = 0;  // the timeline on which the former one was looked up
    base::MonoTime stored_at_{};
    bool unstored_ = false;

    std::map<std::string, std::string> alarms_;
    std::optional<base::Duration> last_resume_;
    std::uint64_t restarts_ = 0;
    std::uint64_t resumes_ = 0;
};

}  // namespace signalbox::channels
