#pragma once
// The transition table of the follower, as data: the machine fires the first row of its state whose condition holds,
// until none does. docs/failover-states.md is generated from it.

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace signalbox::clusters {

enum class State {
    Starting,    // the store's record is not known: held
    Fenced,      // no epoch goes on in this process: held until a writer is proven
    Following,   // the writer of the active epoch is proven and routed
    Unclear,     // its proof has gaps: probing fast, still open
    Holding,     // its claim is gone: new connections wait; the same epoch may go on
    NoWriter,    // it said itself that it is no writer: the epoch will not go on
    Intending,   // the intent of the next epoch is being stored
    Barrier,     // fencing: waiting for every shard
    Killing,     // ending what still runs on the former writer
    Committing,  // the next epoch is being stored as active
};
constexpr int state_count = static_cast<int>(State::Committing) + 1;

// Facts that a row waits for. All are level-triggered: a lost or repeated event can make them late, never wrong.
enum class Condition {
    RecordLoaded,
    RetryDue,
    RecordedWriterProven,  // the store's active epoch is for the member that is proven, and nothing was tried since
    WriterProven,
    OtherProven,
    ActiveProven,
    ActiveWithdrew,
    ActiveClaimGone,
    ActiveUnproven,
    CandidateUnproven,
    IntentStored,
    BarrierAcked,
    KillsDone,
    EpochStored,
    StoreFailed,
};

enum class Step {
    Load,
    Backoff,
    ProbeFast,
    ProbeCalm,
    Hold,
    Resume,  // the store's active epoch goes on
    RouteAgain,
    StoreIntent,
    Fence,
    KillSessions,
    StoreActive,
    EnterEpoch,
    Route,
    Abandon,
    RecordUnclear,
    RecordLost,
    RecordAgain,
};

struct Transition {
    State from;
    Condition when;
    State to;
    std::vector<Step> steps;
    std::string_view why;
};

std::span<const Transition> transitions();
std::string_view to_string(State state);
std::string_view to_string(Condition condition);
std::string_view to_string(Step step);
// The page docs/failover-states.md: a Mermaid state diagram and the table, both from transitions().
std::string states_page();

}  // namespace signalbox::clusters
