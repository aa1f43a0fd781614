#pragma once
// Following one cluster as a machine: what comes in changes facts, the facts fire rows of the transition table, the
// rows say what to do. Pure: no clock, socket or thread; the time is an argument. The table is in transitions.hpp.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "domain/clusters/belief.hpp"
#include "domain/clusters/transitions.hpp"

namespace signalbox::clusters {

// The durable row of a cluster: the highest epoch that was ever intended, for whom, and whether it became active.
struct EpochFacts {
    std::uint64_t epoch = 0;
    std::string member;
    bool active = false;
    std::string position;
    std::string cluster_uid;  // the identity that a proven writer had, empty if its engine has none
    friend bool operator==(const EpochFacts&, const EpochFacts&) = default;
};

// What comes in.
namespace input {
struct Tick {};
// The answer to LoadRecord.
struct Loaded {
    base::Result<std::optional<EpochFacts>> record;
};
struct Observed {
    const Observation* observation;  // borrowed for the call
};
// The answer to StoreIntent or StoreActive of this epoch.
struct Stored {
    std::uint64_t epoch = 0;
    bool active = false;
    base::Status outcome;
};
struct BarrierDone {
    std::uint64_t epoch = 0;
    std::uint64_t sessions_closed = 0;
    std::vector<std::pair<std::string, std::vector<ServerSession>>> server_sessions;  // per member
    std::vector<std::string> unfenced;  // what could not be fenced, one line each
};
struct SessionsKilled {
    std::uint64_t epoch = 0;
    std::string member;
    std::uint64_t killed = 0;
    std::uint64_t failed = 0;
    std::string text;  // why some could not be ended
};
struct TrafficHint {
    std::string member;
    int code = 0;
};
// An operator's wish that may_switch_over() does not refuse; one that it does refuse has no effect.
struct SwitchoverAsked {
    std::string to;
};
// Sessions of the writer endpoints that run now; wanted while wants_sessions().
struct WriterSessions {
    std::uint64_t count = 0;
};
// The answer to Promote.
struct PromoteDone {
    std::uint64_t epoch = 0;
    bool ok = false;
    std::string text;
};
}  // namespace input
using Input =
    std::variant<input::Tick, input::Loaded, input::Observed, input::Stored, input::BarrierDone, input::SessionsKilled,
                 input::TrafficHint, input::SwitchoverAsked, input::WriterSessions, input::PromoteDone>;

// An entry of the journal. Kinds: "start", "member-changed", "writer-unclear", "writer-lost", "writer-again",
// "epoch-intent", "fenced", "sessions-killed", "epoch-active", "routed", "epoch-abandoned", "alarm", "alarm-cleared",
// "reconfigured", "member-added", "member-removed", "switchover" (its `step`: "asked", "drained", "caught-up",
// "promoting", "promoted", "done", "given-up").
struct Record {
    std::string kind;
    std::uint64_t epoch = 0;
    base::json::object data;
};

// What to do, in this order.
namespace action {
struct LoadRecord {};
struct SetCadence {
    std::string member;
    bool fast = false;
};
struct Wake {};
struct Hold {
    std::uint64_t epoch = 0;
};
// Durable, with its journal entry in one transaction; answered by input::Stored.
struct Store {
    EpochFacts facts;
    Record record;
};
struct StorePosition {
    std::uint64_t epoch = 0;
    std::string position;
};
struct Fence {
    std::uint64_t epoch = 0;
};
struct KillSessions {
    std::uint64_t epoch = 0;
    std::string member;
    std::vector<ServerSession> sessions;
};
struct Route {
    std::uint64_t epoch = 0;
    std::string member;
    base::HostPort address;
};
// The members are those of config() now: probe them.
struct Configure {};
// Run the user's program once; answered by input::PromoteDone.
struct Promote {
    std::uint64_t epoch = 0;
    std::string from, to;
    base::HostPort address;
    base::Duration deadline{};
};
}  // namespace action
using Action = std::variant<action::LoadRecord, action::SetCadence, action::Wake, action::Hold, action::Store,
                            action::StorePosition, action::Fence, action::KillSessions, action::Route,
                            action::Configure, action::Promote, Record>;

// A planned switchover under way.
struct Switchover {
    std::string from, to;
    base::MonoTime since{};
    base::MonoTime deadline{};     // of its phase
    bool drained = false;          // no session was left
    base::MonoTime asked_at{};     // answers to questions sent later tell the positions
    std::optional<Position> goal;  // what the writer had by such an answer
    bool hook_started = false;
    std::optional<bool> hook_ok;  // none: it has not said how it ended
    std::string text;             // how it ended, or why not
};
constexpr std::size_t members_max = 64;  // with those that are discovered

class Machine {
  public:
    explicit Machine(ClusterConfig config, Rules rules = {});

