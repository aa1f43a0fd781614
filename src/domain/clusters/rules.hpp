#pragma once
// The guards that make following safe, each with a number, so that a test can take one away and show that something
// then goes wrong. Everybody but tests uses all of them.

#include <cstdint>
#include <string_view>

namespace signalbox::clusters {

enum class Guard : std::uint8_t {
    IntentBeforeFence,      // the intent is durable before the fence
    FenceBarrier,           // every shard has acknowledged the fence
    BarrierOfThisEpoch,     // an older epoch's acknowledgement does not count
    KillBeforeCommit,       // what still runs on the former writer is ended where it answers
    CommitBeforeRoute,      // the epoch is durable as active before traffic goes there
    StoreFailureStops,      // a store that failed ends the switch
    EpochNeverReused,       // an abandoned number is not used again
    CandidateRechecked,     // a candidate that loses belief during the switch ends it
    StartFenced,            // after a restart the writer is proven again
    WithdrawnNeedsEpoch,    // a writer that said read-only comes back with a new epoch only
    HoldWhenUnclear,        // new connections wait when the writer's claim is gone
    Freshness,              // an old answer proves nothing
    StaleSequence,          // an answer that was overtaken is ignored
    EmptyAnswerIsUnknown,   // a partial answer is no evidence
    OwnDelayIsNoMiss,       // our own lag says nothing of a member
    Writable,               // it says that it is writable
    ReplicatesFromNobody,   // it has no replication source
    HistoryContained,       // its history has what was confirmed in the epoch before
    OthersConfirmPosition,  // the continuity position is what others received, not what the writer has
    NewestClaimWins,        // of two that claim only the strictly newer one, else none
    ReaderContradicts,      // a member that receives from another, silent, member speaks against the candidate
    OldClaimEnds,           // a claim from before the epoch is believed again only after it was withdrawn
    OthersAsked,            // every other member was asked and has answered or failed to
    Identity,               // one server under two names is not believed
    SameCluster,            // a member of another cluster is not believed, nor does it speak for or against anybody
    TopologyAgrees,         // the newest topology does not name another writer
    CaughtUpBeforePromote,  // the hook runs only when the target has all that the writer has
    HookIsNoProof,          // a hook that succeeded makes nobody the writer: the target's own answers do
    AnswersSinceHook,       // after a hook whose outcome is unknown only answers to later questions prove a writer
    DiscoveredByAddress,    // only well-formed addresses, and not more than the bound, become members
    DoubtNeedsMiss,         // a writer that answers each probe in time is not doubted, however late it or we are
};
constexpr int guard_count = static_cast<int>(Guard::DoubtNeedsMiss) + 1;
std::string_view to_string(Guard guard);

// Values: copied, compared, never global.
struct Rules {
    std::uint32_t off = 0;  // bit per guard
    bool on(Guard guard) const { return (off >> static_cast<unsigned>(guard) & 1U) == 0; }
    static Rules without(Guard guard) { return Rules{1U << static_cast<unsigned>(guard)}; }
    friend bool operator==(const Rules&, const Rules&) = default;
};
static_assert(guard_count <= 32, "one bit per guard");

}  // namespace signalbox::clusters
