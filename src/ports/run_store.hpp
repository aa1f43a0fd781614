#pragma once
// Where runs are kept, and who may drive one.

#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"
#include "domain/jobs/addresses.hpp"
#include "domain/jobs/breakers.hpp"
#include "domain/jobs/retry.hpp"
#include "domain/jobs/run.hpp"
#include "ports/journal.hpp"

namespace signalbox::ports {

struct RunQuery {
    std::string job{};        // empty: all
    std::string id_prefix{};  // empty: all
    bool active_only = false;
    std::size_t limit = 1000;  // 1–100,000; the newest are returned
};

// A client's own name for a submission: the same key never makes a second run.
struct IdempotencyKey {
    std::string key;          // empty: none
    std::string fingerprint;  // of what was asked for
};
// Keys are remembered for at least a day.
inline constexpr base::Duration key_memory = std::chrono::hours(7 * 24);

struct Inserted {
    std::string id;
    bool created = true;  // false: the key's run was there already, and nothing was stored
};

// What differs in the ledger of addresses after a look at it.
struct LedgerChange {
    std::vector<jobs::AddressRow> put;
    std::vector<std::string> gone;  // tokens
    std::optional<jobs::LingerMemory> memory;
    bool empty() const { return put.empty() && gone.empty() && !memory; }
};
// The ledger as it is stored, and what is known of the nodes of its rows.
struct LedgerState {
    std::vector<jobs::AddressRow> rows;
    jobs::LingerMemory memory;
    std::vector<jobs::NodeSeen> nodes;
};

// What is stored in a run's own transaction, all of it or nothing.
struct Beside {
    std::vector<JournalEntry> entries;
    const jobs::Run* next = nullptr;              // the attempt after it: inserted
    const jobs::PlaceOutcome* outcome = nullptr;  // what its end says of its place
    const LedgerChange* ledger = nullptr;
};

// What a paused job means for a new run of it.
enum class IfPaused { Refuse, Insert };

class RunStore {
  public:
    virtual ~RunStore() = default;
    // Stores a new run with its journal entries, durable before it returns; with a key that is known, nothing.
    // AlreadyExists; Conflict if the key stands for something else that was asked for, or the job is paused
    // (job_pauses.hpp). A run that its key has made before is returned for a paused job as well.
    virtual base::Result<Inserted> insert(const jobs::Run& run, const std::vector<JournalEntry>& entries,
                                          const IdempotencyKey& key, IfPaused if_paused) = 0;
    // Stores the next state of a run together with what stands beside it, and sets run.version to the new one. What is
    // kept of its nodes for the ledger follows the run. Conflict if the stored version is not run.version: somebody
    // else moved it, and nothing must be done by the caller's picture of it.
    virtual base::Status save(jobs::Run& run, const Beside& beside, Durability durability) = 0;
    // Errors: NotFound.
    virtual base::Result<jobs::Run> load(const std::string& id) = 0;
    // Newest first.
    virtual base::Result<std::vector<jobs::Run>> list(const RunQuery& query) = 0;

    // What a decision needs, without reading whole runs.
    // Ids of active runs, those first that were submitted first (a later attempt counts by its first one).
    virtual base::Result<std::vector<std::string>> active() = 0;
    // Ids of active runs of the same job that go before it: those that have started, and those that were submitted
    // earlier and are due.
    virtual base::Result<std::vector<std::string>> ahead_of(const jobs::Run& run, base::WallTime now) = 0;
    // The places of attempts under way.
    virtual base::Result<std::vector<jobs::PlaceUse>> uses() = 0;
    // The newest outcomes since then, in the order of time, at most `limit`.
    virtual base::Result<std::vector<jobs::PlaceOutcome>> outcomes(base::WallTime since, std::size_t limit) = 0;
    virtual base::Result<jobs::RetryHistory> retry_history(const std::string& job, base::WallTime since) = 0;

    // The ledger of addresses. Only the holder of the lease "decide" changes it.
    virtual base::Result<LedgerState> ledger() = 0;
    virtual base::Status save_ledger(const LedgerChange& change) = 0;

    // Takes or renews the lease on a thing (a run's id; "decide") for `owner` until now + time. False if somebody else
    // who is alive holds it. A holder whose process is gone holds nothing.
    virtual base::Result<bool> acquire(const std::string& thing, const std::string& owner, base::WallTime now,
                                       base::Duration time) = 0;
    virtual base::Status release(const std::string& thing, const std::string& owner) = 0;
};

}  // namespace signalbox::ports
