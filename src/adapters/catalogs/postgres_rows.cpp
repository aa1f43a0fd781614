#include <mutex>

#include "adapters/catalogs/sql_catalog.hpp"

namespace signalbox::catalogs {

using base::Error;
using base::ErrorKind;
using base::Result;
using Clock = std::chrono::steady_clock;

namespace {

// One warm connection; questions queue for it, each no longer than its deadline.
class PostgresRows final : public SqlRows {
  public:
    explicit PostgresRows(const SqlConfig& config)
        : params_(config.postgres), schema_(config.schema), timeout_(config.timeout) {}

    Result<std::vector<SqlRow>> select(const std::string& where, const std::vector<std::string>& values) override {
        const auto began = Clock::now();
        const std::unique_lock lock(mutex_, timeout_);
        if (!lock.owns_lock())
            return base::fail(ErrorKind::Timeout, "other questions held the connection for too long");
        // Who waited behind a question that failed would only fail as slowly.
        if (failure_ && failed_at_ > began) return tl::unexpected<Error>(*failure_);
        const bool reused = client_.connected();
        auto rows = ask(where, values, began + timeout_);
        // A connection that ended while it was idle says nothing of the server.
        if (!rows && reused && !client_.connected() && Clock::now() < began + timeout_)
            rows = ask(where, values, began + timeout_);
        failure_.reset();
        if (rows) return rows;
        Error error = std::move(rows.error());
        // A question changes nothing, however it ends.
        if (error.kind == ErrorKind::UnknownOutcome) error.kind = ErrorKind::Timeout;
        if (postgres::sqlstate_text(error.code) == "42501") error.kind = ErrorKind::PermissionDenied;
        failure_ = error;
        failed_at_ = Clock::now();
        return tl::unexpected<Error>(std::move(error));
    }

  private:
    Result<std::vector<SqlRow>> ask(const std::string& where, const std::vector<std::string>& values,
                                    Clock::time_point until) {
        if (!client_.connected()) {
            SB_CHECK(client_.connect(params_, until - Clock::now()));
            std::string settings = "SET default_transaction_read_only = on";
            if (!schema_.empty()) settings += fmt::format("; SET search_path TO {}", identifier(schema_));
            SB_CHECK(client_.query_all(settings, until - Clock::now()));
        }
        // The row as JSON: only newer tables have the column, and only views say VIEW in it.
        std::string sql =
            "SELECT catalog_name, table_namespace, table_name, metadata_location FROM iceberg_tables AS t "
            "WHERE to_jsonb(t) ->> 'iceberg_type' IS DISTINCT FROM 'VIEW'";
        if (!where.empty()) sql += " AND " + bound(where, values);
        SB_TRY(const postgres::ResultSet set, client_.query(sql, until - Clock::now()));
        std::vector<SqlRow> rows;
        rows.reserve(set.rows.size());
        for (const auto& cells : set.rows) {
            rows.push_back(
                {cells[0].value_or(""), cells[1].value_or(""), cells[2].value_or(""), cells[3].value_or("")});
        }
        return rows;
    }

    static std::string identifier(std::string_view name) {
        std::string quoted = "\"";
        for (const char c : name) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
        return quoted + "\"";
    }

    std::string bound(const std::string& where, const std::vector<std::string>& values) const {
        std::string text;
        std::size_t next = 0;
        for (const char c : where) {
            if (c == '?')
                text += client_.quote(values[next++]);
            else
                text += c;
        }
        return text;
    }

    const postgres::ConnectParams params_;
    const std::string schema_;
    const base::Duration timeout_;
    std::timed_mutex mutex_;
    postgres::Client client_;
    std::optional<Error> failure_;
    Clock::time_point failed_at_{};
};

}  // namespace

std::unique_ptr<SqlRows> postgres_rows(const SqlConfig& config) { return std::make_unique<PostgresRows>(config); }

}  // namespace signalbox::catalogs
