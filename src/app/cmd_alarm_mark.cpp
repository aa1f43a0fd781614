#include "app/cmd_alarm_mark.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <pwd.h>
#include <unistd.h>

#include "app/alarm_output.hpp"
#include "app/job_context.hpp"
#include "app/report.hpp"

namespace signalbox::app {
namespace {

using base::ErrorKind;
using base::fail;
namespace json = base::json;

constexpr std::size_t silences_max = 1000;
constexpr std::size_t text_max_bytes = 2000;

struct Options {
    std::string config_file = "signalbox.yaml";
    std::string output = "table";
    std::string name;
    std::string table;
    std::string by;
    std::string note;
    std::string duration;
    std::string why;
};

std::string user_name() {
    for (const char* variable : {"SUDO_USER", "USER"})
        if (const char* name = std::getenv(variable); name != nullptr && *name != '\0') return name;
    const passwd* entry = ::getpwuid(::getuid());
    return entry == nullptr ? fmt::format("user {}", ::getuid()) : entry->pw_name;
}

base::Status check_texts(const Options& options) {
    for (const std::string* text : {&options.by, &options.note, &options.why})
        if (text->size() > text_max_bytes)
            return fail(ErrorKind::InvalidArgument, "a text of {} bytes is too long; at most {} are kept", text->size(),
                        text_max_bytes);
    return {};
}

base::Result<int> acknowledge(const Options& options) {
    SB_CHECK(check_texts(options));
    SB_TRY(const Config config, load_config(options.config_file, Secrets::Skip));
    SB_TRY(TableBook book, open_book(config));
    const std::string by = options.by.empty() ? user_name() : options.by;
    SB_TRY(StoredAlarm stored,
           acknowledge_alarm(*book.store, config.watch, options.name, options.table, {by, wall_clock(), options.note}));
    const ListedAlarm alarm{std::move(stored), nullptr};
    if (options.output == "json") {
        print(base::pretty_json(alarm_json(alarm)));
    } else {
        print(fmt::format("{} of {}: episode {} acknowledged by {}\n", alarm.stored.alarm, alarm.stored.table,
                          alarm.stored.memory.episode, by));
    }
    return 0;
}

bool is_all(const std::string& name) { return name == "all"; }

// The full name of the table that was asked for; empty for all.
base::Result<std::string> full_name(TableBook& book, const std::string& table) {
    if (table.empty()) return std::string();
    SB_TRY(const auto record, find_table(*book.store, table));
    return record.name;
}

base::Status check_alarm_name(const Config& config, const std::string& name) {
    std::vector<std::string> names;
    for (const auto& binding : config.watch.alarms) names.push_back(binding.config.name);
    if (is_all(name) || std::find(names.begin(), names.end(), name) != names.end()) return {};
    const auto near = base::nearest(name, names);
    return fail(
        ErrorKind::NotFound, "{}: there is no alarm '{}'; {}", config.file, name,
        near ? "did you mean " + *near + "?" : "there are " + base::join(names, ", ") + ", and 'all' for each of them");
}

base::Status save(TableBook& book, const std::vector<alarms::Silence>& silences, const std::string& kind,
                  const alarms::Silence& about, base::WallTime now) {
    json::array items;
    for (const auto& silence : silences) items.push_back(alarms::encode(silence));
    return book.store->save_silences(items, {0, now, kind, about.table, 0, "", alarms::encode(about)});
}

std::string silence_text(const alarms::Silence& silence) {
    return fmt::format("{} of {}", silence.alarm.empty() ? "every alarm" : silence.alarm,
                       silence.table.empty() ? "every table" : silence.table);
}

base::Result<int> silence(const Options& options) {
    SB_CHECK(check_texts(options));
    const auto length = base::parse_duration(options.duration);
    if (!length || *length <= base::Duration{} || *length > std::chrono::hours(366 * 24))
        return fail(ErrorKind::InvalidArgument, "--for: expected a time as 2h, 30m or 7d, at most 366d, found '{}'",
                    options.duration);
    SB_TRY(const Config config, load_config(options.config_file, Secrets::Skip));
    SB_CHECK(check_alarm_name(config, options.name));
    SB_TRY(TableBook book, open_book(config));
    const auto now = wall_clock();
    alarms::Silence added;
    added.alarm = is_all(options.name) ? "" : options.name;
    SB_TRY(added.table, full_name(book, options.table));
    added.from = now;
    added.until = now + *length;
    added.by = options.by.empty() ? user_name() : options.by;
    added.why = options.why;
    SB_TRY(auto silences, stored_silences(*book.store));
    std::erase_if(silences, [&](const auto& old) { return old.until <= now; });
    if (silences.size() >= silences_max)
        return fail(ErrorKind::Conflict, "there are {} silences already; end some with `signalbox alarm unsilence`",
                    silences.size());
    silences.push_back(added);
    SB_CHECK(save(book, silences, "alarm-silenced", added, now));
    if (options.output == "json") {
        print(base::pretty_json(alarms::encode(added)));
    } else {
        print(fmt::format("{}: silent until {}\n", silence_text(added), base::format_time(added.until)));
    }
    return 0;
}

base::Result<int> unsilence(const Options& options) {
    SB_TRY(const Config config, load_config(options.config_file, Secrets::Skip));
    SB_TRY(TableBook book, open_book(config));
    const auto now = wall_clock();
    alarms::Silence wanted;
    wanted.alarm = is_all(options.name) ? "" : options.name;
    SB_TRY(wanted.table, full_name(book, options.table));
    SB_TRY(auto silences, stored_silences(*book.store));
    std::erase_if(silences, [&](const auto& old) { return old.until <= now; });
    std::vector<alarms::Silence> ended;
    std::erase_if(silences, [&](const auto& old) {
        const bool same = old.alarm == wanted.alarm && (options.table.empty() || old.table == wanted.table);
        if (same) ended.push_back(old);
        return same;
    });
    if (ended.empty()) {
        return fail(ErrorKind::NotFound, "no silence of {} is in force; `signalbox alarm list` shows what is silenced",
                    silence_text(wanted));
    }
    SB_CHECK(save(book, silences, "alarm-unsilenced", wanted, now));
    json::array items;
    std::string text;
    for (const auto& old : ended) {
        items.push_back(alarms::encode(old));
        text += silence_text(old) + ": not silent any more\n";
    }
    print(options.output == "json" ? base::pretty_json({{"ended", std::move(items)}}) : text);
    return 0;
}

CLI::App* add(CLI::App& group, const char* name, const char* help, const std::shared_ptr<Options>& options,
              base::Result<int> (*action)(const Options&), int& exit_status) {
    auto* command = group.add_subcommand(name, help);
    command->add_option("-c,--config", options->config_file, "Configuration file")->capture_default_str();
    command->add_option("--output", options->output, "Form of what is printed")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    command->callback([options, action, &exit_status] {
        const auto done = action(*options);
        exit_status = done ? *done : report(done.error());
    });
    return command;
}

}  // namespace

void register_alarm_marks(CLI::App& alarm, int& exit_status) {
    auto options = std::make_shared<Options>();
    auto* command = add(alarm, "ack", "Say that somebody has seen it: marks the episode that goes on now", options,
                        acknowledge, exit_status);
    command->add_option("NAME", options->name, "The alarm")->required();
    command->add_option("--table", options->table, "Of this table: its full name, or the end of it")->required();
    command->add_option("--by", options->by, "Who (default: the user who runs this)");
    command->add_option("--note", options->note, "What is known or done about it");

    command =
        add(alarm, "silence", "For a while, record its changes but do and tell nothing", options, silence, exit_status);
    command->add_option("NAME", options->name, "The alarm, or 'all'")->required();
    command->add_option("--table", options->table, "Only of this table");
    command->add_option("--for", options->duration, "How long: 30m, 2h, 7d")->required();
    command->add_option("--why", options->why, "The reason, shown with it")->required();
    command->add_option("--by", options->by, "Who (default: the user who runs this)");

    command = add(alarm, "unsilence", "End the silences of that alarm", options, unsilence, exit_status);
    command->add_option("NAME", options->name, "As it was given to silence: the alarm, or 'all'")->required();
    command->add_option("--table", options->table, "Only the silence of this table");
}

}  // namespace signalbox::app
