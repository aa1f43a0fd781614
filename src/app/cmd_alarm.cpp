#include "app/cmd_alarm.hpp"

#include <algorithm>
#include <memory>

#include "app/alarm_output.hpp"
#include "app/cmd_alarm_backtest.hpp"
#include "app/cmd_alarm_mark.hpp"
#include "app/cmd_alarm_test.hpp"
#include "app/job_context.hpp"
#include "app/report.hpp"

namespace signalbox::app {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::size_t entries_read_max = 2000;

struct Options {
    std::string config_file = "signalbox.yaml";
    std::string output = "table";
    std::string name;
    std::string table;
    std::string state;
    std::size_t limit = 1000;
    std::size_t transitions = 10;
};

// The alarms of one table, or of all, with the silences that cover them.
struct Alarms {
    std::vector<alarms::Silence> silences;
    std::vector<ListedAlarm> listed;
};

base::Result<Alarms> read_alarms_of(const Config& config, TableBook& book, const std::string& table,
                                    base::WallTime now) {
    std::string full;
    if (!table.empty()) {
        SB_TRY(const auto record, find_table(*book.store, table));
        full = record.name;
    }
    Alarms alarms;
    SB_TRY(alarms.silences, stored_silences(*book.store));
    SB_TRY(auto stored, stored_alarms(*book.store, config.watch, full));
    for (StoredAlarm& alarm : stored) {
        const auto* silence = alarms::silenced(alarms.silences, alarm.alarm, alarm.table, now);
        alarms.listed.push_back({std::move(alarm), silence});
    }
    sort_alarms(alarms.listed);
    return alarms;
}

base::Result<int> list(const Options& options) {
    SB_TRY(const Config config, load_config(options.config_file, Secrets::Skip));
    SB_TRY(TableBook book, open_book(config));
    const auto now = wall_clock();
    SB_TRY(Alarms alarms, read_alarms_of(config, book, options.table, now));
    auto& listed = alarms.listed;
    if (!options.state.empty())
        std::erase_if(listed, [&](const auto& alarm) { return to_string(alarm.stored.memory.state) != options.state; });
    const std::size_t all = listed.size();
    if (listed.size() > options.limit)
        listed.erase(listed.begin() + static_cast<std::ptrdiff_t>(options.limit), listed.end());
    if (options.output == "json") {
        base::json::array items;
        for (const auto& alarm : listed) items.push_back(alarm_json(alarm));
        print(base::pretty_json({{"items", std::move(items)}, {"count", all}}));
        return 0;
    }
    print(alarms_text(listed, now));
    if (all > listed.size()) print(fmt::format("and {} more; --limit {} shows all\n", all - listed.size(), all));
    return 0;
}

// The alarm's transitions, the newest first.
base::Result<std::vector<ports::JournalEntry>> transitions(TableBook& book, const StoredAlarm& alarm,
                                                           std::size_t limit) {
    ports::JournalQuery query;
    query.subject = alarm.table;
    query.kind = "table-alarm";
    query.limit = entries_read_max;
    query.newest_first = true;
    SB_TRY(auto entries, book.journal->read(query));
    std::erase_if(entries, [&](const auto& entry) {
        const auto* name = entry.data.if_contains("alarm");
        return name == nullptr || !name->is_string() || name->get_string() != alarm.alarm;
    });
    if (entries.size() > limit) entries.resize(limit);
    return entries;
}

base::Result<int> show(const Options& options) {
    SB_TRY(const Config config, load_config(options.config_file, Secrets::Skip));
    SB_TRY(TableBook book, open_book(config));
    const auto now = wall_clock();
    SB_TRY(Alarms alarms, read_alarms_of(config, book, options.table, now));
    std::vector<std::string> names;
    for (const auto& alarm : alarms.listed) names.push_back(alarm.stored.alarm);
    std::erase_if(alarms.listed, [&](const auto& alarm) { return alarm.stored.alarm != options.name; });
    if (alarms.listed.empty()) {
        const auto near = base::nearest(options.name, names);
        return fail(ErrorKind::NotFound, "there is no alarm '{}'{}; {}", options.name,
                    options.table.empty() ? "" : " of table " + options.table,
                    near ? "did you mean " + *near + "?" : "`signalbox alarm list` names them");
    }
    const std::size_t all = alarms.listed.size();
    if (all > options.limit)
        alarms.listed.erase(alarms.listed.begin() + static_cast<std::ptrdiff_t>(options.limit), alarms.listed.end());
    base::json::array items;
    std::string text;
    for (ListedAlarm& alarm : alarms.listed) {
        AlarmStory story{alarm, {}};
        SB_TRY(story.entries, transitions(book, alarm.stored, options.transitions));
        if (options.output == "json") items.push_back(story_json(story, now));
        if (options.output != "json") text += (text.empty() ? "" : "\n") + story_text(story, now);
    }
    if (all > alarms.listed.size())
        text += fmt::format("\nand on {} more tables; --table shows one\n", all - alarms.listed.size());
    print(options.output == "json" ? base::pretty_json({{"items", std::move(items)}, {"count", all}}) : text);
    return 0;
}

CLI::App* add(CLI::App& group, const char* name, const char* help, const std::shared_ptr<Options>& options,
              base::Result<int> (*action)(const Options&), int& exit_status) {
    auto* command = group.add_subcommand(name, help);
    command->add_option("-c,--config", options->config_file, "Configuration file")->capture_default_str();
    command->add_option("--output", options->output, "Form of what is printed")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    command->add_option("--table", options->table, "Only of this table: its full name, or the end of it");
    command->callback([options, action, &exit_status] {
        const auto done = action(*options);
        exit_status = done ? *done : report(done.error());
    });
    return command;
}

}  // namespace

void register_alarm(CLI::App& app, int& exit_status) {
    auto* group = app.add_subcommand("alarm", "Alarms of tables: their states, what they saw, what people say of them");
    group->require_subcommand(1);
    auto options = std::make_shared<Options>();
    auto* command = add(*group, "list", "The alarms of all tables, those in ALARM first", options, list, exit_status);
    command->add_option("--state", options->state, "Only alarms in this state")
        ->check(CLI::IsMember({"OK", "ALARM", "INSUFFICIENT_DATA"}));
    command->add_option("--limit", options->limit, "At most so many")
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();

    auto shown = std::make_shared<Options>();
    shown->limit = 20;
    command =
        add(*group, "show", "One alarm: its state, the evidence, what would clear it, and what else happened then",
            shown, show, exit_status);
    command->add_option("NAME", shown->name, "The alarm")->required();
    command->add_option("--limit", shown->limit, "At most so many tables")
        ->check(CLI::Range(1, 10'000))
        ->capture_default_str();
    command->add_option("--transitions", shown->transitions, "At most so many past changes of its state")
        ->check(CLI::Range(0, 1000))
        ->capture_default_str();

    register_alarm_marks(*group, exit_status);
    register_alarm_test(*group, exit_status);
    register_alarm_backtest(*group, exit_status);
}

}  // namespace signalbox::app
