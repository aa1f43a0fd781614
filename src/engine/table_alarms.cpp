#include "engine/table_alarms.hpp"

#include <algorithm>
#include <array>

namespace signalbox::engine {

using base::Result;
namespace json = base::json;

namespace {

// Whether this alarm looks at such an observation at all.
bool concerns(const alarms::AlarmConfig& config, const alarms::Observation& observation) {
    const auto* point = std::get_if<alarms::MetricPoint>(&observation);
    return point == nullptr || point->metric == config.metric;
}

alarms::ActionTrigger trigger_of(alarms::AlarmState state) {
    switch (state) {
        case alarms::AlarmState::Alarm:
            return alarms::ActionTrigger::Alarm;
        case alarms::AlarmState::Ok:
            return alarms::ActionTrigger::Ok;
        default:
            return alarms::ActionTrigger::InsufficientData;
    }
}

// What the journal has of the other capabilities that could explain a table's trouble.
bool explains(const ports::JournalEntry& entry) {
    static constexpr std::array<std::string_view, 6> kinds{"epoch-", "member-",    "channel-",
                                                           "fence-", "switchover", "run-verdict"};
    return std::any_of(kinds.begin(), kinds.end(), [&](std::string_view kind) { return entry.kind.starts_with(kind); });
}

}  // namespace

Result<TableAlarms> TableAlarms::load(ports::LakeStore& store, ports::Journal& journal, const std::string& table,
                                      const std::vector<const alarms::AlarmConfig*>& configs,
                                      const std::vector<alarms::ActionConfig>& actions, base::WallTime now) {
    TableAlarms loaded(journal, table, actions, now);
    SB_TRY(const auto records, store.alarms(table));
    for (const alarms::AlarmConfig* config : configs) {
        Entry entry;
        entry.config = config;
        const auto record =
            std::find_if(records.begin(), records.end(), [&](const auto& r) { return r.alarm == config->name; });
        if (record != records.end()) {
            // One that another configuration wrote says nothing to this one.
            if (auto memory = alarms::decode_memory(record->memory, *config)) entry.memory = std::move(*memory);
        }
        loaded.entries_.push_back(std::move(entry));
    }
    SB_TRY(const json::array silences, store.silences());
    for (const json::value& silence : silences) {
        if (!silence.is_object()) continue;
        if (auto decoded = alarms::decode_silence(silence.get_object()))
            loaded.silences_.push_back(std::move(*decoded));
    }
    return loaded;
}

void TableAlarms::observe(const alarms::Observation& observation, base::WallTime now) {
    for (Entry& entry : entries_) {
        if (!concerns(*entry.config, observation)) continue;
        alarms::Stepped stepped = alarms::step_and_look(*entry.config, entry.memory, observation, now);
        entry.touched = true;
        if (stepped.look.value) entry.look = stepped.look;
        if (stepped.transition) stepped.earlier.push_back(std::move(*stepped.transition));
        for (alarms::Transition& transition : stepped.earlier) {
            const bool silent = alarms::silenced(silences_, entry.config->name, table_, now_) != nullptr;
            changes_.emplace_back(entry.config, AlarmChange{entry.config->name, table_, std::move(transition), silent});
        }
    }
}

Result<json::array> TableAlarms::related(base::WallTime at) {
    constexpr auto before = std::chrono::minutes(30);
    constexpr std::size_t looked_at = 1000;
    constexpr std::size_t shown = 10;
    ports::JournalQuery query;
    query.newest_first = true;
    query.until = at;
    query.limit = looked_at;
    SB_TRY(const auto entries, journal_.read(query));
    json::array found;
    for (const ports::JournalEntry& entry : entries) {
        if (entry.at < at - before || found.size() == shown) break;
        if (!explains(entry)) continue;
        found.push_back(json::object{{"sequence", entry.sequence},
                                     {"at", base::format_time(entry.at)},
                                     {"kind", entry.kind},
                                     {"subject", entry.subject},
                                     {"run", entry.run}});
    }
    return found;
}

void TableAlarms::call_for(const alarms::AlarmConfig& config, const AlarmChange& change, const json::array& related,
                           ports::TableChange& out) const {
    const alarms::Transition& transition = change.transition;
    const std::string number = fmt::format("{}/{}/{}", transition.episode, alarms::to_string(transition.to),
                                           transition.at.time_since_epoch().count());
    for (const alarms::ActionConfig* action : alarms::called_for(actions_, config.actions, trigger_of(transition.to))) {
        ports::ActionRequest request;
        request.id = alarms::action_id(config.name, table_, number, action->name);
        request.alarm = config.name;
        request.table = table_;
        request.action = action->name;
        request.dry_run = action->dry_run;
        request.transition = {{"state", alarms::to_string(transition.to)},
                              {"previous", alarms::to_string(transition.from)},
                              {"at", base::format_time(transition.at)},
                              {"episode", transition.episode},
                              {"evidence", transition.text},
                              {"details", transition.evidence},
                              {"playbook", config.playbook},
                              {"links", related}};
        out.actions.push_back(std::move(request));
    }
}

Result<std::vector<AlarmChange>> TableAlarms::take(ports::TableChange& change, bool act) {
    for (Entry& entry : entries_) {
        if (!entry.touched) continue;
        change.alarms.push_back({entry.config->name, table_, alarms::encode(entry.memory)});
        entry.touched = false;
    }
    std::vector<AlarmChange> taken;
    for (auto& [config, alarm] : changes_) {
        const alarms::Transition& transition = alarm.transition;
        json::array links;
        if (act) {
            SB_TRY(links, related(transition.at));
        }
        ports::JournalEntry entry;
        entry.at = transition.at;
        entry.kind = "table-alarm";
        entry.subject = table_;
        entry.data = {{"alarm", alarm.alarm},
                      {"from", alarms::to_string(transition.from)},
                      {"to", alarms::to_string(transition.to)},
                      {"episode", transition.episode},
                      {"text", transition.text},
                      {"evidence", transition.evidence},
                      {"silenced", alarm.silenced},
                      {"related", links}};
        if (act && !alarm.silenced) call_for(*config, alarm, links, change);
        // What happened before the table was watched is learned from, not told.
        if (act) change.entries.push_back(std::move(entry));
        taken.push_back(std::move(alarm));
    }
    changes_.clear();
    return taken;
}

std::optional<base::WallTime> TableAlarms::next_due(base::WallTime now) const {
    std::optional<base::WallTime> due;
    for (const Entry& entry : entries_) {
        const auto own = alarms::next_due(*entry.config, entry.memory, now);
        if (own && (!due || *own < *due)) due = own;
    }
    return due;
}

std::vector<std::string> TableAlarms::in_alarm() const {
    std::vector<std::string> names;
    for (const Entry& entry : entries_) {
        if (entry.memory.state == alarms::AlarmState::Alarm) names.push_back(entry.config->name);
    }
    return names;
}

std::vector<AlarmStanding> TableAlarms::standings() const {
    std::vector<AlarmStanding> all;
    for (const Entry& entry : entries_) {
        all.push_back(
            {entry.config->name, entry.config->metric, entry.memory.state, entry.look.value, entry.look.expected});
    }
    return all;
}

}  // namespace signalbox::engine
