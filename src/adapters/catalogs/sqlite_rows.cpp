#include "adapters/catalogs/sql_catalog.hpp"
#include "adapters/sqlite/database.hpp"

namespace signalbox::catalogs {

using base::Error;
using base::ErrorKind;
using base::Result;

namespace {

constexpr std::size_t rows_max = 2 * ports::TableCatalog::tables_max;

tl::unexpected<Error> failed(Error error) {
    const int code = error.code & 0xFF;
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT) error.kind = ErrorKind::CorruptData;
    if (code == SQLITE_BUSY) error.kind = ErrorKind::Timeout;
    if (code == SQLITE_PERM || code == SQLITE_AUTH) error.kind = ErrorKind::PermissionDenied;
    return tl::unexpected<Error>(std::move(error));
}

class SqliteRows final : public SqlRows {
  public:
    explicit SqliteRows(const SqlConfig& config) : file_(config.sqlite_file), timeout_(config.timeout) {}

    // Opened for each question: a file that was replaced is noticed, and no lock outlives its question.
    Result<std::vector<SqlRow>> select(const std::string& where, const std::vector<std::string>& values) override {
        auto database = sqlite::Database::open_to_read(file_, timeout_);
        if (!database) return failed(database.error());
        auto typed = (*database)->prepare(
            "SELECT COUNT(*) FROM pragma_table_info('iceberg_tables') WHERE name = "
            "'iceberg_type'");
        if (!typed) return failed(typed.error());
        const auto row = typed->step();
        if (!row) return failed(row.error());
        // Iceberg's JDBC catalog, and pyiceberg since 0.9, keep views in the same table.
        const bool views = *row && typed->integer(0) > 0;
        std::string sql = "SELECT catalog_name, table_namespace, table_name, metadata_location FROM iceberg_tables";
        if (!where.empty()) sql += " WHERE " + where;
        if (views)
            sql += fmt::format(" {} (iceberg_type = 'TABLE' OR iceberg_type IS NULL)", where.empty() ? "WHERE" : "AND");
        return rows_of(**database, sql, values);
    }

  private:
    static Result<std::vector<SqlRow>> rows_of(sqlite::Database& database, const std::string& sql,
                                               const std::vector<std::string>& values) {
        auto statement = database.prepare(sql);
        if (!statement) return failed(statement.error());
        for (std::size_t i = 0; i < values.size(); ++i) statement->bind(static_cast<int>(i) + 1, values[i]);
        std::vector<SqlRow> rows;
        for (;;) {
            const auto more = statement->step();
            if (!more) return failed(more.error());
            if (!*more) return rows;
            if (rows.size() == rows_max)
                return base::fail(ErrorKind::CorruptData, "iceberg_tables has more than {} rows", rows_max);
            rows.push_back({statement->text(0), statement->text(1), statement->text(2), statement->text(3)});
        }
    }

    const std::string file_;
    const base::Duration timeout_;
};

}  // namespace

std::unique_ptr<SqlRows> sqlite_rows(const SqlConfig& config) { return std::make_unique<SqliteRows>(config); }

}  // namespace signalbox::catalogs
