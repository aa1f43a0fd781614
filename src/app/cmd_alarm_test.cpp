#include "app/cmd_alarm_test.hpp"

#include <algorithm>
#include <memory>

#include "app/action_runners.hpp"
#include "app/alarm_output.hpp"
#include "app/job_context.hpp"
#include "app/report.hpp"
#include "base/table_text.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;
using base::ErrorKind;
using base::fail;

struct Options {
    std::string config_file = "signalbox.yaml";
    std::string output = "table";
    std::string name;
    std::string table = "test.table";
    std::string state = "ALARM";
    bool send = false;
};

struct Tried {
    std::string action;
    std::string kind;
    std::string outcome;  // "done", "retry", "refused", "failed"
    std::string text;
};

base::Result<const alarms::AlarmConfig*> find_alarm(const Config& config, const std::string& name) {
    std::vector<std::string> names;
    for (const auto& binding : config.watch.alarms) {
        if (binding.config.name == name) return &binding.config;
        names.push_back(binding.config.name);
    }
    const auto near = base::nearest(name, names);
    return fail(ErrorKind::NotFound, "{}: there is no alarm '{}'; {}", config.file, name,
                near            ? "did you mean " + *near + "?"
                : names.empty() ? "there is none"
                                : "there are " + base::join(names, ", "));
}

// Nobody may take it for a real one: the state's evidence says so first, and so does a field of its own.
ports::ActionRequest request_of(const alarms::AlarmConfig& alarm, const alarms::ActionConfig& action,
                                const Options& options, base::WallTime now) {
    ports::ActionRequest request;
    request.id = "test_" + new_run_id();
    request.alarm = alarm.name;
    request.table = options.table;
    request.action = action.name;
    request.dry_run = !options.send || action.dry_run;
    const std::string text = fmt::format("TEST by signalbox alarm test: nothing is wrong with {}", options.table);
    request.transition = {
        {"test", true},
        {"state", options.state},
        {"previous", options.state == "ALARM" ? "OK" : "ALARM"},
        {"at", base::format_time(now)},
        {"episode", 0},
        {"evidence", text},
        {"details", json::object{{"alarm", alarm.name}, {"kind", to_string(alarm.kind)}, {"text", text}}},
        {"playbook", alarm.playbook},
        {"links", json::array()}};
    return request;
}

Tried try_action(const engine::JobActionPorts& jobs, const alarms::AlarmConfig& alarm,
                 const alarms::ActionConfig& action, const Options& options, base::WallTime now) {
    Tried tried{action.name, std::string(alarms::kind_of(action)), "failed", ""};
    const auto outcome = make_runner(action, jobs, [] { return false; })->run(request_of(alarm, action, options, now));
    if (outcome) tried.outcome = ports::to_string(outcome->verdict);
    tried.text = outcome ? outcome->text : outcome.error().text();
    return tried;
}

std::string tried_text(const alarms::AlarmConfig& alarm, const std::vector<Tried>& tried, const Options& options) {
    base::TableText table({"ACTION", "KIND", "OUTCOME", "TEXT"});
    for (const Tried& one : tried) table.row({one.action, one.kind, one.outcome, one.text});
    std::string text = table.render();
    if (!options.send) text += fmt::format("Nothing was done; `signalbox alarm test {} --send` does it\n", alarm.name);
    return text;
}

base::Result<int> test(const Options& options) {
    SB_TRY(const Config config, load_config(options.config_file, Secrets::Read));
    SB_TRY(const alarms::AlarmConfig* const alarm, find_alarm(config, options.name));
    const auto trigger = alarms::parse_action_trigger(options.state);
    const auto actions =
        alarms::called_for(config.watch.actions, alarm->actions, trigger.value_or(alarms::ActionTrigger::Alarm));
    if (actions.empty()) {
        return fail(ErrorKind::NotFound, "{}: the alarm '{}' {}", config.file, alarm->name,
                    alarm->actions.empty()
                        ? "has no actions; add some to its key 'actions'"
                        : fmt::format("has no action that {} calls for; see their key 'on'", options.state));
    }
    // What is only said changes nothing, so that no store is made for it either.
    SB_TRY(auto database, sqlite::Database::open(options.send ? config.store : ":memory:"));
    SB_TRY(const auto runs, sqlite::RunStore::open(std::move(database)));
    const engine::JobActionPorts jobs = job_action_ports(config, *runs);
    const auto now = wall_clock();
    std::vector<Tried> tried;
    for (const auto* action : actions) tried.push_back(try_action(jobs, *alarm, *action, options, now));
    if (options.output == "json") {
        json::array items;
        for (const Tried& one : tried)
            items.push_back(
                json::object{{"action", one.action}, {"kind", one.kind}, {"outcome", one.outcome}, {"text", one.text}});
        print(base::pretty_json({{"alarm", alarm->name},
                                 {"table", options.table},
                                 {"state", options.state},
                                 {"sent", options.send},
                                 {"items", std::move(items)}}));
    } else {
        print(tried_text(*alarm, tried, options));
    }
    const bool good = std::all_of(tried.begin(), tried.end(), [](const Tried& one) { return one.outcome == "done"; });
    return good ? 0 : base::exit_code(ErrorKind::Unavailable);
}

}  // namespace

void register_alarm_test(CLI::App& alarm, int& exit_status) {
    auto options = std::make_shared<Options>();
    auto* command = alarm.add_subcommand(
        "test",
        "Try an alarm's actions with a transition that is marked as a test; says what would be done, "
        "and does it with --send");
    command->footer("Ends with 0 if every action came to its end, with 3 if one did not.");
    command->add_option("NAME", options->name, "The alarm")->required();
    command->add_option("-c,--config", options->config_file, "Configuration file")->capture_default_str();
    command->add_option("--output", options->output, "Form of what is printed")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    command->add_option("--table", options->table, "The table that is named in it")->capture_default_str();
    command->add_option("--state", options->state, "The state that the alarm is said to enter")
        ->check(CLI::IsMember({"ALARM", "OK", "INSUFFICIENT_DATA"}))
        ->capture_default_str();
    command->add_flag("--send", options->send,
                      "Really do it: call the webhook, run the command, start or pause the job");
    command->callback([options, &exit_status] {
        const auto done = test(*options);
        exit_status = done ? *done : report(done.error());
    });
}

}  // namespace signalbox::app
