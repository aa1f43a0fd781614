#pragma once
// Hints that a table may have changed. A hint carries no truth: it only makes the table's look due now. A lost hint
// makes us slower by the poll interval at most, a false one costs a look.

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.hpp"

namespace signalbox::ports {

struct TableHint {
    std::string catalog;
    std::string table;  // empty: list the catalog again, and look at all of its tables
    friend bool operator==(const TableHint&, const TableHint&) = default;
    friend auto operator<=>(const TableHint&,
                            const TableHint&) = default;  // NOLINT(modernize-use-nullptr): a false finding
};

// What the changes are noticed with, for people and metrics.
struct WatchState {
    std::uint64_t folders = 0;    // that are watched
    std::uint64_t unwatched = 0;  // that should be, and are only polled
    std::vector<std::string> warnings;
};

class TableChanges {
  public:
    virtual ~TableChanges() = default;
    // Waits until there is a hint, interrupt() was called or `max` has passed, and returns the hints, each once; maybe
    // none. One thread at a time.
    virtual std::vector<TableHint> wait(base::Duration max) = 0;
    // A hint that came another way (a webhook, a user): the next wait returns it. From any thread. Bounded: beyond
    // hints_max of one catalog it becomes a hint for the whole catalog.
    virtual void hint(TableHint hint) = 0;
    // Makes a running or the next wait return. From any thread.
    virtual void interrupt() = 0;
    // From any thread.
    virtual WatchState state() const = 0;

    static constexpr std::size_t hints_max = 10'000;
};

}  // namespace signalbox::ports
