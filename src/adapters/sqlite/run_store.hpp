#pragma once
// Runs, the leases on them and the pauses of jobs in SQLite.

#include <memory>
#include <string>

#include "adapters/sqlite/database.hpp"
#include "adapters/sqlite/journal.hpp"
#include "ports/job_pauses.hpp"
#include "ports/run_store.hpp"

namespace signalbox::sqlite {

// Names this process as an owner of leases: "HOST-BOOT:PID:START". Another process on this host can tell by it whether
// the owner still lives.
std::string lease_owner();
// False only if the owner surely is gone: a name that is not of this form, or of another boot, counts as alive.
bool owner_may_live(const std::string& owner);

class RunStore final : public ports::RunStore, public ports::JobPauses {
  public:
    // Makes the tables if they are missing.
    static base::Result<std::unique_ptr<RunStore>> open(std::shared_ptr<Database> database);

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

    base::Result<ports::JobPause> pause(const ports::JobPause& pause) override;
    base::Result<std::optional<ports::JobPause>> resume(const std::string& job, const std::string& by,
                                                        base::WallTime now, const std::string& only_if_by) override;
    base::Result<std::optional<ports::JobPause>> pause_of(const std::string& job) override;
    base::Result<std::vector<ports::JobPause>> paused() override;

  private:
    RunStore(std::shared_ptr<Database> database, std::unique_ptr<JournalStore> journal)
        : database_(std::move(database)), journal_(std::move(journal)) {}
    base::Status journal(const std::vector<ports::JournalEntry>& entries);
    base::Result<std::optional<ports::Inserted>> known_key(const std::string& job, const ports::IdempotencyKey& key);
    base::Status remember_key(const jobs::Run& run, const ports::IdempotencyKey& key);
    base::Status insert_row(const jobs::Run& run);
    base::Status insert_outcome(const jobs::PlaceOutcome& outcome);
    base::Status keep_nodes(const jobs::Run& run);
    base::Status put_ledger(const ports::LedgerChange& change);

    std::shared_ptr<Database> database_;
    std::unique_ptr<JournalStore> journal_;
};

}  // namespace signalbox::sqlite
