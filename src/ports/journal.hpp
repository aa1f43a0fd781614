#pragma once
// The journal: the append-only record of observations that changed a decision, decisions with their reasons, and
// outcomes.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/time.hpp"

namespace signalbox::ports {

struct JournalEntry {
    std::int64_t sequence = 0;  // given by the journal; grows by at least one
    base::WallTime at{};
    std::string kind;         // "epoch-intent", "epoch-active", "member-changed", "run-intent", "alarm", …
    std::string subject;      // the cluster, job or table that it is about
    std::uint64_t epoch = 0;  // 0: none
    std::string run;          // the run's id, or empty
    base::json::object data;
};

enum class Durability {
    Relaxed,  // survives a crash of the program
    Full,     // survives a crash of the machine before append() returns: epochs and intents
};

struct JournalQuery {
    std::string subject;       // empty: all
    std::string kind;          // empty: all
    std::string run;           // empty: all
    std::int64_t after = 0;    // only entries with a larger sequence
    std::size_t limit = 1000;  // 1–100,000
    bool newest_first = false;
    std::optional<base::WallTime> until{};  // only entries of this time or before
};

class Journal {
  public:
    virtual ~Journal() = default;
    // Returns the sequence. Errors (a full disk…) mean that nothing was recorded: the caller must not act on it.
    virtual base::Result<std::int64_t> append(const JournalEntry& entry, Durability durability) = 0;
    virtual base::Result<std::vector<JournalEntry>> read(const JournalQuery& query) = 0;
};

// What is known of a cluster's epochs, kept apart from the journal so that a restart needs one row.
struct EpochRecord {
    std::uint64_t epoch = 0;       // the highest that was ever intended
    std::string member;            // whom it is for
    bool active = false;           // committed; false: intended only
    std::string position;          // the continuity position to contain (per engine), empty if none
    std::string cluster_uid = {};  // the identity that a proven writer had, empty if its engine has none
};

class EpochStore {
  public:
    virtual ~EpochStore() = default;
    virtual base::Result<std::optional<EpochRecord>> load(const std::string& cluster) = 0;
    // Durable before it returns, together with its journal entry, in one transaction. Conflict if a higher epoch, or
    // the same one for another member, is stored already: some other process decided.
    virtual base::Status store(const std::string& cluster, const EpochRecord& record, const JournalEntry& entry) = 0;
    // Remembers the newest continuity position of the active epoch.
    virtual base::Status store_position(const std::string& cluster, std::uint64_t epoch,
                                        const std::string& position) = 0;
};

}  // namespace signalbox::ports
