#pragma once
// Who is the writer, from what the members said: a pure function. docs/adr/0001-who-is-believed.md says why the rules
// are as they are.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "domain/clusters/config.hpp"
#include "domain/clusters/evidence.hpp"
#include "domain/clusters/position.hpp"
#include "domain/clusters/rules.hpp"

namespace signalbox::clusters {

struct SourceView {
    std::optional<std::size_t> member;  // of this cluster, by address; none: somebody else
    bool io_running = false;
    Position received;
};

// What is known of one member. Made by observe(), read by believe().
struct MemberView {
    MemberConfig config;
    std::uint64_t sequence = 0;           // of the newest observation that counted
    std::optional<Evidence> evidence;     // the last whole answer
    Position history;                     // binlog state and applied position of that answer
    Position applied;                     // of that answer
    std::vector<SourceView> sources;      // of that answer
    base::MonoTime sent_at{};             // of that answer's probe
    base::MonoTime completed_at{};        // when that answer was whole
    std::optional<ProbeFailure> failure;  // of the newest observation; none if it was an answer
    int misses = 0;                       // time-outs in a row
    bool only_missed = true;              // since that answer, nothing but time-outs
    std::string said;                     // what it said last, for the record of changes
    // Claimed when another member's epoch began, and has not been seen as a reader, nor with anything of the newer
    // writer, since: its claim is the old one, not a new election.
    bool old_claim = false;
    std::string uid_first;  // the installation that answered first; another one is an alarm
    bool foreign = false;   // its last answer has another cluster's identity

    bool claims_writer(const Rules& rules) const;
};

// What must not be lost: the newest position that somebody other than the writer confirmed having received.
struct Continuity {
    Position position;
    base::MonoTime updated_at{};  // completion of the observation that last moved it
};

enum class Check {
    Answers,
    Fresh,
    Writable,
    InnodbWritable,
    ReplicatesFromNobody,
    Identity,
    SameCluster,
    History,
    OldClaimEnds,
    OthersAsked,
    NotContradicted,
    TopologyAgrees,
    Newest,
};
constexpr int check_count = static_cast<int>(Check::Newest) + 1;
struct Finding {
    Check check = Check::Answers;
    bool passed = false;
    std::optional<std::size_t> other;  // the member that speaks against it
    std::string detail;  // of History what is missing, of TopologyAgrees who is named, of SameCluster the uid
    friend bool operator==(const Finding&, const Finding&) = default;
};
// All checks of one member, none hidden by the first that failed; what needs an answer is left out without one.
struct MemberFindings {
    std::vector<Finding> findings;
    bool passed(Check check) const;
    bool all() const;
    friend bool operator==(const MemberFindings&, const MemberFindings&) = default;
};

struct Verdict {
    std::optional<std::size_t> writer;    // the only one who passes every check
    bool contested = false;               // several claim and none is strictly newer
    std::vector<MemberFindings> members;  // as many as there are members
};

struct BeliefContext {
    const Continuity& continuity;
    std::optional<std::size_t> active;  // whom traffic goes to in the active epoch, if that epoch may go on
    ProbeConfig probe;
    Rules rules;
    base::MonoTime not_before{};  // answers to questions that were sent before prove nothing
    bool undoubted = false;       // the active one was proven ever since it was routed, or proven again
};

// The longest time from one word of a member to the time-out that makes it silent, while our own threads keep time.
base::Duration silence_told_within(const ProbeConfig& probe);
// How long an answer proves something: until whatever it is followed by has been told.
base::MonoTime proves_until(const MemberView& member, const ProbeConfig& probe, const Rules& rules);
// How much longer the writer that is not doubted stays proven. A member that does not answer is told by the end of its
// probe; when nothing is told it is we who are late, and that is no gap in the proof before it lasted as long as this.
base::Duration own_lag_max(const ProbeConfig& probe, const Rules& rules);

// An answer's bytes as a view's facts. Answers with a sequence not above the newest one are ignored (false). An answer
// with a malformed position, of another engine than the cluster's, or without a row of the topology that is asked for,
// counts as Incomplete. `members` gives the addresses that sources are matched with.
bool observe(std::vector<MemberView>& members, std::size_t index, const Observation& observation,
             const ClusterConfig& config, const Rules& rules);
// Marks the members whose cluster's identity is not `cluster_uid`; without one, not that of most who answer. With a tie
// all are marked: nobody can tell which is right.
void mark_foreign(std::vector<MemberView>& members, const std::string& cluster_uid, const Rules& rules);
// The member answers: its newest counted observation is an answer, or since its last answer it did nothing but miss,
// less than `misses` times. A miss after an error does not bring back what was said before it.
bool answers(const MemberView& member, int misses);
Verdict believe(const std::vector<MemberView>& members, const BeliefContext& context, base::MonoTime now);
// Moves the position forward by what the observed member received from the active one, or, when the active one itself
// was observed, acknowledges alone and nobody is seen to receive from it, by what it has. True if it moved.
bool confirm(Continuity& continuity, const std::vector<MemberView>& members, std::size_t observed, std::size_t active,
             const Rules& rules);

// The row of the newest stamp that names a writer names this member. Without stamps all rows are as new.
bool names(const TopologyRow& row, const MemberView& member);

// One line for people: "replicates from nobody", "lacks 0-1-100, which was confirmed before".
std::string explain(const Finding& finding, const MemberView& member, const std::vector<MemberView>& members);
std::string_view to_string(Check check);
std::string_view to_string(ProbeFailureKind kind);

}  // namespace signalbox::clusters
