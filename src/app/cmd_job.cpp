#include "app/cmd_job.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>
#include <unistd.h>

#include "adapters/process/supervisor_files.hpp"
#include "app/cmd_job_pause.hpp"
#include "app/cmd_job_simulate.hpp"
#include "app/job_context.hpp"
#include "app/job_output.hpp"
#include "app/report.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using base::ErrorKind;
using base::fail;
namespace json = base::json;

constexpr auto poll_interval = 200ms;
// How long `job run` waits for a run to start and `job stop` for it to end, before they leave the rest to whoever
// reconciles next. Longer than the loop's own limits, so that these decide first.
constexpr base::Duration start_wait = 120s;
constexpr base::Duration stop_wait = 30s;
// With --wait, how long the provider may be silent before the outcome is called unknown.
constexpr base::Duration silence_max = 60s;

struct Options {
    std::string config_file = "signalbox.yaml";
    std::string output = "text";
    std::string job;
    std::string run;
    std::vector<std::string> arguments;
    std::string key;
    std::string at;
    bool wait = false;
    bool force = false;
    bool follow = false;
    int rank = 0;
    std::size_t limit = 50;

    bool as_json() const { return output == "json"; }
};

base::Result<std::unique_ptr<JobContext>> open_context(const Options& options) {
    SB_TRY(Config config, load_config(options.config_file));
    return open_jobs(std::move(config));
}

base::Result<const jobs::Job*> find_job(const JobContext& context, const std::string& name) {
    if (const jobs::Job* job = context.config.jobs.find(name)) return job;
    std::vector<std::string> names;
    for (const jobs::Job& job : context.config.jobs.jobs) names.push_back(job.name);
    return fail(ErrorKind::NotFound, "{}: there is no job '{}'; there {}", context.config.file, name,
                names.empty() ? "is none" : "are " + base::join(names, ", "));
}

// An attempt by its id; or a run by the first letters of its id, of which the last attempt is meant.
base::Result<std::string> find_run(JobContext& context, const std::string& text) {
    ports::RunQuery query;
    query.id_prefix = text.starts_with("jr_") ? text : "jr_" + text;
    if (context.store->load(query.id_prefix)) return query.id_prefix;
    query.limit = 100;
    SB_TRY(const auto runs, context.store->list(query));
    if (runs.empty()) return fail(ErrorKind::NotFound, "there is no run '{}'; `signalbox job runs` lists them", text);
    const jobs::Run* last = &runs.front();
    for (const jobs::Run& run : runs) {
        if (jobs::first_attempt_id(run.id) != jobs::first_attempt_id(last->id))
            return fail(ErrorKind::InvalidArgument, "more than one run begins with '{}'", text);
        if (run.attempt > last->attempt) last = &run;
    }
    return last->id;
}

