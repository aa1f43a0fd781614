#pragma once
// The queue of alarm actions in SQLite.

#include <memory>

#include "adapters/sqlite/database.hpp"
#include "adapters/sqlite/journal.hpp"
#include "ports/alarm_actions.hpp"

namespace signalbox::sqlite {

struct ActionQueueLimits {
    std::size_t pending_max = 10'000;
    // Of ended actions this much is remembered, so that none is queued twice and rates are known.
    base::Duration memory = std::chrono::hours(7 * 24);
    std::size_t remembered_max = 100'000;
};

class ActionQueue final : public ports::ActionQueue {
  public:
    // Makes the table if it is missing.
    static base::Result<std::unique_ptr<ActionQueue>> open(std::shared_ptr<Database> database,
                                                           ActionQueueLimits limits = {});

    // `put` inside a transaction of the caller, on the same database: for the store that commits an alarm's new state
    // together with the actions that it calls for. Full is no error, so that the state is stored all the same.
    base::Result<ports::Queued> insert(const ports::ActionRequest& request, base::WallTime now);

    base::Result<ports::Queued> put(const ports::ActionRequest& request, base::WallTime now) override;
    base::Result<std::vector<ports::PendingAction>> take(const std::string& owner, base::WallTime now,
                                                         base::Duration lease_time, std::size_t limit) override;
    base::Result<bool> begin(const std::string& id, const std::string& owner, base::WallTime now,
                             base::Duration lease_time) override;
    base::Status end(const std::string& id, const std::string& owner, const ports::ActionEnd& end,
                     const std::vector<ports::JournalEntry>& entries) override;
    base::Result<std::vector<base::WallTime>> begun(const std::string& action, base::WallTime since,
                                                    std::size_t limit) override;
    base::Result<std::size_t> pending() override;

  private:
    ActionQueue(std::shared_ptr<Database> database, std::unique_ptr<JournalStore> journal, ActionQueueLimits limits)
        : database_(std::move(database)), journal_(std::move(journal)), limits_(limits) {}
    base::Result<std::int64_t> number(const char* sql);
    base::Status forget(base::WallTime now);

    std::shared_ptr<Database> database_;
    std::unique_ptr<JournalStore> journal_;
    ActionQueueLimits limits_;
};

}  // namespace signalbox::sqlite
