#include "domain/clusters/transitions.hpp"

#include <fmt/format.h>

namespace signalbox::clusters {

std::span<const Transition> transitions() {
    using S = State;
    using C = Condition;
    using enum Step;
    // Within a state the first row that holds is taken: what is more dangerous to overlook stands first.
    static const std::vector<Transition> table = {
        {S::Starting, C::RecordLoaded, S::Fenced, {}, "the record is known; the writer is not proven yet"},
        {S::Starting, C::RetryDue, S::Starting, {Load}, "the store is asked again"},

        {S::Fenced,
         C::RecordedWriterProven,
         S::Following,
         {Resume, Route, ProbeCalm},
         "after a restart the same member in the same epoch: nobody else had our traffic in between"},
        {S::Fenced, C::WriterProven, S::Intending, {StoreIntent}, "a writer is proven: the next epoch"},

        {S::Following,
         C::OtherProven,
         S::Intending,
         {RecordLost, ProbeFast, Hold, StoreIntent},
         "another member's claim is strictly newer"},
        {S::Following, C::ActiveWithdrew, S::NoWriter, {RecordLost, ProbeFast, Hold}, "it says that it is no writer"},
        {S::Following,
         C::ActiveClaimGone,
         S::Holding,
         {RecordUnclear, ProbeFast, Hold},
         "refused, reset, silent, contested or contradicted"},
        {S::Following, C::ActiveUnproven, S::Unclear, {RecordUnclear, ProbeFast}, "its proof has gaps"},
        {S::Following,
         C::SwitchoverAsked,
         S::Draining,
         {BeginSwitchover, ProbeFast, Hold},
         "an operator's wish: new connections wait, running sessions may end"},

        {S::Unclear, C::OtherProven, S::Intending, {RecordLost, Hold, StoreIntent}, "another member is proven"},
        {S::Unclear, C::ActiveWithdrew, S::NoWriter, {RecordLost, Hold}, "it says that it is no writer"},
        {S::Unclear, C::ActiveClaimGone, S::Holding, {Hold}, "refused, reset, silent, contested or contradicted"},
        {S::Unclear, C::ActiveProven, S::Following, {RecordAgain, ProbeCalm}, "proven again"},

        {S::Holding, C::OtherProven, S::Intending, {RecordLost, StoreIntent}, "another member is proven"},
        {S::Holding, C::ActiveWithdrew, S::NoWriter, {RecordLost}, "it says that it is no writer"},
        {S::Holding,
         C::ActiveProven,
         S::Following,
         {RecordAgain, RouteAgain, ProbeCalm},
         "proven again, and it never withdrew: the epoch goes on"},

        {S::NoWriter, C::WriterProven, S::Intending, {StoreIntent}, "a writer is proven, perhaps the same"},

        {S::Intending, C::StoreFailed, S::Starting, {Abandon, Backoff}, "no intent, no switch"},
        {S::Intending, C::IntentStored, S::Barrier, {Fence}, "the intent is durable: fence"},

        {S::Barrier, C::CandidateUnproven, S::Fenced, {Abandon}, "a failover within the failover"},
        {S::Barrier, C::BarrierAcked, S::Killing, {KillSessions}, "no session of an older epoch is left in any shard"},

        {S::Killing, C::CandidateUnproven, S::Fenced, {Abandon}, "a failover within the failover"},
        {S::Killing,
         C::KillsDone,
         S::Committing,
         {StoreActive},
         "ended, or the former writer does not answer, or kill_deadline has passed: traffic-fenced only"},

        {S::Committing, C::StoreFailed, S::Starting, {EndSwitchover, Abandon, Backoff}, "not committed, not routed"},
        {S::Committing, C::EpochStored, S::Following, {EnterEpoch, Route, ProbeCalm}, "the epoch is durable: route"},

        {S::Draining,
         C::OtherProven,
         S::Intending,
         {EndSwitchover, RecordLost, StoreIntent},
         "a failover inside the switchover wins"},
        {S::Draining, C::ActiveWithdrew, S::NoWriter, {EndSwitchover, RecordLost}, "it says that it is no writer"},
        {S::Draining,
         C::ActiveClaimGone,
         S::Holding,
         {EndSwitchover, RecordUnclear},
         "the writer is gone or contested"},
        {S::Draining,
         C::TargetUnfit,
         S::Holding,
         {EndSwitchover},
         "nothing was fenced: back to where it was once the writer is proven, which may be at once"},
        {S::Draining, C::Drained, S::CatchingUp, {AskPositions}, "what still runs is closed by the fence"},

        {S::CatchingUp,
         C::OtherProven,
         S::Intending,
         {EndSwitchover, RecordLost, StoreIntent},
         "a failover inside the switchover wins"},
        {S::CatchingUp, C::ActiveWithdrew, S::NoWriter, {EndSwitchover, RecordLost}, "it says that it is no writer"},
        {S::CatchingUp,
         C::ActiveClaimGone,
         S::Holding,
         {EndSwitchover, RecordUnclear},
         "the writer is gone or contested"},
        {S::CatchingUp,
         C::TargetUnfit,
         S::Holding,
         {EndSwitchover},
         "nothing was fenced: back to where it was once the writer is proven, which may be at once"},
        {S::CatchingUp, C::CaughtUp, S::PlannedIntent, {StoreTargetIntent}, "the target has what the writer had"},
        {S::CatchingUp,
         C::CatchUpLate,
         S::Holding,
         {EndSwitchover},
         "nothing was fenced: back to where it was once the writer is proven, which may be at once"},

        {S::PlannedIntent, C::StoreFailed, S::Starting, {EndSwitchover, Abandon, Backoff}, "no intent, no switch"},
        {S::PlannedIntent, C::IntentStored, S::PlannedBarrier, {Fence}, "the intent is durable: fence"},

        {S::PlannedBarrier,
         C::OtherProven,
         S::Fenced,
         {EndSwitchover, Abandon},
         "a failover inside the switchover wins"},
        {S::PlannedBarrier, C::ActiveWithdrew, S::Fenced, {EndSwitchover, Abandon}, "it says that it is no writer"},
        {S::PlannedBarrier, C::ActiveClaimGone, S::Fenced, {EndSwitchover, Abandon}, "the writer is gone or contested"},
        {S::PlannedBarrier,
         C::TargetUnfit,
         S::Fenced,
         {EndSwitchover, Abandon},
         "the former writer is proven anew, for an epoch of its own"},
        {S::PlannedBarrier, C::BarrierAcked, S::PlannedKilling, {KillSessions}, "no session is left in any shard"},

        {S::PlannedKilling,
         C::OtherProven,
         S::Fenced,
         {EndSwitchover, Abandon},
         "a failover inside the switchover wins"},
        {S::PlannedKilling, C::ActiveWithdrew, S::Fenced, {EndSwitchover, Abandon}, "it says that it is no writer"},
        {S::PlannedKilling, C::ActiveClaimGone, S::Fenced, {EndSwitchover, Abandon}, "the writer is gone or contested"},
        {S::PlannedKilling, C::TargetUnfit, S::Fenced, {EndSwitchover, Abandon}, "the former writer is proven anew"},
        {S::PlannedKilling, C::KillsDone, S::Checking, {AskPositions}, "nothing of ours writes there any more"},

        {S::Checking, C::OtherProven, S::Fenced, {EndSwitchover, Abandon}, "a failover inside the switchover wins"},
        {S::Checking, C::ActiveWithdrew, S::Fenced, {EndSwitchover, Abandon}, "it says that it is no writer"},
        {S::Checking, C::ActiveClaimGone, S::Fenced, {EndSwitchover, Abandon}, "the writer is gone or contested"},
        {S::Checking, C::TargetUnfit, S::Fenced, {EndSwitchover, Abandon}, "the former writer is proven anew"},
        {S::Checking,
         C::CaughtUp,
         S::Promoting,
         {Promote},
         "the target has all that was written: the hook promotes it"},
        {S::Checking, C::CatchUpLate, S::Fenced, {EndSwitchover, Abandon}, "the former writer is proven anew"},

        {S::Promoting, C::CandidateProven, S::Committing, {StoreActive}, "the target is the writer"},
        {S::Promoting, C::NewcomerProven, S::Fenced, {EndSwitchover, Abandon}, "a failover inside the switchover wins"},
        {S::Promoting,
         C::HookFailed,
         S::Fenced,
         {EndSwitchover, Abandon},
         "what it did is not known: held until some writer is proven by answers given since"},
        {S::Promoting,
         C::PromoteLate,
         S::Fenced,
         {EndSwitchover, Abandon},
         "what it did is not known: held until some writer is proven by answers given since"},
    };
    return table;
}

std::string_view to_string(State state) {
    switch (state) {
        case State::Starting:
            return "starting";
        case State::Fenced:
            return "fenced";
        case State::Following:
            return "following";
        case State::Unclear:
            return "unclear";
        case State::Holding:
            return "holding";
        case State::NoWriter:
            return "no-writer";
        case State::Intending:
            return "intending";
        case State::Barrier:
            return "barrier";
        case State::Killing:
            return "killing";
        case State::Committing:
            return "committing";
        case State::Draining:
            return "draining";
        case State::CatchingUp:
            return "catching-up";
        case State::PlannedIntent:
            return "planned-intent";
        case State::PlannedBarrier:
            return "planned-barrier";
        case State::PlannedKilling:
            return "planned-killing";
        case State::Checking:
            return "checking";
        case State::Promoting:
            return "promoting";
    }
    return "?";
}

std::string_view to_string(Condition condition) {
    switch (condition) {
        case Condition::RecordLoaded:
            return "record loaded";
        case Condition::RetryDue:
            return "retry due";
        case Condition::RecordedWriterProven:
            return "recorded writer proven";
        case Condition::WriterProven:
            return "a writer proven";
        case Condition::OtherProven:
            return "another proven";
        case Condition::ActiveProven:
            return "writer proven again";
        case Condition::ActiveWithdrew:
            return "writer withdrew";
        case Condition::ActiveClaimGone:
            return "writer's claim gone";
        case Condition::ActiveUnproven:
            return "writer unproven";
        case Condition::CandidateUnproven:
            return "candidate unproven";
        case Condition::IntentStored:
            return "intent stored";
        case Condition::BarrierAcked:
            return "barrier acknowledged";
        case Condition::KillsDone:
            return "kills done";
        case Condition::EpochStored:
            return "epoch stored";
        case Condition::StoreFailed:
            return "store failed";
        case Condition::SwitchoverAsked:
            return "switchover asked";
        case Condition::TargetUnfit:
            return "target unfit";
        case Condition::Drained:
            return "drained";
        case Condition::CaughtUp:
            return "target caught up";
        case Condition::CatchUpLate:
            return "catching up is late";
        case Condition::CandidateProven:
            return "candidate proven";
        case Condition::NewcomerProven:
            return "a third member proven";
        case Condition::HookFailed:
            return "hook failed";
        case Condition::PromoteLate:
            return "promotion is late";
    }
    return "?";
}

std::string_view to_string(Step step) {
    switch (step) {
        case Step::Load:
            return "load the record";
        case Step::Backoff:
            return "wait, then load again";
        case Step::ProbeFast:
            return "probe fast";
        case Step::ProbeCalm:
            return "probe calmly";
        case Step::Hold:
            return "hold new connections";
        case Step::Resume:
            return "resume the epoch";
        case Step::RouteAgain:
            return "route again";
        case Step::StoreIntent:
            return "store the intent of the next epoch";
        case Step::Fence:
            return "fence";
        case Step::KillSessions:
            return "kill what still runs";
        case Step::StoreActive:
            return "store the epoch as active";
        case Step::EnterEpoch:
            return "enter the epoch";
        case Step::Route:
            return "route";
        case Step::Abandon:
            return "give the epoch's number up";
        case Step::RecordUnclear:
            return "record writer-unclear";
        case Step::RecordLost:
            return "record writer-lost";
        case Step::RecordAgain:
            return "record writer-again";
        case Step::BeginSwitchover:
            return "begin the switchover";
        case Step::AskPositions:
            return "ask for positions anew";
        case Step::StoreTargetIntent:
            return "store the intent of the next epoch for the target";
        case Step::Promote:
            return "run the hook";
        case Step::EndSwitchover:
            return "end the switchover";
    }
    return "?";
}

namespace {
std::string node(State state) {
    std::string name(to_string(state));
    for (char& letter : name) {
        if (letter == '-') letter = '_';
    }
    return name;
}
}  // namespace

std::string states_page() {
    std::string page =
        "# States of the follower\n\n"
        "Generated from the transition table in `src/domain/clusters/transitions.cpp`; a test compares the two.\n"
        "`SIGNALBOX_WRITE_DOCS=1` with the test `unit_clusters` writes this page anew.\n\n"
        "```mermaid\nstateDiagram-v2\n    [*] --> starting\n";
    for (const Transition& row : transitions()) {
        page += fmt::format("    {} --> {}: {}\n", node(row.from), node(row.to), to_string(row.when));
    }
    page +=
        "```\n\nWithin a state the first row whose condition holds is taken.\n\n"
        "| from | when | to | does | why |\n|---|---|---|---|---|\n";
    for (const Transition& row : transitions()) {
        std::string does;
        for (const Step step : row.steps) does += fmt::format("{}{}", does.empty() ? "" : " → ", to_string(step));
        page += fmt::format("| {} | {} | {} | {} | {} |\n", to_string(row.from), to_string(row.when), to_string(row.to),
                            does, row.why);
    }
    return page;
}

}  // namespace signalbox::clusters
