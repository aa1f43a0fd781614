#include "app/table_history.hpp"

#include <algorithm>

#include "app/job_context.hpp"

namespace signalbox::app {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::size_t records_max = 100'000;

bool fits(const ports::CommitRecord& record, const HistoryFilter& filter) {
    return (filter.ref.empty() || record.ref == filter.ref) && (filter.kind.empty() || record.kind == filter.kind);
}

// Works out every commit of the table in a store that is gone afterwards.
base::Result<TableHistory> work_out(const std::string& path, const Config& config, TableBook& book) {
    SB_TRY(ReadTable table, read_path(path));
    engine::TableLoopConfig loop_config = config.watch;
    loop_config.first_look = lake::FirstLook::History;
    loop_config.history_commits_max = records_max;
    loop_config.alarms.clear();
    engine::TableLoop loop(*book.store, *book.journal, std::move(loop_config));
    TableHistory history;
    history.table = table.name;
    history.notes = table.metadata.notes;
    Progress progress;
    SB_TRY(auto look, loop.look(table.name, table.metadata, table.metadata_location, *table.reader, wall_clock(),
                                show_reading(progress, table.name)));
    history.notes.insert(history.notes.end(), look.notes.begin(), look.notes.end());
    return history;
}

}  // namespace

base::Result<TableHistory> read_history(const std::string& selector, const Config& config,
                                        const HistoryFilter& filter) {
    TableHistory history;
    TableBook book;
    if (is_path(selector)) {
        SB_TRY(book, open_memory_book());
        SB_TRY(history, work_out(selector, config, book));
    } else {
        SB_TRY(book, open_book(config));
        SB_TRY(const auto record, find_table(*book.store, selector));
        history.table = record.name;
    }
    ports::CommitQuery query;
    query.table = history.table;
    query.since = filter.since;
    query.newest_first = true;
    query.limit = filter.ref.empty() && filter.kind.empty() ? std::min(filter.limit + 1, records_max) : records_max;
    SB_TRY(history.records, book.store->commits(query));
    std::erase_if(history.records, [&](const auto& record) { return !fits(record, filter); });
    history.more = history.records.size() > filter.limit;
    if (history.more)
        history.records.erase(history.records.begin() + static_cast<std::ptrdiff_t>(filter.limit),
                              history.records.end());
    std::reverse(history.records.begin(), history.records.end());
    return history;
}

base::Result<base::WallTime> parse_since(const std::string& text, base::WallTime now) {
    if (const auto age = base::parse_duration(text)) return now - *age;
    const std::string full = text.size() == 10 ? text + "T00:00:00Z" : text;
    if (const auto time = base::parse_time(full)) return *time;
    return fail(ErrorKind::InvalidArgument,
                "--since: expected an age as 2h or 7d, or a time as 2026-01-31T08:00:00Z, found '{}'", text);
}

}  // namespace signalbox::app
