#include "app/config_actions.hpp"

#include <algorithm>

#include "adapters/http/client.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using alarms::ActionConfig;
using alarms::ActionTrigger;

constexpr std::size_t actions_max = 256;
constexpr std::size_t words_max = 100;
constexpr const char* kinds[] = {"webhook", "command", "job", "pause"};
constexpr base::Duration interval_max = 7 * 24h;
constexpr std::int64_t count_max = 10'000;

void check_job(yaml::Reader& reader, const std::string& job, const JobsConfig& jobs) {
    if (job.empty() || jobs.find(job) != nullptr) return;
    std::vector<std::string> names;
    for (const auto& one : jobs.jobs) names.push_back(one.name);
    const auto near = base::nearest(job, names);
    reader.fault("job", fmt::format("there is no job '{}'; {}", job,
                                    near            ? "did you mean " + *near + "?"
                                    : names.empty() ? "there is none"
                                                    : "there are " + base::join(names, ", ")));
}

alarms::WebhookAction read_webhook(yaml::Reader& reader, const std::string& config_file, Secrets secrets) {
    alarms::WebhookAction webhook;
    const auto url = reader.text("url");
    // Many receivers know their callers by the URL alone: then it is a secret.
    const std::string secret_url = read_secret(reader, "url", config_file, secrets);
    const bool elsewhere = reader.has("url_file") || reader.has("url_env");
    if (url.has_value() == elsewhere) reader.fault("url", "expected one of url, url_file and url_env");
    webhook.url = url.value_or(secret_url);
    const bool known = url || (elsewhere && secrets == Secrets::Read);
    if (known && !webhook.url.empty()) {
        if (const auto parts = http::split_url(webhook.url); !parts)
            reader.fault(url ? "url" : reader.has("url_file") ? "url_file" : "url_env", parts.error().message);
    }
    webhook.secret = read_secret(reader, "secret", config_file, secrets);
    if ((reader.has("secret_file") || reader.has("secret_env")) && secrets == Secrets::Read && webhook.secret.empty())
        reader.fault(reader.has("secret_file") ? "secret_file" : "secret_env", "the secret is empty");
    if (const auto ca = reader.text("tls_ca_file")) webhook.tls_ca_file = resolve_path(config_file, *ca);
    webhook.deadline = reader.duration("deadline", 100ms, 5min).value_or(webhook.deadline);
    reader.finish();
    return webhook;
}

alarms::CommandAction read_command(yaml::Reader& reader, const std::string& config_file) {
    alarms::CommandAction command;
    command.command = reader.texts("command");
    if (command.command.empty() || command.command.size() > words_max)
        reader.fault("command",
                     fmt::format("expected the program and its arguments as a list of 1 to {} texts", words_max));
    command.directory = resolve_path(config_file, reader.text("directory").value_or("."));
    command.deadline = reader.duration("deadline", 100ms, 10min).value_or(command.deadline);
    reader.finish();
    return command;
}

alarms::JobAction read_job_action(yaml::Reader& reader, const JobsConfig& jobs) {
    alarms::JobAction action;
    action.job = reader.need_name("job");
    check_job(reader, action.job, jobs);
    action.arguments = reader.pairs("arguments");
    if (action.arguments.size() > words_max)
        reader.fault("arguments", fmt::format("expected at most {}, found {}", words_max, action.arguments.size()));
    reader.finish();
    return action;
}

alarms::PauseAction read_pause(yaml::Reader& reader, const JobsConfig& jobs) {
    alarms::PauseAction action;
    action.job = reader.need_name("job");
    check_job(reader, action.job, jobs);
    action.resume_on_ok = reader.boolean("resume_on_ok").value_or(false);
    reader.finish();
    return action;
}

// What it does: one of the four.
void read_kind(yaml::Reader& reader, const std::string& config_file, const JobsConfig& jobs, Secrets secrets,
               ActionConfig& action) {
    int found = 0;
    for (const char* kind : kinds) {
        auto mapping = reader.mapping(kind);
        if (!mapping) continue;
        if (++found > 1) {
            reader.fault(kind, "an action does one thing: expected one of webhook, command, job and pause");
            continue;
        }
        const std::string_view what = kind;
        if (what == "webhook") action.what = read_webhook(*mapping, config_file, secrets);
        if (what == "command") action.what = read_command(*mapping, config_file);
        if (what == "job") action.what = read_job_action(*mapping, jobs);
        if (what == "pause") action.what = read_pause(*mapping, jobs);
    }
    if (found == 0) reader.fault("", "expected one of webhook, command, job and pause");
}

