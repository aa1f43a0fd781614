#pragma once
// One SQLite file as Results: opened once per process, shared by the stores, safe from several threads and processes.

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <sqlite3.h>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"

namespace signalbox::sqlite {

// A prepared statement. Bind from 1; columns from 0. Lives no longer than its database.
class Statement {
  public:
    explicit Statement(sqlite3_stmt* handle) : handle_(handle, &sqlite3_finalize) {}
    Statement& bind(int index, std::int64_t value);
    Statement& bind(int index, std::string_view value);
    Statement& bind_blob(int index, std::string_view value);
    Statement& bind_time(int index, const std::optional<base::WallTime>& value);  // null without one
    // Ready to be bound and run again.
    void reset();
    // True if there is a row, false when done.
    base::Result<bool> step();
    // Runs a statement without rows.
    base::Status run();
    std::int64_t integer(int column) const;
    std::string text(int column) const;
    std::string blob(int column) const;
    bool is_null(int column) const;

  private:
    std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> handle_;
};

class Database {
  public:
    // Opens or makes the file (its folder must exist), in WAL mode with a busy time-out of 5 s, mode 0600.
    // Errors: Unavailable with the path and SQLite's reason; CorruptData if it is not ours.
    static base::Result<std::shared_ptr<Database>> open(const std::string& path);
    // Another program's file, only to be read: nothing is created, set or changed, and no statement of ours can lock
    // its writer out for longer than it is stepped. Errors: Unavailable, also for a file that is not there.
    static base::Result<std::shared_ptr<Database>> open_to_read(const std::string& path, base::Duration busy_timeout);
    ~Database();
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    base::Result<Statement> prepare(std::string_view sql);
    base::Status execute(const std::string& sql);
    // Runs body inside BEGIN IMMEDIATE … COMMIT, serialised within this process; an error of body rolls back. With
    // full, the commit reaches the disk before this returns (synchronous=FULL), else it may be lost by a crash of the
    // machine.
    base::Status transaction(bool full, const std::function<base::Status()>& body);
    // Holds off transactions of other threads, for reads of several steps.
    std::unique_lock<std::recursive_mutex> lock();
    std::int64_t last_insert_rowid() const;
    const std::string& path() const { return path_; }

  private:
    Database(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
    base::Error error(std::string_view doing) const;

    sqlite3* handle_;
    std::string path_;
    int tries_max_ = 0;  // for a lock, of a file that is only read
    std::recursive_mutex mutex_;
};

}  // namespace signalbox::sqlite
