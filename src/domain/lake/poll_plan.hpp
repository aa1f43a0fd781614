#pragma once
// Which tables are looked at next: each at its interval with jitter, those that failed less and less often, those that
// were woken first, no catalog at the cost of another, and never more at once than allowed. Values and time only.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/prng.hpp"
#include "base/time.hpp"

namespace signalbox::lake {

struct PollSettings {
    double jitter = 0.1;  // an interval is lengthened or shortened by up to this part of it
    base::Duration backoff_min = std::chrono::seconds(5);  // after one failure; doubled by each further one
    base::Duration backoff_max = std::chrono::minutes(10);
    std::size_t running_max = 16;         // looks at once
    std::size_t running_catalog_max = 8;  // of one catalog
    // Of so many looks one goes to a table that is due, however many are woken meanwhile.
    std::size_t woken_in_row_max = 3;
};

struct PollTable {
    std::string catalog;
    std::string table;
    friend bool operator==(const PollTable&, const PollTable&) = default;
};

class PollPlan {
  public:
    PollPlan(PollSettings settings, std::uint64_t seed) : settings_(settings), random_(seed) {}

    // A new table is due at once; a known one keeps its turn and gets the interval from its next turn on.
    void add(const PollTable& table, base::Duration interval, base::MonoTime now);
    // A look that runs is still to be reported.
    void remove(const PollTable& table);
    // Due now, before those whose turn it is; also one that failed and waits. While it is looked at: once more after
    // that. Unknown tables are ignored: false.
    bool wake(const PollTable& table);
    // All tables of the catalog are due now, in their turn.
    void wake_catalog(const std::string& catalog, base::MonoTime now);

    // What to look at now. Each must be reported by done().
    std::vector<PollTable> take(base::MonoTime now);
    enum class Outcome { Done, Failed };
    void done(const PollTable& table, Outcome outcome, base::MonoTime now);
    // When take() has something next, if no look ends and nobody is woken before; nullopt: not before one of these.
    std::optional<base::MonoTime> next_at() const;

    std::size_t tables() const { return tables_; }
    std::size_t running() const { return running_; }
    // Tables whose last look failed.
    std::size_t failing() const { return failing_; }

  private:
    struct Entry {
        base::Duration interval{};
        base::MonoTime due{};
        unsigned failures = 0;
        bool looked = false;  // at least once
        bool running = false;
        bool woken = false;  // while it runs: once more
        bool removed = false;
    };
    struct Catalog {
        std::map<std::string, Entry> entries;
        std::set<std::pair<base::MonoTime, std::string>> waiting;
        std::deque<std::string> woken;
        std::size_t running = 0;
    };
    using Catalogs = std::map<std::string, Catalog>;

    Entry* find(const PollTable& table);
    bool has_room(const Catalog& catalog) const { return catalog.running < settings_.running_catalog_max; }
    // The next table of the next catalog in turn that has one; nullopt if none has.
    std::optional<PollTable> take_woken();
    std::optional<PollTable> take_due(base::MonoTime now);
    template <typename Pick>
    std::optional<PollTable> in_turn(std::string& turn, const Pick& pick);
    base::Duration pause_after(Entry& entry, Outcome outcome);

    const PollSettings settings_;
    base::Prng random_;
    Catalogs catalogs_;
    std::string turn_woken_;  // the catalog that was served last
    std::string turn_due_;
    std::size_t woken_in_row_ = 0;
    std::size_t tables_ = 0;
    std::size_t running_ = 0;
    std::size_t failing_ = 0;
};

}  // namespace signalbox::lake
