#pragma once
// Tables, their aggregates, commits and alarms' memories in SQLite.

#include <memory>

#include "adapters/sqlite/action_queue.hpp"
#include "adapters/sqlite/database.hpp"
#include "adapters/sqlite/journal.hpp"
#include "ports/lake_store.hpp"

namespace signalbox::sqlite {

class LakeStore final : public ports::LakeStore {
  public:
    // Makes the tables if they are missing.
    static base::Result<std::unique_ptr<LakeStore>> open(std::shared_ptr<Database> database);

    base::Result<std::optional<ports::TableRecord>> load(const std::string& table) override;
    base::Result<std::vector<ports::TableRecord>> list() override;
    base::Result<lake::TableState> state(const std::string& table) override;
    base::Result<std::vector<lake::ManifestAggregate>> aggregates(const std::string& table,
                                                                  const std::vector<lake::ManifestKey>& keys) override;
    base::Status save(ports::TableRecord& record, const ports::TableChange& change) override;
    base::Status forget(const std::string& table) override;
    base::Result<std::vector<ports::CommitRecord>> commits(const ports::CommitQuery& query) override;
    base::Result<std::vector<ports::AlarmRecord>> alarms(const std::string& table) override;
    base::Result<base::json::array> silences() override;
    base::Status save_silences(const base::json::array& silences, const ports::JournalEntry& entry) override;
    base::Result<std::optional<std::int64_t>> sink_position(const std::string& sink) override;
    base::Status save_sink_position(const std::string& sink, std::int64_t sequence) override;

    // Commits of a table that are kept; the oldest go first.
    static constexpr std::int64_t commits_kept = 20'000;
    // Aggregates of manifests that are gone stay for so many reports, for a rollback.
    static constexpr std::int64_t gone_kept = 100;

  private:
    LakeStore(std::shared_ptr<Database> database, std::unique_ptr<JournalStore> journal,
              std::unique_ptr<ActionQueue> actions)
        : database_(std::move(database)), journal_(std::move(journal)), actions_(std::move(actions)) {}
    base::Result<std::int64_t> id_of(const std::string& table);
    base::Result<std::int64_t> store_record(ports::TableRecord& record, const ports::TableChange& change);
    base::Status store_manifests(std::int64_t table, std::int64_t version, const ports::TableChange& change);
    base::Status store_partitions(std::int64_t table, const ports::TableChange& change);
    base::Status store_reports(const ports::TableRecord& record, const ports::TableChange& change);

    std::shared_ptr<Database> database_;
    std::unique_ptr<JournalStore> journal_;
    std::unique_ptr<ActionQueue> actions_;
};

}  // namespace signalbox::sqlite