base::Result<std::vector<std::pair<std::string, std::string>>> parse_arguments(const std::vector<std::string>& texts) {
    std::vector<std::pair<std::string, std::string>> arguments;
    for (const std::string& text : texts) {
        const std::size_t equals = text.find('=');
        if (equals == std::string::npos || equals == 0)
            return fail(ErrorKind::InvalidConfig, "--argument {}: expected KEY=VALUE", text);
        arguments.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
    return arguments;
}

// Says what happens, on a terminal or in a log alike: one line per change. Silent for JSON.
class Progress {
  public:
    explicit Progress(bool silent) : silent_(silent) {}
    void show(const jobs::Run& run) {
        if (silent_) return;
        const std::string decision = base::json::serialize(run.decision);
        if (!run.decision.empty() && decision != decision_) {
            decision_ = decision;
            print(decision_text(run.decision) + "run: " + run.id + "\n");
        }
        const std::string line = fmt::format("{}  {}", jobs::to_string(run.state), run.reason);
        if (line == last_) return;
        last_ = line;
        print(fmt::format("{}  {}\n", base::format_time(wall_clock()), line));
    }

  private:
    bool silent_;
    std::string decision_;
    std::string last_;
};

// Drives the run, from one attempt to the next, until `done` says so or the last one is final. Errors: the store's;
// UnknownOutcome if the provider is silent for too long.
base::Result<jobs::Run> drive_until(JobContext& context, std::string id, Progress& progress, base::Duration time_max,
                                    const std::function<bool(const jobs::Run&)>& done) {
    const auto start = std::chrono::steady_clock::now();
    auto last_answer = start;
    for (;;) {
        SB_TRY(jobs::Run run, context.loop->reconcile(id));
        std::string trouble = context.loop->trouble();
        if (run.state == jobs::RunState::Waiting) {
            // Runs ahead of it in the queue may have nobody else who drives them.
            SB_CHECK(context.loop->reconcile_all_once());
            SB_TRY(run, context.store->load(id));
        }
        progress.show(run);
        const auto now = std::chrono::steady_clock::now();
        if (!run.next.empty()) {
            id = run.next;
            continue;
        }
        if (done(run) || jobs::is_final(run.state)) return run;
        if (trouble.empty()) last_answer = now;
        if (now - last_answer >= silence_max)
            return fail(ErrorKind::UnknownOutcome, "run {} is {}, but nothing was heard of it for {}: {}", id,
                        jobs::to_string(run.state), base::format_duration(silence_max), trouble);
        if (time_max > base::Duration::zero() && now - start >= time_max) return run;
        std::this_thread::sleep_for(poll_interval);
    }
}

bool start_is_known(const jobs::Run& run) {
    return run.state != jobs::RunState::Waiting && run.state != jobs::RunState::Starting;
}

// Waiting, once it is known for what, is a state that is known, too: in the queue, for addresses, for its backoff.
bool started_or_waits(const jobs::Run& run) {
    return start_is_known(run) || (run.state == jobs::RunState::Waiting && run.reason != "submitted" &&
                                   !run.reason.starts_with("the provider does not answer"));
}

base::Result<int> run_job(const Options& options) {
    SB_TRY(const auto context, open_context(options));
    SB_TRY(const jobs::Job* job, find_job(*context, options.job));
    SB_TRY(auto arguments, parse_arguments(options.arguments));
    // Before the provider is asked; whether it counts is decided where the run is stored.
    SB_TRY(const auto pause, context->store->pause_of(job->name));
    if (pause && !options.force && options.key.empty()) return fail(ErrorKind::Conflict, "{}", ports::refusal(*pause));
    // A provider that can't be asked now is said before anything is stored.
    SB_TRY(const auto preview, context->loop->explain(*job));
    std::string id = new_run_id();
    const std::string directory = run_directory(context->config, id);
    SB_TRY(const engine::Submitted submitted,
           context->loop->submit({*job, id, directory, std::move(arguments), options.key, options.force}));
    id = submitted.run.id;
    Progress progress(options.as_json());
    SB_TRY(const jobs::Run run, options.wait
                                    ? drive_until(*context, id, progress, 0s, [](const jobs::Run&) { return false; })
                                    : drive_until(*context, id, progress, start_wait, started_or_waits));
    if (options.as_json()) print(base::pretty_json(jobs::describe(run)) + "\n");
    if (!jobs::is_final(run.state) && !started_or_waits(run))
        return fail(ErrorKind::UnknownOutcome, "run {} has not started within {}: {}; `signalbox job show` tells more",
                    id, base::format_duration(start_wait), run.reason);
    return run_exit_code(run);
}

int print_decision(const Options& options, const json::object& decision) {
    print(options.as_json() ? base::pretty_json(decision) + "\n" : decision_text(decision));
    const json::value* chosen = decision.if_contains("connection");
    return chosen != nullptr && chosen->is_string() ? 0 : 1;
}

base::Result<int> explain_job(const Options& options) {
    SB_TRY(const auto context, open_context(options));
    if (!options.at.empty()) {
        // The job may have left the configuration since: its decisions are in the journal all the same.
        const auto at = base::parse_time(options.at);
        if (!at) return fail(ErrorKind::InvalidConfig, "--at {}: {}", options.at, at.error().message);
        SB_TRY(const auto replayed, engine::replay_decision(*context->journal, options.job, *at));
        return print_decision(options, replayed.decision);
    }
    SB_TRY(const jobs::Job* job, find_job(*context, options.job));
    SB_TRY(const jobs::Decision decision, context->loop->explain(*job));
    return print_decision(options, jobs::to_json(decision));
}

// What can't be brought up to date is shown as it was last known, with a word about why.
void warn_of_trouble(const JobContext& context) {
    if (!context.loop->trouble().empty())
        std::fprintf(stderr, "signalbox: the provider can't be asked, this is what was last known: %s\n",
                     context.loop->trouble().c_str());
}

base::Result<int> list_runs(const Options& options) {
    SB_TRY(const auto context, open_context(options));
    SB_CHECK(context->loop->reconcile_all());
    warn_of_trouble(*context);
    ports::RunQuery query;
    query.job = options.job;
    query.limit = options.limit;
    SB_TRY(const auto runs, context->store->list(query));
    if (!options.as_json()) {
        print(runs_text(runs, wall_clock()));
        return 0;
    }
    json::array items;
    for (const jobs::Run& run : runs) items.push_back(jobs::describe(run));
    print(base::pretty_json(json::object{{"items", std::move(items)}}) + "\n");
    return 0;
}

base::Result<int> show_run(const Options& options) {
    SB_TRY(const auto context, open_context(options));
    SB_TRY(const std::string id, find_run(*context, options.run));
    SB_CHECK(context->loop->reconcile_all());
    warn_of_trouble(*context);
    SB_TRY(const jobs::Run run, context->store->load(id));
    ports::RunQuery query;
    query.id_prefix = jobs::first_attempt_id(id);
    SB_TRY(auto attempts, context->store->list(query));
    std::sort(attempts.begin(), attempts.end(), [](const auto& a, const auto& b) { return a.attempt < b.attempt; });
    if (!options.as_json()) {
        print(run_text(run, attempts, wall_clock()));
        return 0;
    }
    json::object object = jobs::describe(run);
    json::array chain;
    for (const jobs::Run& attempt : attempts) chain.push_back(attempt_summary(attempt));
    object["attempts"] = std::move(chain);
    print(base::pretty_json(object) + "\n");
    return 0;
}

// The last attempt of the run that this one belongs to.
base::Result<jobs::Run> last_attempt(JobContext& context, std::string id) {
    for (;;) {
        SB_TRY(jobs::Run run, context.store->load(id));
        if (run.next.empty()) return run;
        id = run.next;
    }
}

base::Result<int> stop_run(const Options& options) {
    SB_TRY(const auto context, open_context(options));
    SB_TRY(const std::string id, find_run(*context, options.run));
    SB_TRY(const jobs::Run before, last_attempt(*context, id));
    if (jobs::is_final(before.state))
        return fail(ErrorKind::Conflict, "run {} has ended already: {}, {}", before.id, jobs::to_string(before.state),
                    before.reason);
    SB_TRY(const jobs::Run asked, context->loop->stop(id));
    Progress progress(options.as_json());
    SB_TRY(const jobs::Run run,
           drive_until(*context, asked.id, progress, stop_wait, [](const jobs::Run&) { return false; }));
    if (options.as_json()) print(base::pretty_json(jobs::describe(run)) + "\n");
    if (!jobs::is_final(run.state))
        return fail(ErrorKind::UnknownOutcome, "run {} is still {} after {}: {}", run.id, jobs::to_string(run.state),
                    base::format_duration(stop_wait), context->loop->trouble());
    return run.state == jobs::RunState::Stopped ? 0 : 1;
}

// Copies what was added to the file since `offset`; nothing if it does not exist yet.
base::Status copy_from(const std::string& path, off_t& offset) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return {};
    if (fd < 0) return fail(ErrorKind::Unavailable, "{}: cannot read: {}", path, std::strerror(errno));
    std::vector<char> buffer(1 << 16);
    for (;;) {
        const ssize_t size = ::pread(fd, buffer.data(), buffer.size(), offset);
        if (size <= 0) break;
        print(std::string(buffer.data(), static_cast<std::size_t>(size)));
        offset += size;
    }
    ::close(fd);
    return {};
}

