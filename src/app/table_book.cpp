#include "app/table_book.hpp"

#include <algorithm>
#include <filesystem>
#include <map>

#include "app/json_fields.hpp"
#include "base/text.hpp"

namespace signalbox::app {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::size_t names_shown_max = 10;

base::Result<TableBook> open(std::shared_ptr<sqlite::Database> database) {
    TableBook book;
    book.database = std::move(database);
    SB_TRY(book.store, sqlite::LakeStore::open(book.database));
    SB_TRY(book.journal, sqlite::JournalStore::open(book.database));
    return book;
}

std::string shown(const std::vector<std::string>& names) {
    std::vector<std::string> first(
        names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), names_shown_max)));
    std::string text = base::join(first, ", ");
    if (names.size() > first.size()) text += fmt::format(" and {} more", names.size() - first.size());
    return text;
}

// The configuration of that alarm, if it is for the table.
const alarms::AlarmConfig* config_of(const engine::TableLoopConfig& config, const std::string& alarm,
                                     const std::string& table) {
    for (const auto& binding : config.alarms) {
        const auto fits = [&](const std::string& glob) { return engine::glob_matches(glob, table); };
        if (binding.config.name == alarm && std::any_of(binding.tables.begin(), binding.tables.end(), fits))
            return &binding.config;
    }
    return nullptr;
}

base::Result<StoredAlarm> decode(const engine::TableLoopConfig& config, const ports::AlarmRecord& record) {
    StoredAlarm stored{record.alarm, record.table, config_of(config, record.alarm, record.table), {}};
    if (stored.config != nullptr) {
        auto memory = alarms::decode_memory(record.memory, *stored.config);
        if (memory) {
            stored.memory = std::move(*memory);
            return stored;
        }
        // Configured otherwise now than when it was stored: the daemon begins it anew at the next commit.
    }
    stored.memory.state =
        alarms::parse_alarm_state(text_of(record.memory, "state")).value_or(alarms::AlarmState::InsufficientData);
    stored.memory.text = text_of(record.memory, "text");
    return stored;
}

}  // namespace

base::Result<TableBook> open_book(const Config& config) {
    std::error_code ignored;
    if (!std::filesystem::exists(config.store, ignored)) {
        return fail(
            ErrorKind::NotFound,
            "{}: there is no store yet, so nothing is known of tables; start `signalbox serve -c {}`, or give the "
            "path of a table",
            config.store, config.file);
    }
    SB_TRY(auto database, sqlite::Database::open(config.store));
    return open(std::move(database));
}

base::Result<TableBook> open_memory_book() {
    SB_TRY(auto database, sqlite::Database::open(":memory:"));
    return open(std::move(database));
}

base::Result<std::string> pick_table(const std::vector<std::string>& names, const std::string& name) {
    std::vector<std::string> found;
    for (const std::string& candidate : names) {
        if (candidate == name) return name;
        if (candidate.ends_with("." + name)) found.push_back(candidate);
    }
    if (found.size() == 1) return found.front();
    if (found.size() > 1) return fail(ErrorKind::Conflict, "'{}' may be {}: give more of its name", name, shown(found));
    const auto near = base::nearest(name, names);
    return fail(ErrorKind::NotFound, "there is no table '{}'; {}", name,
                near            ? "did you mean " + *near + "?"
                : names.empty() ? "none is watched yet: start `signalbox serve`, or give the path of a table"
                                : "there are " + shown(names));
}

base::Result<ports::TableRecord> find_table(ports::LakeStore& store, const std::string& name) {
    SB_TRY(auto exact, store.load(name));
    if (exact) return std::move(*exact);
    SB_TRY(auto records, store.list());
    std::vector<std::string> names;
    for (const auto& record : records) names.push_back(record.name);
    SB_TRY(const std::string picked, pick_table(names, name));
    const auto found =
        std::find_if(records.begin(), records.end(), [&](const auto& record) { return record.name == picked; });
    return std::move(*found);
}

