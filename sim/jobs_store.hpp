#pragma once
// The store of the simulated world of job runs: the port's contract in memory, which looks at every change that is
// asked of it and says what must never be stored.

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "ports/run_store.hpp"

namespace signalbox::sim {

// The process that made the call is gone: thrown out of a port, caught by the world.
struct Crash {};

// Where a call can go wrong: before it has an effect, and after it. Throws Crash; false: the call fails.
using FaultPoint = std::function<bool(const char* call, bool after)>;

class JobStore final : public ports::RunStore {
  public:
    explicit JobStore(FaultPoint fault) : fault_(std::move(fault)) {}

    base::Result<ports::Inserted> insert(const jobs::Run& run, const std::vector<ports::JournalEntry>& entries,
                                         const ports::IdempotencyKey& key, ports::IfPaused if_paused) override;
    base::Status save(jobs::Run& run, const ports::Beside& beside, ports::Durability durability) override;
    base::Result<jobs::Run> load(const std::string& id) override;
    base::Result<std::vector<jobs::Run>> list(const ports::RunQuery& query) override;
    base::Result<std::vector<std::string>> active() override;
    base::Result<std::vector<std::string>> ahead_of(const jobs::Run& run, base::WallTime now) override;
    base::Result<std::vector<jobs::PlaceUse>> uses() override;
    base::Result<std::vector<jobs::PlaceOutcome>> outcomes(base::WallTime since, std::size_t limit) override;
    base::Result<jobs::RetryHistory> retry_history(const std::string& job, base::WallTime since) override;
    base::Result<ports::LedgerState> ledger() override;
    base::Status save_ledger(const ports::LedgerChange& change) override;
    base::Result<bool> acquire(const std::string& thing, const std::string& owner, base::WallTime now,
                               base::Duration time) override;
    base::Status release(const std::string& thing, const std::string& owner) override;

    // A dead process holds no lease.
    void bury(const std::string& owner);
    const std::map<std::string, jobs::Run>& runs() const { return runs_; }
    const std::vector<ports::JournalEntry>& journal() const { return journal_; }
    // The first change that must never be; empty if there was none.
    const std::string& violation() const { return violation_; }
    // Called with what a run was and what it becomes.
    std::function<void(const jobs::Run& before, const jobs::Run& after)> on_save;

  private:
    base::Status failed(const char* call) const;
    void judge(const jobs::Run& before, const jobs::Run& after, const ports::Beside& beside);
    void put(const ports::LedgerChange& change);
    void note(const std::string& text) {
        if (violation_.empty()) violation_ = text;
    }

    struct Lease {
        std::string owner;
        base::WallTime until{};
    };
    FaultPoint fault_;
    std::map<std::string, jobs::Run> runs_;
    std::map<std::string, std::pair<std::string, std::string>> keys_;  // job/key → run, fingerprint
    std::map<std::string, jobs::AddressRow> ledger_;
    jobs::LingerMemory memory_;
    std::vector<jobs::PlaceOutcome> outcomes_;
    std::vector<ports::JournalEntry> journal_;
    std::map<std::string, Lease> leases_;
    std::string violation_;
};

}  // namespace signalbox::sim
