#include "app/cmd_job_pause.hpp"

#include <memory>
#include <pwd.h>
#include <unistd.h>

#include "app/job_context.hpp"
#include "app/report.hpp"

namespace signalbox::app {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::size_t reason_max = 500;

struct Options {
    std::string config_file = "signalbox.yaml";
    std::string output = "text";
    std::string job;
    std::string reason;
};

struct Store {
    std::unique_ptr<sqlite::RunStore> runs;
    bool known = false;  // the configuration has the job
};

base::Result<Store> open_store(const Options& options) {
    SB_TRY(const Config config, load_config(options.config_file, Secrets::Skip));
    SB_TRY(auto database, sqlite::Database::open(config.store));
    Store store;
    SB_TRY(store.runs, sqlite::RunStore::open(std::move(database)));
    store.known = config.jobs.find(options.job) != nullptr;
    return store;
}

// The name counts as it is in the password file; without one, the number.
std::string user() {
    passwd entry{};
    passwd* found = nullptr;
    char buffer[4096];
    const bool known = ::getpwuid_r(::getuid(), &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr;
    return "user " + (known ? std::string(entry.pw_name) : std::to_string(::getuid()));
}

void show(const Options& options, const ports::JobPause& pause, const std::string& text) {
    print(options.output == "json" ? base::pretty_json(pause_json(pause)) + "\n" : text + "\n");
}

base::Result<int> pause_job(const Options& options) {
    SB_TRY(const Store store, open_store(options));
    if (!store.known) return fail(ErrorKind::NotFound, "{}: there is no job '{}'", options.config_file, options.job);
    const base::WallTime now = wall_clock();
    SB_TRY(const auto standing, store.runs->pause({options.job, user(), options.reason, now}));
    if (standing.at != now) {
        return fail(ErrorKind::Conflict, "job '{}' is paused already, since {} by {}: {}", options.job,
                    base::format_time(standing.at), standing.by, standing.reason);
    }
    show(options, standing, fmt::format("job '{}' is paused; runs under way go on", options.job));
    return 0;
}

// A job that has left the configuration can be resumed as well.
base::Result<int> resume_job(const Options& options) {
    SB_TRY(const Store store, open_store(options));
    SB_TRY(const auto ended, store.runs->resume(options.job, user(), wall_clock(), {}));
    if (!ended) return fail(ErrorKind::Conflict, "job '{}' is not paused", options.job);
    show(options, *ended,
         fmt::format("job '{}' takes runs again; it was paused since {} by {}: {}", options.job,
                     base::format_time(ended->at), ended->by, ended->reason));
    return 0;
}

CLI::App* add(CLI::App& group, const std::string& name, const std::string& about,
              base::Result<int> (*action)(const Options&), const std::shared_ptr<Options>& options, int& exit_status) {
    auto* command = group.add_subcommand(name, about);
    command->add_option("NAME", options->job, "The job")->required();
    command->add_option("-c,--config", options->config_file, "Configuration file")->capture_default_str();
    command->add_option("--output", options->output, "text or json")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    command->callback([options, action, &exit_status] {
        const auto status = action(*options);
        exit_status = status ? *status : report(status.error());
    });
    return command;
}

}  // namespace

void register_job_pause(CLI::App& group, int& exit_status) {
    auto options = std::make_shared<Options>();
    auto* pause =
        add(group, "pause", "Take no new runs of a job until it is resumed", &pause_job, options, exit_status);
    pause->add_option("--reason", options->reason, "Why, for whoever asks for a run meanwhile")
        ->required()
        ->check([](const std::string& text) {
            const bool plain = text.find_first_of("\n\r\t") == std::string::npos;
            return text.empty() || text.size() > reason_max || !plain ? "expected one line of 1 to 500 bytes"
                                                                      : std::string();
        });
    add(group, "resume", "Take new runs of a paused job again", &resume_job, options, exit_status);
}

}  // namespace signalbox::app
