#pragma once
// The alarms of one table during one look: their memories, what they conclude, and what that calls for.

#include <map>
#include <string>
#include <vector>

#include "domain/alarms/action_policy.hpp"
#include "domain/alarms/alarm.hpp"
#include "ports/journal.hpp"
#include "ports/lake_store.hpp"

namespace signalbox::engine {

// One transition of one alarm.
struct AlarmChange {
    std::string alarm;
    std::string table;
    alarms::Transition transition;
    bool silenced = false;
};

// How an alarm stands, for a page of metrics.
struct AlarmStanding {
    std::string alarm;
    std::string metric;  // empty: it looks at commits
    alarms::AlarmState state = alarms::AlarmState::InsufficientData;
    std::optional<double> value;  // what was judged last, in this look
    std::optional<alarms::Range> expected;
};

class TableAlarms {
  public:
    // Reads the memories; one that is not of this configuration any more starts anew. Silences count at `now`, whenever
    // a commit was made. All must outlive it.
    static base::Result<TableAlarms> load(ports::LakeStore& store, ports::Journal& journal, const std::string& table,
                                          const std::vector<const alarms::AlarmConfig*>& configs,
                                          const std::vector<alarms::ActionConfig>& actions, base::WallTime now);

    void observe(const alarms::Observation& observation, base::WallTime now);
    // Puts what has changed since the last call into the change that is to be stored: memories, journal entries and,
    // with act, the actions that transitions call for. Returns the transitions.
    base::Result<std::vector<AlarmChange>> take(ports::TableChange& change, bool act);
    // When time alone can change something; none: never.
    std::optional<base::WallTime> next_due(base::WallTime now) const;
    // Names of those in ALARM.
    std::vector<std::string> in_alarm() const;
    std::vector<AlarmStanding> standings() const;

  private:
    struct Entry {
        const alarms::AlarmConfig* config = nullptr;
        alarms::AlarmMemory memory;
        alarms::Look look;  // the last with a value
        bool touched = false;
    };
    TableAlarms(ports::Journal& journal, std::string table, const std::vector<alarms::ActionConfig>& actions,
                base::WallTime now)
        : journal_(journal), table_(std::move(table)), actions_(actions), now_(now) {}
    void call_for(const alarms::AlarmConfig& config, const AlarmChange& change, const base::json::array& related,
                  ports::TableChange& out) const;
    base::Result<base::json::array> related(base::WallTime at);

    ports::Journal& journal_;
    std::string table_;
    const std::vector<alarms::ActionConfig>& actions_;
    base::WallTime now_;
    std::vector<Entry> entries_;
    std::vector<alarms::Silence> silences_;
    std::vector<std::pair<const alarms::AlarmConfig*, AlarmChange>> changes_;
};

}  // namespace signalbox::engine
