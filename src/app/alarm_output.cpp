#include "app/alarm_output.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "app/json_fields.hpp"
#include "base/table_text.hpp"
#include "base/text.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;
using alarms::AlarmConfig;
using alarms::AlarmKind;
using alarms::AlarmState;

int rank(AlarmState state) {
    switch (state) {
        case AlarmState::Alarm:
            return 0;
        case AlarmState::InsufficientData:
            return 1;
        case AlarmState::Ok:
            return 2;
    }
    return 3;
}

json::value time_value(const std::optional<base::WallTime>& time) {
    return time ? json::value(base::format_time(*time)) : json::value(nullptr);
}

std::string marks_text(const ListedAlarm& alarm) {
    std::vector<std::string> marks;
    if (alarm.stored.memory.acknowledged) marks.push_back("acknowledged by " + alarm.stored.memory.acknowledged->by);
    if (alarm.silence != nullptr) marks.push_back("silenced until " + base::format_time(alarm.silence->until));
    if (alarm.stored.config == nullptr) marks.emplace_back("not configured any more");
    return base::join(marks, "; ");
}

std::string comparison_text(alarms::Comparison comparison) {
    switch (comparison) {
        case alarms::Comparison::GreaterThan:
            return ">";
        case alarms::Comparison::GreaterOrEqual:
            return ">=";
        case alarms::Comparison::LessThan:
            return "<";
        case alarms::Comparison::LessOrEqual:
            return "<=";
    }
    return "?";
}

std::string points_text(const AlarmConfig& config) {
    const bool commits = config.period == base::Duration{};
    const std::string what = commits ? "commits" : "periods of " + base::format_duration(config.period);
    return fmt::format("{} of {} {}", config.m, config.n, what);
}

std::string entry_state(const ports::JournalEntry& entry) {
    return text_of(entry.data, "from") + " -> " + text_of(entry.data, "to");
}

std::string related_line(const json::value& item) {
    if (item.is_string()) return std::string(item.get_string());
    if (!item.is_object()) return json::serialize(item);
    std::vector<std::string> parts;
    for (const char* name : {"at", "kind", "subject", "run", "text"})
        if (std::string part = text_of(item.get_object(), name); !part.empty()) parts.push_back(std::move(part));
    return parts.empty() ? json::serialize(item) : base::join(parts, " ");
}

// What else the journal saw around the newest transition that tells of anything.
json::array related(const std::vector<ports::JournalEntry>& entries) {
    for (const auto& entry : entries)
        if (const auto& items = array_of(entry.data, "related"); !items.empty()) return items;
    return {};
}

std::string evidence_text(const AlarmStory& story, base::WallTime now) {
    const auto& memory = story.alarm.stored.memory;
    std::string text;
    if (!memory.text.empty()) text += "  " + memory.text + "\n";
    if (memory.acknowledged) {
        text += fmt::format("  acknowledged by {} at {}{}\n", memory.acknowledged->by,
                            base::format_time(memory.acknowledged->at),
                            memory.acknowledged->note.empty() ? "" : ": " + memory.acknowledged->note);
    }
    if (const auto* silence = story.alarm.silence; silence != nullptr) {
        text += fmt::format("  silenced by {} until {}: {}\n", silence->by, base::format_time(silence->until),
                            silence->why);
    }
    const auto* config = story.alarm.stored.config;
    if (config == nullptr) return text + "  it is not configured any more: it ends when the table is next looked at\n";
    text += "  watches   " + describe(*config) + "\n";
    if (memory.state == AlarmState::Alarm) text += "  clears    " + clears_when(*config, memory, now) + "\n";
    text += "  actions   " + (config->actions.empty() ? "none" : base::join(config->actions, ", ")) + "\n";
    if (!config->playbook.empty()) text += "  playbook  " + config->playbook + "\n";
    return text;
}

}  // namespace

std::string number_text(double value) {
    if (std::isfinite(value) && std::abs(value) < 1e15 && std::floor(value) == value)
        return fmt::format("{:.0f}", value);
    return fmt::format("{:.4g}", value);
}

std::string describe(const AlarmConfig& config) {
    std::string kind(to_string(config.kind));
    switch (config.kind) {
        case AlarmKind::Band:
            return fmt::format("band of {}, k {}{}, {}", config.metric, number_text(config.k),
                               config.side == alarms::Side::Both ? "" : fmt::format(", {} it", to_string(config.side)),
                               points_text(config));
        case AlarmKind::Threshold:
            return fmt::format("{} {} {}, {}", config.metric, comparison_text(config.comparison),
                               config.threshold ? number_text(*config.threshold) : "?", points_text(config));
        case AlarmKind::Late:
            return "late: no commit that changes data within " +
                   (config.interval ? base::format_duration(*config.interval) : "the time that it usually takes");
        case AlarmKind::DeletionSpike:
            return fmt::format("deletion-spike, k {}", number_text(config.k));
        default:
            return kind;
    }
}