    // The first action of a start: hold, probe fast, load the record.
    std::vector<Action> start(base::MonoTime now);
    std::vector<Action> step(const Input& input, base::MonoTime now);
    // Members of the same name and address keep what is known of them; discovered ones stay while `discover` is set and
    // no configured one has their name or address.
    std::vector<Action> reconfigure(ClusterConfig config, base::MonoTime now);
    // Why a switchover to this member can't begin now. Errors: NotSupported (no hook), NotFound, AlreadyExists (it is
    // the writer), Conflict (one is under way, or no epoch goes on undisturbed), Unavailable (the target is not fit).
    base::Status may_switch_over(const std::string& to) const;
    const std::optional<Switchover>& switchover() const { return switchover_; }
    bool wants_sessions() const { return state_ == State::Draining; }
    // The store refused the last StorePosition: it is asked again, at most once per calm interval.
    void position_not_kept() { position_stored_.clear(); }
    // When a Tick is due; in the future of the last call's `now`.
    base::MonoTime next_deadline() const { return due_; }

    const ClusterConfig& config() const { return config_; }  // with the members that were discovered
    bool discovered(const std::string& member) const { return discovered_.contains(member); }
    const Rules& rules() const { return rules_; }
    State state() const { return state_; }
    std::uint64_t epoch() const { return epoch_; }  // active in this process, 0 before the first
    const std::string& writer() const;              // of that epoch while it goes on; empty otherwise
    bool held() const { return held_; }
    const std::vector<MemberView>& members() const { return members_; }
    const Verdict& verdict() const { return verdict_; }
    const Continuity& continuity() const { return continuity_; }
    // Text by kind: "no-writer", "contested", "store", "history:b", "probe:a", …
    const std::map<std::string, std::string>& alarms() const { return alarms_; }
    const std::string& cluster_uid() const { return cluster_uid_; }  // of the last proven writer, perhaps empty
    // Why the cluster is as it is, one line: who is the writer and by what, or what each claim lacks.
    std::string why() const;
    // Why each member is or is not believed, all checks.
    std::vector<std::string> reasons(std::size_t member) const;

  private:
    friend bool holds(Condition condition, const Machine& machine);

    void absorb(const Input& input);
    void absorb_loaded(const input::Loaded& loaded);
    void absorb_observation(const Observation& observation);
    void absorb_barrier(const input::BarrierDone& barrier);
    void absorb_kill(const input::SessionsKilled& killed);
    void absorb_promoted(const input::PromoteDone& promoted);
    void note_goal(std::size_t index);
    void begin_switchover();
    void ask_positions();
    void promote();
    void end_switchover(const Transition& row);
    void switchover_step(std::string_view step, base::json::object data = {});
    base::Status target_fit(std::size_t index) const;
    void discover();
    const std::string& lost_writer() const;
    bool add_member(const std::string& name, base::HostPort address, std::string_view found_in);
    void remove_member(std::size_t index);
    void forget_member(const std::string& name);
    bool hook_open() const { return state_ == State::Promoting; }
    void end_old_claims();
    void watch_strays(std::size_t index);
    void judge();
    void fire();
    void perform(Step step, const Transition& row);
    void store_intent(const std::string& candidate);
    void store_active();
    void store(bool active, Record entry);
    void route_active();
    void enter_epoch();
    void know_cluster();
    void kill_leftovers();
    void hold();
    void record(std::string kind, std::uint64_t epoch, base::json::object data);
    base::json::array all_reasons() const;
    void keep_position();
    void raise(const std::string& kind, bool wanted, const std::string& text);
    void update_alarms();
    void alarm_members();
    void alarm_verdict();
    void plan_tick();