base::Result<std::vector<StoredAlarm>> stored_alarms(ports::LakeStore& store, const engine::TableLoopConfig& config,
                                                     const std::string& table) {
    SB_TRY(const auto records, store.alarms(table));
    std::map<std::pair<std::string, std::string>, StoredAlarm> found;  // by table and alarm
    for (const auto& record : records) {
        SB_TRY(StoredAlarm stored, decode(config, record));
        found.emplace(std::pair(record.table, record.alarm), std::move(stored));
    }
    std::vector<std::string> tables{table};
    if (table.empty()) {
        tables.clear();
        SB_TRY(const auto all, store.list());
        for (const auto& record : all) tables.push_back(record.name);
    }
    for (const std::string& name : tables) {
        for (const auto& binding : config.alarms) {
            const auto* alarm = config_of(config, binding.config.name, name);
            if (alarm != nullptr)
                found.emplace(std::pair(name, alarm->name), StoredAlarm{alarm->name, name, alarm, {}});
        }
    }
    std::vector<StoredAlarm> list;
    for (auto& [key, stored] : found) list.push_back(std::move(stored));
    return list;
}

base::Result<std::vector<alarms::Silence>> stored_silences(ports::LakeStore& store) {
    SB_TRY(const auto items, store.silences());
    std::vector<alarms::Silence> silences;
    for (const auto& item : items) {
        if (!item.is_object()) return fail(ErrorKind::CorruptData, "a silence in the store is no object");
        SB_TRY(alarms::Silence silence, alarms::decode_silence(item.get_object()));
        silences.push_back(std::move(silence));
    }
    return silences;
}

namespace {

// Conflict if the daemon was quicker.
base::Result<StoredAlarm> acknowledge_once(ports::LakeStore& store, const engine::TableLoopConfig& config,
                                           const std::string& alarm, const std::string& table,
                                           const alarms::Acknowledgement& mark) {
    SB_TRY(ports::TableRecord record, find_table(store, table));
    SB_TRY(auto stored, stored_alarms(store, config, record.name));
    const auto found = std::find_if(stored.begin(), stored.end(), [&](const auto& one) { return one.alarm == alarm; });
    if (found == stored.end() || found->config == nullptr) {
        return base::fail(base::ErrorKind::NotFound,
                          "{} has no alarm '{}' that is configured; `signalbox alarm list --table {}` names them",
                          record.name, alarm, record.name);
    }
    if (const auto& before = found->memory.acknowledged) {
        return base::fail(base::ErrorKind::AlreadyExists, "{} has acknowledged '{}' of {} already, at {}{}", before->by,
                          alarm, record.name, base::format_time(before->at),
                          before->note.empty() ? "" : ": " + before->note);
    }
    if (auto status = alarms::acknowledge(*found->config, found->memory, mark.by, mark.at, mark.note); !status) {
        // Not the store's kind of conflict, which is worth another try.
        return base::fail(base::ErrorKind::NotFound, "{}", status.error().text());
    }
    ports::TableChange change;
    change.at = mark.at;
    change.alarms.push_back({found->alarm, record.name, alarms::encode(found->memory)});
    change.entries.push_back(
        {0, mark.at, "alarm-acknowledged", record.name, 0, "",
         base::json::object{
             {"alarm", found->alarm}, {"episode", found->memory.episode}, {"by", mark.by}, {"note", mark.note}}});
    SB_CHECK(store.save(record, change));
    return std::move(*found);
}

}  // namespace

base::Result<StoredAlarm> acknowledge_alarm(ports::LakeStore& store, const engine::TableLoopConfig& config,
                                            const std::string& alarm, const std::string& table,
                                            const alarms::Acknowledgement& mark) {
    // The daemon may store the same table at any moment; each try reads it anew.
    constexpr int tries_max = 20;
    for (int tries = 1;; ++tries) {
        auto done = acknowledge_once(store, config, alarm, table, mark);
        if (done || done.error().kind != base::ErrorKind::Conflict || tries == tries_max) return done;
    }
}

}  // namespace signalbox::app
