#pragma once
// The transition tables of channels, as data, one per kind: the machine fires the first row of its state whose
// condition holds, until none does. docs/channel-states.md is generated from them.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "domain/channels/config.hpp"

namespace signalbox::channels {

enum class State {
    Waiting,     // nobody is routed: the channel is watched and left alone
    Checking,    // the writer moved, or the stream broke: not proven to read yet
    Restarting,  // its receiving thread is being restarted
    Following,   // it reads from the writer
    HalfDead,    // connected, and no sign of life
    Stopped,     // an operator stopped it
    Diverged,    // it has what the writer's history lacks
    Unfit,       // it can't be followed as it is configured
    Missing,     // the slot does not exist on the writer
};
constexpr int state_count = static_cast<int>(State::Missing) + 1;

// Facts that a row waits for; level-triggered.
enum class Condition {
    WriterKnown,
    NoWriter,
    WriterMoved,      // another epoch than the one that it was last proven in
    Reads,            // running, with a sign of life since the writer moved
    ReadsNot,         // not running, or a slot that nobody reads from
    Silent,           // running, without a sign of life for too long
    Alive,            // the opposite: a sign of life within that time
    OperatorStopped,  // stopped without an error, and not by us
    StoppedNoMore,
    PositionMissing,
    PositionContained,
    UnfitAsConfigured,  // reads from elsewhere than the endpoint, or without GTIDs
    FitAgain,
    RestartDue,  // its position is contained, it does not read, and no back-off holds us
    RestartEnded,
    SlotMissing,
    SlotExists,
};

enum class Step {
    Restart,  // stored, then STOP and START of the receiving thread
    RecordResumed,
    RecordBroken,
    RecordHalfDead,
    RecordStopped,
    RecordDiverged,
    RecordMissing,
    RecordBack,
};

struct Transition {
    State from;
    Condition when;
    State to;
    std::vector<Step> steps;
    std::string_view why;
};

std::span<const Transition> transitions(Kind kind);
std::string_view to_string(State state);
std::string_view to_string(Condition condition);
std::string_view to_string(Step step);
// The page docs/channel-states.md: a Mermaid state diagram and a table per kind, from transitions().
std::string states_page();

}  // namespace signalbox::channels
