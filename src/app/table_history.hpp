#pragma once
// The commits of a table for a command: from the store by name, or worked out from the table at a path.

#include <string>
#include <vector>

#include "app/table_book.hpp"
#include "app/table_source.hpp"

namespace signalbox::app {

struct HistoryFilter {
    std::size_t limit = 100'000;            // the newest of those that fit
    std::optional<base::WallTime> since{};  // by the commit's own time
    std::string ref{};                      // empty: all
    std::string kind{};                     // empty: all
};

struct TableHistory {
    std::string table;
    std::vector<ports::CommitRecord> records;  // the oldest first
    std::vector<std::string> notes;
    bool more = false;  // older ones that fit were left out
};

// A table by its name: what the store has. A path: every commit that its metadata still has, read now.
base::Result<TableHistory> read_history(const std::string& selector, const Config& config, const HistoryFilter& filter);

// "2h" (ago), or a time as 2026-01-31T08:00:00Z or 2026-01-31. InvalidArgument otherwise.
base::Result<base::WallTime> parse_since(const std::string& text, base::WallTime now);

}  // namespace signalbox::app