base::Result<int> show_logs(const Options& options) {
    SB_TRY(const auto context, open_context(options));
    SB_TRY(const std::string id, find_run(*context, options.run));
    SB_TRY(jobs::Run run, context->loop->reconcile(id));
    off_t offset = 0;
    for (;;) {
        const bool ended = jobs::is_final(run.state);
        if (run.connection && options.rank >= static_cast<int>(run.nodes.size()))
            return fail(ErrorKind::NotFound, "run {} has no node {}; its ranks are 0 to {}", id, options.rank,
                        run.nodes.size() - 1);
        SB_CHECK(copy_from(process::log_path(run.directory, options.rank), offset));
        if (!options.follow || ended) return 0;
        std::this_thread::sleep_for(poll_interval);
        SB_TRY(run, context->loop->reconcile(id));
    }
}

using Action = base::Result<int> (*)(const Options&);

CLI::App* add(CLI::App& group, const std::string& name, const std::string& about, Action action,
              const std::shared_ptr<Options>& options, int& exit_status, bool prints_json = true) {
    auto* command = group.add_subcommand(name, about);
    command->add_option("-c,--config", options->config_file, "Configuration file")->capture_default_str();
    if (prints_json) {
        command->add_option("--output", options->output, "text or json")
            ->check(CLI::IsMember({"text", "json"}))
            ->capture_default_str();
    }
    command->callback([options, action, &exit_status] {
        const auto status = action(*options);
        exit_status = status ? *status : report(status.error());
    });
    return command;
}

}  // namespace

