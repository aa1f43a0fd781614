#pragma once
// An Iceberg table in memory that commits as writers do, for tests of whoever reads it.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "domain/lake/aggregate.hpp"
#include "ports/table_reader.hpp"

namespace signalbox::test {

struct FakeFile {
    std::string path;
    std::int64_t records = 0;
    std::int64_t size_bytes = 0;
    std::int64_t day = 0;
};

class FakeTable final : public ports::TableReader {
  public:
    FakeTable();

    // Each is a commit on main that returns its snapshot's id.
    std::int64_t append(int files, std::int64_t records_each = 10);
    // Two files of the first manifest become one.
    std::int64_t compact();
    // The next commit's summary says something else than it did.
    void lie_next() { lie_ = true; }
    // Main goes back to that snapshot.
    void rollback(std::int64_t snapshot_id);
    std::int64_t append_on_branch(const std::string& branch, int files);
    void expire(std::int64_t snapshot_id);
    // Dropped and made anew under its name: without a snapshot.
    void recreate();
    // As while its files are still being copied.
    void lose_list(std::int64_t snapshot_id) { lists_.erase(snapshot_id); }
    // The clock of the writers from now on.
    void set_clock_ms(std::int64_t clock_ms) { clock_ms_ = clock_ms; }

    const lake::TableMetadata& metadata() const { return metadata_; }
    std::string location() const { return "metadata/" + std::to_string(version_) + ".json"; }

    // The n-th call from now on fails once; 0: none does.
    void fail_at(int call) {
        calls_ = 0;
        fail_at_ = call;
    }
    int calls() const { return calls_; }
    std::size_t manifests_read() const { return manifests_read_; }

    base::Result<std::vector<lake::ManifestFile>> manifests(const lake::TableMetadata& metadata,
                                                            const lake::Snapshot& snapshot) override;
    base::Status read(const lake::TableMetadata& metadata, const std::vector<lake::ManifestFile>& manifests,
                      const std::function<base::Status(lake::ManifestAggregate)>& on_aggregate,
                      const std::function<void(const ports::ReadProgress&)>& on_progress) override;
    base::Status read_files(const lake::TableMetadata& metadata, const lake::ManifestFile& manifest,
                            std::vector<lake::LiveFile>& files) override;
    ports::ReadCounters counters() const override { return counters_; }

  private:
    struct Entry {
        lake::EntryStatus status = lake::EntryStatus::Added;
        FakeFile file;
    };
    using Manifests = std::vector<lake::ManifestFile>;
    lake::ManifestFile write_manifest(std::vector<Entry> entries, std::int64_t snapshot_id);
    std::int64_t commit(Manifests manifests, std::int64_t snapshot_id, std::string operation,
                        std::optional<std::int64_t> parent,
                        const std::map<std::string, std::string, std::less<>>& summary);
    std::vector<Entry> new_files(int count, std::int64_t records_each);
    base::Status call(std::string_view what);
    std::optional<std::int64_t> head(const std::string& branch) const;

    lake::TableMetadata metadata_;
    std::map<std::int64_t, Manifests> lists_;
    std::map<std::string, std::vector<Entry>> contents_;
    std::int64_t next_id_ = 1000;
    std::int64_t next_file_ = 0;
    std::int64_t clock_ms_ = 1'790'000'000'000;
    int version_ = 0;
    bool lie_ = false;
    int calls_ = 0;
    int fail_at_ = 0;
    std::size_t manifests_read_ = 0;
    ports::ReadCounters counters_;
};

}  // namespace signalbox::test
