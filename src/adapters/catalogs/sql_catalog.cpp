#include "adapters/catalogs/sql_catalog.hpp"

#include <map>

namespace signalbox::catalogs {

using base::ErrorKind;
using base::fail;
using base::Result;
using ports::TableListing;
using ports::TableVersion;

namespace {

std::string full_name(const SqlRow& row) {
    return row.space.empty() ? row.table : fmt::format("{}.{}", row.space, row.table);
}

// Rows of two catalogs in one table must not be mixed.
base::Status check_one_owner(const std::vector<SqlRow>& rows, const std::string& catalog) {
    for (const SqlRow& row : rows) {
        if (row.owner == rows.front().owner) continue;
        return fail(ErrorKind::InvalidConfig,
                    "catalog '{}': iceberg_tables holds the catalogs '{}' and '{}' (column catalog_name): say which by "
                    "`owner`",
                    catalog, rows.front().owner, row.owner);
    }
    return {};
}

}  // namespace

SqlCatalog::SqlCatalog(SqlConfig config)
    : config_(std::move(config)),
      rows_(config_.sqlite_file.empty() ? postgres_rows(config_) : sqlite_rows(config_)),
      tables_(config_.allow_outside) {}

SqlCatalog::~SqlCatalog() = default;

ports::ReadCounters SqlCatalog::counters() const {
    ports::ReadCounters counters{requests_, bytes_};
    counters += tables_.counters();
    return counters;
}

Result<std::vector<SqlRow>> SqlCatalog::select(const std::string& where, std::vector<std::string> values) {
    std::string condition = where;
    if (!config_.owner.empty()) {
        condition += condition.empty() ? "catalog_name = ?" : " AND catalog_name = ?";
        values.push_back(config_.owner);
    }
    ++requests_;
    auto rows = rows_->select(condition, values);
    if (!rows) return base::in_context(rows.error(), fmt::format("catalog '{}'", config_.name));
    for (const SqlRow& row : *rows)
        bytes_ += row.owner.size() + row.space.size() + row.table.size() + row.metadata_location.size();
    SB_CHECK(check_one_owner(*rows, config_.name));
    return rows;
}

Result<TableListing> SqlCatalog::list() {
    SB_TRY(const std::vector<SqlRow> rows, select("", {}));
    std::map<std::string, const SqlRow*> found;
    TableListing listing;
    for (const SqlRow& row : rows) {
        const std::string table = full_name(row);
        if (!config_.filter.passes(table)) continue;
        const auto [known, fresh] = found.emplace(table, &row);
        if (!fresh) {
            listing.faults.push_back(
                fmt::format("table '{}' in namespace '{}' and table '{}' in '{}' are both named "
                            "'{}'; neither can be told from the other",
                            row.table, row.space, known->second->table, known->second->space, table));
        }
    }
    if (found.size() > tables_max) {
        return fail(ErrorKind::CorruptData,
                    "catalog '{}': holds {} tables, more than {}: narrow it with include or exclude", config_.name,
                    found.size(), tables_max);
    }
    for (const auto& [table, row] : found) listing.tables.push_back({config_.name, table, row->metadata_location});
    return listing;
}

// The last dot parts namespace and table, but for a table's name that has dots itself.
Result<std::vector<SqlRow>> SqlCatalog::rows_named(const std::string& table) {
    const std::size_t dot = table.rfind('.');
    const std::string space = dot == std::string::npos ? std::string() : table.substr(0, dot);
    const std::string last = dot == std::string::npos ? table : table.substr(dot + 1);
    auto rows = select("table_namespace = ? AND table_name = ?", {space, last});
    if (!rows || !rows->empty() || dot == std::string::npos) return rows;
    return select("table_namespace || '.' || table_name = ?", {table});
}

Result<TableVersion> SqlCatalog::look(const std::string& table, const TableVersion& known) {
    SB_TRY(const std::vector<SqlRow> rows, rows_named(table));
    if (rows.empty()) return fail(ErrorKind::NotFound, "catalog '{}' has no table '{}'", config_.name, table);
    if (rows.size() > 1)
        return fail(ErrorKind::CorruptData, "catalog '{}': {} tables are named '{}'", config_.name, rows.size(), table);
    TableVersion version;
    version.metadata_location = rows.front().metadata_location;
    if (version.metadata_location.empty()) {
        return fail(ErrorKind::CorruptData, "catalog '{}': the row of '{}' has no metadata_location", config_.name,
                    table);
    }
    version.unchanged = version.metadata_location == known.metadata_location;
    return version;
}

Result<ports::TableMetadataText> SqlCatalog::metadata(const std::string&, const TableVersion& version) {
    return tables_.metadata(version.metadata_location);
}

Result<std::unique_ptr<ports::TableFiles>> SqlCatalog::files(const TableVersion&, const std::string& location) {
    return tables_.files(location);
}

}  // namespace signalbox::catalogs
