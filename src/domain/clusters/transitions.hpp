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
    // A planned switchover, before it ends in Committing like any other switch.
    Draining,        // new connections wait, running sessions may end by themselves
    CatchingUp,      // until the target has what the writer had when it was asked
    PlannedIntent,   // the intent of the next epoch, for the target, is being stored
    PlannedBarrier,  // fencing
    PlannedKilling,  // ending what still runs on the writer
    Checking,        // the target must have all that the writer has now that nothing of ours runs there
    Promoting,       // the hook runs, or has run: until the target is proven
};
constexpr int state_count = static_cast<int>(State::Promoting) + 1;

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
    SwitchoverAsked,
    TargetUnfit,  // it does not answer, or does not receive from the writer
    Drained,      // no session is left, or `drain` has passed
    CaughtUp,     // the target has what the writer had when it was asked last
    CatchUpLate,  // `catch_up` has passed
    CandidateProven,
    NewcomerProven,  // neither the former writer nor the target
    HookFailed,      // it ended with an error, or was not started: what it did is not known
    PromoteLate,     // `promote` has passed
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
    BeginSwitchover,
    AskPositions,  // answers to questions sent from now on decide whether the target caught up
    StoreTargetIntent,
    Promote,
    EndSwitchover,  // without effect when none is under way
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
