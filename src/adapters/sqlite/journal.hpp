#pragma once
// The journal and the epochs in SQLite.

#include <memory>

#include "adapters/sqlite/database.hpp"
#include "ports/journal.hpp"

namespace signalbox::sqlite {

class JournalStore final : public ports::Journal, public ports::EpochStore {
  public:
    // Makes the tables if they are missing.
    static base::Result<std::unique_ptr<JournalStore>> open(std::shared_ptr<Database> database);

    base::Result<std::int64_t> append(const ports::JournalEntry& entry, ports::Durability durability) override;
    base::Result<std::vector<ports::JournalEntry>> read(const ports::JournalQuery& query) override;

    base::Result<std::optional<ports::EpochRecord>> load(const std::string& cluster) override;
    base::Status store(const std::string& cluster, const ports::EpochRecord& record,
                       const ports::JournalEntry& entry) override;
    base::Status store_position(const std::string& cluster, std::uint64_t epoch, const std::string& position) override;

    // Adds an entry inside a transaction of the caller, for stores that commit a change together with its record.
    base::Status insert(const ports::JournalEntry& entry);

  private:
    explicit JournalStore(std::shared_ptr<Database> database) : database_(std::move(database)) {}

    std::shared_ptr<Database> database_;
};

}  // namespace signalbox::sqlite