    bool on(Guard guard) const { return rules_.on(guard); }
    std::optional<std::size_t> index_of(const std::string& name) const;
    std::optional<std::size_t> active() const { return index_of(active_name_); }
    std::optional<std::size_t> proven() const { return verdict_.writer; }
    bool active_proven() const;
    bool other_proven() const;
    bool active_withdrew() const;
    bool claim_gone() const;
    bool candidate_proven() const;
    bool kills_done() const;
    bool former_answers(const std::string& name) const;
    bool epoch_goes_on() const;
    bool undoubted() const;
    bool before_hook() const;
    bool switching_over() const;
    bool newcomer_proven() const;
    bool target_unfit() const;
    bool caught_up() const;

    ClusterConfig config_;
    Rules rules_;
    base::MonoTime now_{};
    base::MonoTime due_{};
    std::vector<Action> actions_;

    State state_ = State::Starting;
    std::vector<MemberView> members_;
    Verdict verdict_;
    Continuity continuity_;
    std::string position_stored_;
    std::string position_error_;  // why the store's position could not be read
    std::string cluster_uid_;     // of the last proven writer, empty if its engine has none
    base::MonoTime position_stored_at_{};
    base::MonoTime attentive_since_{};  // we were late ourselves before this

    std::uint64_t highest_ = 0;            // the highest epoch number ever intended or tried
    std::uint64_t routes_epoch_ = 0;       // the newest that the data plane has heard of
    std::uint64_t epoch_ = 0;              // active in this process
    std::string active_name_;              // its member
    base::MonoTime active_since_{};        // when it was routed
    Position epoch_base_;                  // its history when the epoch began
    std::optional<EpochFacts> resumable_;  // the store's active epoch, until a switch was tried
    std::string recorded_member_;          // of the store's record when this process began
    bool record_loaded_ = false;
    base::MonoTime retry_at_{};
    base::Duration backoff_{};
    std::string store_error_;
    bool held_ = false;
    base::MonoTime held_since_{};
    bool former_unknown_ = false;  // sessions of an earlier process may still run somewhere

    // The switch under way.
    std::uint64_t pending_ = 0;
    std::string candidate_;
    enum class StoreState { None, Ok, Failed } stored_ = StoreState::None;
    bool barrier_done_ = false;
    std::set<std::uint64_t> fences_open_;  // of this switch and the abandoned ones before it, not acknowledged yet
    base::MonoTime fence_at_{};
    std::uint64_t sessions_closed_ = 0;
    std::map<std::string, std::set<ServerSession>> leftovers_;  // may still run on servers
    std::set<std::string> kills_open_;
    std::set<std::string> gone_;  // refused since they were last routed to: their connection ids may mean others now
    base::MonoTime kill_deadline_{};
    std::uint64_t killed_ = 0;
    bool traffic_fenced_only_ = false;

    std::map<std::string, std::string> alarms_;
    std::optional<base::MonoTime> contested_since_;
    std::optional<base::MonoTime> unproven_claim_since_;
    std::vector<std::string> unfenced_;  // by the last fence
    std::optional<Switchover> switchover_;
    base::MonoTime not_before_{};                       // answers to older questions prove no writer
    std::map<std::string, base::MonoTime> discovered_;  // when they were last listed, or nobody could list them
    // Own writes of members that are not the writer: what they had when the epoch moved on, and what they should not
    // have written since.
    std::map<std::string, Position> own_seen_;
    std::map<std::string, Position> strays_;
};

}  // namespace signalbox::clusters
