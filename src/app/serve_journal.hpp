#pragma once
// The journal as the daemon uses it: what is recorded is also said in the log.

#include "ports/journal.hpp"

namespace signalbox::app {

// Both outlive it. Safe to use from several threads if they are.
class LoggedJournal final : public ports::Journal, public ports::EpochStore {
  public:
    LoggedJournal(ports::Journal& journal, ports::EpochStore& epochs) : journal_(journal), epochs_(epochs) {}

    base::Result<std::int64_t> append(const ports::JournalEntry& entry, ports::Durability durability) override;
    base::Result<std::vector<ports::JournalEntry>> read(const ports::JournalQuery& query) override;
    base::Result<std::optional<ports::EpochRecord>> load(const std::string& cluster) override;
    base::Status store(const std::string& cluster, const ports::EpochRecord& record,
                       const ports::JournalEntry& entry) override;
    base::Status store_position(const std::string& cluster, std::uint64_t epoch, const std::string& position) override;

  private:
    ports::Journal& journal_;
    ports::EpochStore& epochs_;
};

}  // namespace signalbox::app
