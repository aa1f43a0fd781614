#include "adapters/sqlite/database.hpp"

#include <cerrno>
#include <sys/stat.h>

namespace signalbox::sqlite {
namespace {

using base::Error;
using base::ErrorKind;

constexpr int busy_timeout_ms = 5000;
constexpr int read_pause_ms = 2;
// "SBox": says that a file is ours.
constexpr int application_id = 0x53426F78;

}  // namespace

Statement& Statement::bind(int index, std::int64_t value) {
    sqlite3_bind_int64(handle_.get(), index, value);
    return *this;
}

Statement& Statement::bind(int index, std::string_view value) {
    sqlite3_bind_text64(handle_.get(), index, value.data(), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    return *this;
}

Statement& Statement::bind_blob(int index, std::string_view value) {
    sqlite3_bind_blob64(handle_.get(), index, value.data(), value.size(), SQLITE_TRANSIENT);
    return *this;
}

Statement& Statement::bind_time(int index, const std::optional<base::WallTime>& value) {
    if (value) return bind(index, value->time_since_epoch().count());
    sqlite3_bind_null(handle_.get(), index);
    return *this;
}

void Statement::reset() { sqlite3_reset(handle_.get()); }

base::Result<bool> Statement::step() {
    const int code = sqlite3_step(handle_.get());
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    sqlite3* database = sqlite3_db_handle(handle_.get());
    const char* file = sqlite3_db_filename(database, "main");
    return tl::unexpected<Error>(Error{ErrorKind::Unavailable,
                                       fmt::format("the store refused: {}", sqlite3_errmsg(database)),
                                       file == nullptr ? "" : file, code});
}

base::Status Statement::run() {
    for (;;) {
        SB_TRY(const bool row, step());
        if (!row) return {};
    }
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(handle_.get(), column); }

std::string Statement::text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(handle_.get(), column));
    return bytes == nullptr ? std::string()
                            : std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column)));
}

std::string Statement::blob(int column) const {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(handle_.get(), column));
    return bytes == nullptr ? std::string()
                            : std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column)));
}

bool Statement::is_null(int column) const { return sqlite3_column_type(handle_.get(), column) == SQLITE_NULL; }

Error Database::error(std::string_view doing) const {
    const int code = sqlite3_extended_errcode(handle_);
    const bool corrupt = (code & 0xFF) == SQLITE_NOTADB || (code & 0xFF) == SQLITE_CORRUPT;
    return Error{corrupt ? ErrorKind::CorruptData : ErrorKind::Unavailable,
                 fmt::format("the store could not {}: {}", doing, sqlite3_errmsg(handle_)), path_, code};
}

base::Result<std::shared_ptr<Database>> Database::open(const std::string& path) {
    const mode_t old_mask = umask(0077);
    sqlite3* handle = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &handle,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, nullptr);
    std::shared_ptr<Database> database(new Database(handle, path));
    if (code != SQLITE_OK) {
        umask(old_mask);
        return tl::unexpected<Error>(database->error("be opened"));
    }
    sqlite3_busy_timeout(handle, busy_timeout_ms);
    auto status = database->execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;");
    umask(old_mask);
    SB_CHECK(status);
    std::int64_t id = 0;
    {
        // Ended before anything is written: a statement that still reads would keep its snapshot, and with a snapshot
        // that another process has overtaken no write can succeed.
        SB_TRY(auto found, database->prepare("PRAGMA application_id"));
        SB_TRY(const bool row, found.step());
        if (row) id = found.integer(0);
    }
    if (id != 0 && id != application_id) {
        return tl::unexpected<Error>(
            Error{ErrorKind::CorruptData, "this SQLite file belongs to another program", path, 0});
    }
    if (id == 0) SB_CHECK(database->execute(fmt::format("PRAGMA application_id={}", application_id)));
    return database;
}

base::Result<std::shared_ptr<Database>> Database::open_to_read(const std::string& path, base::Duration busy_timeout) {
    sqlite3* handle = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_FULLMUTEX, nullptr);
    std::shared_ptr<Database> database(new Database(handle, path));
    if (code != SQLITE_OK) return tl::unexpected<Error>(database->error("be opened"));
    // SQLite's own waits grow to 100 ms, which a busy writer leaves no gap for.
    database->tries_max_ = static_cast<int>(base::to_ms(busy_timeout)) / read_pause_ms;
    const auto wait = [](void* tries_max, int tries) {
        if (tries >= *static_cast<int*>(tries_max)) return 0;
        sqlite3_sleep(read_pause_ms);
        return 1;
    };
    sqlite3_busy_handler(handle, wait, &database->tries_max_);
    return database;
}

Database::~Database() { sqlite3_close_v2(handle_); }

base::Result<Statement> Database::prepare(std::string_view sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(handle_, sql.data(), static_cast<int>(sql.size()), &statement, nullptr) != SQLITE_OK) {
        return tl::unexpected<Error>(error("prepare a statement"));
    }
    return Statement(statement);
}

base::Status Database::execute(const std::string& sql) {
    // The busy time-out does not cover everything: a change of the journal mode, and a statement whose snapshot another
    // process has overtaken, are refused at once.
    constexpr int pause_ms = 10;
    for (int waited_ms = 0;; waited_ms += pause_ms) {
        const int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
        if (code == SQLITE_OK) return {};
        const bool in_transaction = sqlite3_get_autocommit(handle_) == 0;
        if ((code & 0xFF) != SQLITE_BUSY || in_transaction || waited_ms >= busy_timeout_ms)
            return tl::unexpected<Error>(error("run a statement"));
        sqlite3_sleep(pause_ms);
    }
}

base::Status Database::transaction(bool full, const std::function<base::Status()>& body) {
    const std::lock_guard guard(mutex_);
    // SQLite ignores a change of `synchronous` inside a transaction, so it is set before.
    SB_CHECK(execute(full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
    SB_CHECK(execute("BEGIN IMMEDIATE"));
    if (auto status = body(); !status) {
        // The first error is the one worth telling; a rollback that fails too leaves nothing behind either.
        [[maybe_unused]] const auto rolled_back = execute("ROLLBACK");
        return status;
    }
    auto status = execute("COMMIT");
    if (!status) {
        [[maybe_unused]] const auto rolled_back = execute("ROLLBACK");
    }
    return status;
}

std::unique_lock<std::recursive_mutex> Database::lock() { return std::unique_lock(mutex_); }

std::int64_t Database::last_insert_rowid() const { return sqlite3_last_insert_rowid(handle_); }

}  // namespace signalbox::sqlite
