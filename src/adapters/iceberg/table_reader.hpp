#pragma once
// ports::TableReader over the files of one table, wherever they lie: lists and manifests as Avro files.

#include "ports/table_files.hpp"
#include "ports/table_reader.hpp"

namespace signalbox::iceberg {

class TableReader : public ports::TableReader {
  public:
    // `files` must outlive it. read() uses up to so many threads; 0 means one per core.
    explicit TableReader(ports::TableFiles& files, unsigned threads = 0) : files_(files), threads_(threads) {}

    base::Result<std::vector<lake::ManifestFile>> manifests(const lake::TableMetadata& metadata,
                                                            const lake::Snapshot& snapshot) override;
    base::Status read(const lake::TableMetadata& metadata, const std::vector<lake::ManifestFile>& manifests,
                      const std::function<base::Status(lake::ManifestAggregate)>& on_aggregate,
                      const std::function<void(const ports::ReadProgress&)>& on_progress) override;
    base::Status read_files(const lake::TableMetadata& metadata, const lake::ManifestFile& manifest,
                            std::vector<lake::LiveFile>& files) override;
    ports::ReadCounters counters() const override { return files_.counters(); }

  private:
    ports::TableFiles& files_;
    unsigned threads_;
};

}  // namespace signalbox::iceberg