// To people and programs that look on, the end of an alarm is news as well; a job is started and paused by its begin.
std::set<ActionTrigger> default_triggers(const ActionConfig& action) {
    const auto* pause = std::get_if<alarms::PauseAction>(&action.what);
    if (std::holds_alternative<alarms::JobAction>(action.what) || (pause != nullptr && !pause->resume_on_ok))
        return {ActionTrigger::Alarm};
    return {ActionTrigger::Alarm, ActionTrigger::Ok};
}

void read_triggers(yaml::Reader& reader, ActionConfig& action) {
    action.on = default_triggers(action);
    const auto words = reader.texts("on");
    if (!reader.has("on")) return;
    action.on.clear();
    for (const std::string& word : words) {
        const auto trigger = alarms::parse_action_trigger(word);
        if (trigger) action.on.insert(*trigger);
        if (!trigger) reader.fault("on", fmt::format("expected ALARM, OK or INSUFFICIENT_DATA, found '{}'", word));
    }
    if (words.empty()) reader.fault("on", "expected a list of at least one of ALARM, OK and INSUFFICIENT_DATA");
    const auto* pause = std::get_if<alarms::PauseAction>(&action.what);
    if (pause != nullptr && pause->resume_on_ok && !action.on.contains(ActionTrigger::Ok))
        reader.fault("on", "resume_on_ok needs OK among these");
}

void read_retry_policy(yaml::Reader& reader, alarms::ActionRetry& retry) {
    auto mapping = reader.mapping("retry");
    if (!mapping) return;
    retry.tries_max = static_cast<int>(mapping->integer("tries", 1, 100).value_or(retry.tries_max));
    retry.backoff_base = mapping->duration("backoff", 100ms, 1h).value_or(retry.backoff_base);
    retry.backoff_max =
        mapping->duration("backoff_max", 100ms, 24h).value_or(std::max(retry.backoff_base, retry.backoff_max));
    retry.age_max = mapping->duration("age_max", 1s, interval_max).value_or(retry.age_max);
    if (retry.backoff_max < retry.backoff_base)
        mapping->fault("backoff_max", fmt::format("expected at least the backoff, {}, found {}",
                                                  base::format_duration(retry.backoff_base),
                                                  base::format_duration(retry.backoff_max)));
    mapping->finish();
}

ActionConfig read_action(yaml::Reader& reader, const std::string& config_file, const JobsConfig& jobs,
                         Secrets secrets) {
    ActionConfig action;
    action.name = reader.need_name("name");
    read_kind(reader, config_file, jobs, secrets, action);
    read_triggers(reader, action);
    if (const auto text = reader.text("rate_limit")) {
        const auto limit = parse_rate_limit(*text);
        if (limit) action.rate_limit = *limit;
        if (!limit) reader.fault("rate_limit", limit.error().message);
    }
    action.dry_run = reader.boolean("dry_run").value_or(false);
    read_retry_policy(reader, action.retry);
    reader.finish();
    return action;
}

}  // namespace

base::Result<alarms::RateLimit> parse_rate_limit(const std::string& text) {
    const auto wrong = [&] {
        return base::fail(base::ErrorKind::InvalidConfig,
                          "expected a count and an interval of at most 7d, as 10/h or 1/30m, found '{}'", text);
    };
    const std::size_t slash = text.find('/');
    if (slash == std::string::npos) return wrong();
    const auto count = base::parse_int(base::trim(std::string_view(text).substr(0, slash)));
    std::string unit(base::trim(std::string_view(text).substr(slash + 1)));
    if (!unit.empty() && (unit.front() < '0' || unit.front() > '9')) unit = "1" + unit;
    const auto interval = base::parse_duration(unit);
    if (!count || *count < 1 || *count > count_max || !interval || *interval <= 0s || *interval > interval_max)
        return wrong();
    return alarms::RateLimit{static_cast<int>(*count), *interval};
}

std::vector<ActionConfig> read_actions(yaml::Reader& root, const std::string& config_file, const JobsConfig& jobs,
                                       Secrets secrets) {
    std::vector<ActionConfig> actions;
    yaml::UniqueNames names("action");
    for (yaml::Reader& reader : root.list("actions")) {
        actions.push_back(read_action(reader, config_file, jobs, secrets));
        names.add(reader, "name", actions.back().name);
    }
    if (actions.size() > actions_max)
        root.fault("actions", fmt::format("expected at most {} actions, found {}", actions_max, actions.size()));
    return actions;
}

}  // namespace signalbox::app
