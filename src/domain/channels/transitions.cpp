#include "domain/channels/transitions.hpp"

#include <array>
#include <fmt/format.h>

#include "base/assert.hpp"

namespace signalbox::channels {
namespace {

using S = State;
using C = Condition;

// Within a state the first row that holds is taken: what must not be acted on stands before what acts.
const std::vector<Transition>& replica_table() {
    using enum Step;
    static const std::vector<Transition> table = {
        {S::Waiting, C::WriterKnown, S::Checking, {}, "a writer is routed: does it read from there?"},

        {S::Checking, C::NoWriter, S::Waiting, {}, "nothing to read from"},
        {S::Checking, C::OperatorStopped, S::Stopped, {RecordStopped}, "what an operator stopped stays stopped"},
        {S::Checking, C::UnfitAsConfigured, S::Unfit, {}, "a restart would not lead it to the writer, or blindly"},
        {S::Checking, C::PositionMissing, S::Diverged, {RecordDiverged}, "it has what the writer never had"},
        {S::Checking, C::Reads, S::Following, {RecordResumed}, "it reads, and shows life since the writer moved"},
        {S::Checking, C::RestartDue, S::Restarting, {Restart}, "it would sleep its own retry interval, or for ever"},

        {S::Restarting, C::RestartEnded, S::Checking, {}, "whether it helped, the next look tells"},

        {S::Following, C::NoWriter, S::Waiting, {}, "nothing to read from"},
        {S::Following, C::WriterMoved, S::Checking, {}, "another epoch: prove it again"},
        {S::Following, C::OperatorStopped, S::Stopped, {RecordStopped}, "what an operator stopped stays stopped"},
        {S::Following, C::UnfitAsConfigured, S::Unfit, {}, "somebody configured it anew"},
        {S::Following, C::PositionMissing, S::Diverged, {RecordDiverged}, "it has what the writer never had"},
        {S::Following, C::ReadsNot, S::Checking, {RecordBroken}, "the stream broke"},
        {S::Following, C::Silent, S::Restarting, {RecordHalfDead, Restart}, "connected, and no sign of life"},

        {S::Stopped, C::StoppedNoMore, S::Waiting, {}, "the operator started it again"},

        {S::Diverged, C::NoWriter, S::Waiting, {}, "nothing to compare with"},
        {S::Diverged, C::PositionContained, S::Checking, {}, "it was rebuilt, or the writer has it after all"},

        {S::Unfit, C::FitAgain, S::Waiting, {}, "it was configured anew"},
    };
    return table;
}

const std::vector<Transition>& slot_table() {
    using enum Step;
    static const std::vector<Transition> table = {
        {S::Waiting, C::WriterKnown, S::Checking, {}, "a writer is routed: has it the slot?"},

        {S::Checking, C::NoWriter, S::Waiting, {}, "nobody to ask"},
        {S::Checking, C::SlotMissing, S::Missing, {RecordMissing}, "nothing keeps what its reader still needs"},
        {S::Checking, C::Reads, S::Following, {RecordResumed}, "its reader is there, and answers"},

        {S::Following, C::NoWriter, S::Waiting, {}, "nobody to ask"},
        {S::Following, C::WriterMoved, S::Checking, {}, "another epoch: has that writer the slot?"},
        {S::Following, C::SlotMissing, S::Missing, {RecordMissing}, "somebody dropped it"},
        {S::Following, C::ReadsNot, S::Checking, {RecordBroken}, "its reader went away"},
        {S::Following, C::Silent, S::HalfDead, {RecordHalfDead}, "a reader that is connected and answers nothing"},

        {S::HalfDead, C::NoWriter, S::Waiting, {}, "nobody to ask"},
        {S::HalfDead, C::WriterMoved, S::Checking, {}, "another epoch: has that writer the slot?"},
        {S::HalfDead, C::ReadsNot, S::Checking, {}, "the server gave the reader up, or somebody dropped the slot"},
        {S::HalfDead, C::Alive, S::Following, {RecordResumed}, "it answers again"},

        {S::Missing, C::NoWriter, S::Waiting, {}, "nobody to ask"},
        {S::Missing, C::SlotExists, S::Checking, {RecordBack}, "it is there; whether it is the same, its WAL tells"},
    };
    return table;
}

}  // namespace

std::span<const Transition> transitions(Kind kind) { return kind == Kind::Slot ? slot_table() : replica_table(); }

std::string_view to_string(Kind kind) { return kind == Kind::Slot ? "slot" : "replica"; }

std::string_view to_string(State state) {
    static constexpr std::array<std::string_view, state_count> names = {
        "waiting", "checking", "restarting", "following", "half-dead", "stopped", "diverged", "unfit", "missing"};
    return names.at(static_cast<std::size_t>(state));
}

std::string_view to_string(Condition condition) {
    static constexpr std::array<std::string_view, static_cast<std::size_t>(Condition::SlotExists) + 1> names = {
        "a writer is routed",
        "no writer",
        "the writer moved",
        "reads",
        "reads not",
        "silent",
        "alive",
        "an operator stopped it",
        "stopped no more",
        "position missing in the writer's history",
        "position contained",
        "unfit as configured",
        "fit",
        "restart due",
        "restart ended",
        "slot missing",
        "slot exists"};
    return names.at(static_cast<std::size_t>(condition));
}

std::string_view to_string(Step step) {
    static constexpr std::array<std::string_view, static_cast<std::size_t>(Step::RecordBack) + 1> names = {
        "restart the receiving thread", "record channel-resumed",  "record channel-broken", "record channel-half-dead",
        "record channel-stopped",       "record channel-diverged", "record slot-missing",   "record slot-back"};
    return names.at(static_cast<std::size_t>(step));
}

namespace {

std::string node(State state) {
    std::string name(to_string(state));
    for (char& letter : name) {
        if (letter == '-') letter = '_';
    }
    return name;
}

std::string section(Kind kind, std::string_view title) {
    std::string text = fmt::format("\n## {}\n\n```mermaid\nstateDiagram-v2\n    [*] --> waiting\n", title);
    for (const Transition& row : transitions(kind)) {
        text += fmt::format("    {} --> {}: {}\n", node(row.from), node(row.to), to_string(row.when));
    }
    text += "```\n\n| from | when | to | does | why |\n|---|---|---|---|---|\n";
    for (const Transition& row : transitions(kind)) {
        std::string does;
        for (const Step step : row.steps) does += fmt::format("{}{}", does.empty() ? "" : " → ", to_string(step));
        text += fmt::format("| {} | {} | {} | {} | {} |\n", to_string(row.from), to_string(row.when), to_string(row.to),
                            does, row.why);
    }
    return text;
}

}  // namespace

std::string states_page() {
    return "# States of a channel\n\n"
           "Generated from the transition tables in `src/domain/channels/transitions.cpp`; a test compares the two.\n"
           "`SIGNALBOX_WRITE_DOCS=1` with the test `unit_channels` writes this page anew. Within a state the first "
           "row\n"
           "whose condition holds is taken. An answer that did not come holds no condition: the state stays, and an "
           "alarm\n"
           "says that the channel can't be seen.\n" +
           section(Kind::Replica, "Replicas") + section(Kind::Slot, "Slots");
}

}  // namespace signalbox::channels