void register_job(CLI::App& app, int& exit_status) {
    auto options = std::make_shared<Options>();
    auto* group = app.add_subcommand("job", "Choose a connection for a job, run it, and look after its runs");
    group->require_subcommand(1);

    auto* run = add(*group, "run", "Choose a connection and start a run", &run_job, options, exit_status);
    run->add_option("NAME", options->job, "The job")->required();
    run->add_flag("--wait", options->wait, "Wait until the run has ended; the exit code tells how");
    run->add_option("--argument", options->arguments, "KEY=VALUE, given to the command as --KEY VALUE; repeatable")
        ->allow_extra_args(false);
    run->add_option("--idempotency-key", options->key,
                    "A name of your own for this run: however often it is asked for, it is one run")
        ->check([](const std::string& text) {
            return text.empty() || text.size() > 200 ? "expected 1 to 200 bytes" : std::string();
        });
    run->add_flag("--force", options->force, "Also if the job is paused");
    run->footer(
        "Exit codes: 0 started (with --wait: SUCCEEDED); 1 FAILED, STOPPED, TIMEOUT, EXPIRED or no usable "
        "connection; 2 usage or configuration; 3 ERROR or the provider failed; 4 unknown.");

    auto* explain = add(*group, "explain", "Which connection would be chosen now, and why not the others", &explain_job,
                        options, exit_status);
    explain->add_option("NAME", options->job, "The job")->required();

    explain->add_option("--at", options->at,
                        "Take the last decision at this time or before again, as in 2026-01-02T03:04:05Z");

    auto* runs = add(*group, "runs", "List runs, the newest first", &list_runs, options, exit_status);
    runs->add_option("NAME", options->job, "Only runs of this job");
    runs->add_option("--limit", options->limit, "At most so many")
        ->check(CLI::Range(1, 100'000))
        ->capture_default_str();

    auto* show =
        add(*group, "show", "One run with its attempts, its nodes and its decision", &show_run, options, exit_status);
    show->add_option("RUN", options->run, "The run's id, or the first letters of it")->required();

    auto* logs = add(*group, "logs", "What a node of a run wrote", &show_logs, options, exit_status, false);
    logs->add_option("RUN", options->run, "The run's id, or the first letters of it")->required();
    logs->add_flag("-f,--follow", options->follow, "Go on until the run has ended");
    logs->add_option("--rank", options->rank, "The node; 0 is the driver")
        ->check(CLI::Range(0, 999))
        ->capture_default_str();

    auto* stop =
        add(*group, "stop", "Stop a run and wait until its addresses are free", &stop_run, options, exit_status);
    stop->add_option("RUN", options->run, "The run's id, or the first letters of it")->required();

    register_job_pause(*group, exit_status);
    register_job_simulate(*group, exit_status);
}

}  // namespace signalbox::app
