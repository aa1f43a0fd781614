#pragma once
// Runs and the leases on them in SQLite.

#include <memory>
#include <string>

#include "adapters/sqlite/database.hpp"
#include "adapters/sqlite/journal.hpp"
#include "ports/run_store.hpp"

namespace signalbox::sqlite {

// Names this process as an owner of leases: "HOST-BOOT:PID:START". Another process on this host can tell by it whether
// the owner still lives.
std::string lease_owner();
// False only if the owner surely is gone: a name that is not of this form, or of another boot, counts as alive.
bool owner_may_live(const std::string& owner);

class RunStore final : public ports::RunStore {
  public:
    // Makes the tables if they are missing.
    static base::Result<std::unique_ptr<RunStore>> open(std::shared_ptr<Database> database);

    base::Status insert(const jobs::Run& run, const std::vector<ports::JournalEntry>& entries) override;
    base::Status save(jobs::Run& run, const std::vector<ports::JournalEntry>& entries,
                      ports::Durability durability) override;
    base::Result<jobs::Run> load(const std::string& id) override;
    base::Result<std::vector<jobs::Run>> list(const ports::RunQuery& query) override;
    base::Result<bool> acquire(const std::string& thing, const std::string& owner, base::WallTime now,
                               base::Duration time) override;
    base::Status release(const std::string& thing, const std::string& owner) override;

  private:
    RunStore(std::shared_ptr<Database> database, std::unique_ptr<JournalStore> journal)
        : database_(std::move(database)), journal_(std::move(journal)) {}
    base::Status journal(const std::vector<ports::JournalEntry>& entries);

    std::shared_ptr<Database> database_;
    std::unique_ptr<JournalStore> journal_;
};

}  // namespace signalbox::sqlite