std::string clears_when(const AlarmConfig& config, const alarms::AlarmMemory& memory, base::WallTime now) {
    std::string enough = config.n == 1
                             ? std::string("with the next good point")
                             : fmt::format("once fewer than {} of the last {} points are bad", config.m, config.n);
    if (config.clear_after > 0) enough += fmt::format(" and {} in a row are good", config.clear_after);
    switch (config.kind) {
        case AlarmKind::Band: {
            const auto range =
                memory.band ? memory.band->expected(now, alarms::PointClass::Change, config.k) : std::nullopt;
            if (!range) return enough;
            return fmt::format("{}: now {} to {} is expected", enough, number_text(range->low),
                               number_text(range->high));
        }
        case AlarmKind::Threshold: {
            const auto bound = config.clear_threshold ? config.clear_threshold : config.threshold;
            if (!bound) return enough;
            return fmt::format("{}; a point is good when it is not {} {}", enough, comparison_text(config.comparison),
                               number_text(*bound));
        }
        case AlarmKind::Late:
            return "with the next commit that changes data";
        case AlarmKind::Drift:
            return "with the next commit whose summary agrees with its manifests";
        case AlarmKind::DeletionSpike:
            return "with the next commit that deletes no more than usual";
        case AlarmKind::Rollback:
        case AlarmKind::SchemaChanged:
        case AlarmKind::Repeated:
            return "with the next commit that is not another one of the kind";
    }
    return enough;
}

void sort_alarms(std::vector<ListedAlarm>& alarms) {
    const auto key = [](const ListedAlarm& alarm) {
        return std::tuple<int, const std::string&, const std::string&>(rank(alarm.stored.memory.state),
                                                                       alarm.stored.table, alarm.stored.alarm);
    };
    std::sort(alarms.begin(), alarms.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
}

json::object alarm_json(const ListedAlarm& alarm) {
    const auto& memory = alarm.stored.memory;
    json::object object{{"alarm", alarm.stored.alarm},
                        {"table", alarm.stored.table},
                        {"state", alarms::to_string(memory.state)},
                        {"since", time_value(memory.since)},
                        {"episode", memory.episode},
                        {"text", memory.text},
                        {"configured", alarm.stored.config != nullptr}};
    object["kind"] =
        alarm.stored.config == nullptr ? json::value(nullptr) : json::value(to_string(alarm.stored.config->kind));
    object["playbook"] = alarm.stored.config == nullptr ? "" : alarm.stored.config->playbook;
    object["acknowledged"] = nullptr;
    if (const auto& ack = memory.acknowledged)
        object["acknowledged"] = json::object{{"by", ack->by}, {"at", base::format_time(ack->at)}, {"note", ack->note}};
    object["silence"] = alarm.silence == nullptr ? json::value(nullptr) : json::value(alarms::encode(*alarm.silence));
    return object;
}

std::string alarms_text(const std::vector<ListedAlarm>& alarms, base::WallTime now) {
    base::TableText text({"ALARM", "TABLE", "STATE", "SINCE", "MARKS", "TEXT"});
    for (const ListedAlarm& alarm : alarms) {
        const auto& memory = alarm.stored.memory;
        text.row({alarm.stored.alarm, alarm.stored.table, std::string(to_string(memory.state)),
                  memory.since ? age_text(*memory.since, now) : "-", marks_text(alarm), memory.text});
    }
    return text.render();
}

json::object story_json(const AlarmStory& story, base::WallTime now) {
    json::object object = alarm_json(story.alarm);
    const auto* config = story.alarm.stored.config;
    object["watches"] = config == nullptr ? json::value(nullptr) : json::value(describe(*config));
    object["clears"] = config == nullptr || story.alarm.stored.memory.state != AlarmState::Alarm
                           ? json::value(nullptr)
                           : json::value(clears_when(*config, story.alarm.stored.memory, now));
    object["actions"] = json::array();
    if (config != nullptr)
        for (const auto& action : config->actions) object["actions"].as_array().emplace_back(action);
    json::array transitions;
    for (const auto& entry : story.entries)
        transitions.push_back(
            json::object{{"sequence", entry.sequence}, {"at", base::format_time(entry.at)}, {"data", entry.data}});
    object["transitions"] = std::move(transitions);
    object["related"] = related(story.entries);
    return object;
}

std::string story_text(const AlarmStory& story, base::WallTime now) {
    const auto& stored = story.alarm.stored;
    std::string text = fmt::format("{} of {}: {}", stored.alarm, stored.table, to_string(stored.memory.state));
    if (stored.memory.since)
        text +=
            fmt::format(" since {} ({})", base::format_time(*stored.memory.since), age_text(*stored.memory.since, now));
    if (stored.memory.state == AlarmState::Alarm) text += fmt::format(", episode {}", stored.memory.episode);
    text += "\n" + evidence_text(story, now);
    if (!story.entries.empty()) {
        base::TableText table({"TIME", "CHANGE", "TEXT"});
        for (const auto& entry : story.entries)
            table.row({base::format_time(entry.at), entry_state(entry), text_of(entry.data, "text")});
        text += "\n" + table.render();
    }
    if (const json::array items = related(story.entries); !items.empty()) {
        text += "\nAt that time the journal also saw:\n";
        for (const auto& item : items) text += "  " + related_line(item) + "\n";
    }
    return text;
}

}  // namespace signalbox::app
