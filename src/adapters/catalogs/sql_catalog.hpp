#pragma once
// A SQL catalog: the table `iceberg_tables` that pyiceberg's SqlCatalog and Iceberg's JDBC catalog keep, in SQLite or
// PostgreSQL. Only reads.

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "adapters/catalogs/uri_tables.hpp"
#include "adapters/postgres/client.hpp"
#include "base/time.hpp"
#include "domain/lake/name_filter.hpp"
#include "ports/table_catalog.hpp"

namespace signalbox::catalogs {

struct SqlConfig {
    std::string name;         // of the catalog, here
    std::string sqlite_file;  // or, if empty, `postgres`
    postgres::ConnectParams postgres;
    std::string schema;  // PostgreSQL: of the table; empty: as the search path has it
    std::string owner;   // the column catalog_name; empty: the only one that there is
    bool allow_outside = false;
    base::Duration timeout = std::chrono::seconds(10);
    lake::NameFilter filter;
};

// One table's row.
struct SqlRow {
    std::string owner;
    std::string space;  // the namespace, "a.b"; may be empty
    std::string table;
    std::string metadata_location;
};

// A database that answers questions about rows of iceberg_tables.
class SqlRows {
  public:
    virtual ~SqlRows() = default;
    // `where` is a condition in which each '?' stands for the next value; empty: all rows. Views are left out.
    virtual base::Result<std::vector<SqlRow>> select(const std::string& where,
                                                     const std::vector<std::string>& values) = 0;
};

std::unique_ptr<SqlRows> sqlite_rows(const SqlConfig& config);
std::unique_ptr<SqlRows> postgres_rows(const SqlConfig& config);

class SqlCatalog final : public ports::TableCatalog {
  public:
    explicit SqlCatalog(SqlConfig config);
    ~SqlCatalog() override;

    const std::string& name() const override { return config_.name; }
    base::Result<ports::TableListing> list() override;
    // Unchanged: the row names the same metadata file.
    base::Result<ports::TableVersion> look(const std::string& table, const ports::TableVersion& known) override;
    base::Result<ports::TableMetadataText> metadata(const std::string& table,
                                                    const ports::TableVersion& version) override;
    base::Result<std::unique_ptr<ports::TableFiles>> files(const ports::TableVersion& version,
                                                           const std::string& location) override;
    ports::ReadCounters counters() const override;

  private:
    base::Result<std::vector<SqlRow>> rows_named(const std::string& table);
    base::Result<std::vector<SqlRow>> select(const std::string& where, std::vector<std::string> values);

    const SqlConfig config_;
    const std::unique_ptr<SqlRows> rows_;
    UriTables tables_;
    std::atomic<std::uint64_t> requests_{0};
    std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace signalbox::catalogs
