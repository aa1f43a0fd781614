#include "app/cmd_measure.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <memory>
#include <set>
#include <thread>
#include <unistd.h>

#include "adapters/meter/ledger_store.hpp"
#include "adapters/meter/run.hpp"
#include "app/meter_output.hpp"
#include "app/meter_report.hpp"
#include "app/progress.hpp"
#include "app/report.hpp"
#include "app/result_file.hpp"
#include "base/text.hpp"

namespace signalbox::app {
namespace {

using base::Duration;
using base::ErrorKind;
using base::fail;

constexpr unsigned writers_max = 64;
constexpr std::size_t paths_max = 32;
constexpr Duration recovered_for = std::chrono::seconds(3);
constexpr Duration ledger_patience = std::chrono::seconds(15);
constexpr auto watch_every = std::chrono::milliseconds(50);
constexpr std::uint64_t size_max_fault_file = 256;

struct Flags {
    std::vector<std::string> paths;
    std::vector<std::string> read_paths;
    std::string interval = "10ms";
    std::string timeout = "1s";
    std::string connect_timeout = "500ms";
    std::string duration;
    std::string settle = "30s";
    unsigned writers = 1;
    std::string database = "signalbox_meter";
    std::string output = "table";
    std::string report_file;
    std::string json_file;
    std::string ready_file;
    std::string events;
    std::string fault_at;
    bool until_recovered = false;
    bool keep_ledger = false;
};

struct Plan {
    meter::MeterOptions options;
    std::vector<meter::PathTarget> paths;
    std::optional<Duration> duration;
    Duration settle{};
};

std::atomic<int> interrupts{0};

// The first signal ends the measurement, the second the program.
extern "C" void on_interrupt(int number) {
    if (interrupts.fetch_add(1) > 0) ::_exit(128 + number);
}

base::Result<Duration> read_duration(const std::string& text, std::string_view flag, Duration least) {
    auto duration = base::parse_duration(text);
    if (!duration) return base::in_context(duration.error(), flag);
    if (*duration < least) {
        return fail(ErrorKind::InvalidArgument, "{}: {} is less than {}", flag, text, base::format_duration(least));
    }
    return duration;
}

base::Result<meter::PathTarget> read_path(const std::string& text, bool writes) {
    const std::size_t equals = text.find('=');
    const std::string_view flag = writes ? "--path" : "--read-path";
    if (equals == std::string::npos) {
        return fail(ErrorKind::InvalidArgument, "{} '{}': expected NAME=mysql://USER@HOST:PORT?password_file=FILE",
                    flag, text);
    }
    const std::string name = text.substr(0, equals);
    if (!base::is_name(name)) {
        return fail(ErrorKind::InvalidArgument, "{}: '{}' is not a name (letters, digits, '.', '_', '-')", flag, name);
    }
    auto connect = mysql::parse_url(text.substr(equals + 1));
    if (!connect) return base::in_context(connect.error(), fmt::format("{} {}", flag, name));
    meter::PathTarget target{meter::describe_path(name), std::move(*connect)};
    target.info.writes = writes;
    target.info.named = !meter::is_address(target.connect.host);
    return target;
}

base::Status check_database(const std::string& name) {
    const bool plain = !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) || c == '_';
    });
    if (plain) return {};
    return fail(ErrorKind::InvalidArgument, "--database: '{}' is not a name of letters, digits and '_'", name);
}

// Different for every run of every machine: the time and the process.
std::string run_id() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return fmt::format("{:x}_{:x}", std::chrono::duration_cast<std::chrono::milliseconds>(now).count(), ::getpid());
}

base::Result<Plan> read_flags(const Flags& flags) {
    Plan plan;
    std::set<std::string> names;
    for (const auto& [list, writes] : {std::pair(&flags.paths, true), std::pair(&flags.read_paths, false)}) {
        for (const std::string& text : *list) {
            SB_TRY(meter::PathTarget target, read_path(text, writes));
            if (!names.insert(target.info.name).second) {
                return fail(ErrorKind::InvalidArgument, "two paths are named '{}'", target.info.name);
            }
            plan.paths.push_back(std::move(target));
        }
    }
    if (flags.paths.empty()) return fail(ErrorKind::InvalidArgument, "at least one --path NAME=URL is needed");
    if (plan.paths.size() > paths_max) return fail(ErrorKind::InvalidArgument, "more than {} paths", paths_max);
    SB_TRY(plan.options.interval, read_duration(flags.interval, "--interval", std::chrono::milliseconds(1)));
    SB_TRY(plan.options.timeout, read_duration(flags.timeout, "--timeout", std::chrono::milliseconds(10)));
    SB_TRY(plan.options.connect_timeout,
           read_duration(flags.connect_timeout, "--connect-timeout", std::chrono::milliseconds(10)));
    SB_TRY(plan.settle, read_duration(flags.settle, "--settle", Duration::zero()));
    if (!flags.duration.empty()) {
        SB_TRY(plan.duration, read_duration(flags.duration, "--duration", std::chrono::milliseconds(100)));
        const std::uint64_t per_tick = plan.paths.size() * (flags.writers + 3);
        const auto ticks = static_cast<std::uint64_t>(*plan.duration / plan.options.interval);
        if (ticks * per_tick > plan.options.samples_max) {
            return fail(
                ErrorKind::InvalidArgument,
                "{} at {} on {} paths is about {} samples, and at most {} are kept: choose a longer --interval or "
                "a shorter --duration",
                flags.duration, flags.interval, plan.paths.size(), ticks * per_tick, plan.options.samples_max);
        }
    }
    SB_CHECK(check_database(flags.database));
    if (!flags.fault_at.empty() && !flags.fault_at.starts_with('@')) {
        const auto time = base::parse_time(flags.fault_at);
        if (!time) return base::in_context(time.error(), "--fault-at");
    }
    plan.options.writers = flags.writers;
    plan.options.database = flags.database;
    plan.options.table = "ledger_" + run_id();
    return plan;
}

// The fault as the caller knows it: a time, or "@FILE" with one, read when the measurement is over.
base::Result<std::optional<base::MonoTime>> given_fault(const std::string& flag, const meter::Recording& recording) {
    if (flag.empty()) return std::optional<base::MonoTime>();
    std::string text = flag;
    if (flag.starts_with('@')) {
        SB_TRY(text, base::read_file(flag.substr(1), size_max_fault_file));
    }
    const auto wall = base::parse_time(base::trim(text));
    if (!wall) return base::in_context(wall.error(), "--fault-at " + flag);
    return std::optional(recording.started_at + (*wall - recording.started_at_wall));
}

std::string progress_line(const meter::RunStatus& status, const Plan& plan) {
    std::string line = fmt::format("{:.1f} s", base::to_ms(status.elapsed) / 1000);
    if (!status.steady) line += ", waiting until every path works";
    for (std::size_t i = 0; i < status.paths.size(); ++i) {
        const auto& path = status.paths[i];
        line += fmt::format("  {} {}", plan.paths[i].info.name, path.good ? "ok" : "DOWN");
        if (plan.paths[i].info.writes) line += fmt::format(" {}/{}", path.writes_ok, path.writes_unknown);
    }
    return line;
}

// Watches until the run should end. Returns false if a signal did it.
void watch(meter::MeterRun& run, const Plan& plan, const Flags& flags, Progress& progress) {
    bool announced = false;
    while (interrupts == 0) {
        const meter::RunStatus status = run.status();
        progress.show(progress_line(status, plan));
        if (status.steady && !announced && !flags.ready_file.empty()) {
            if (const auto written = write_file(flags.ready_file, "ready\n"); !written) report(written.error());
            announced = true;
        }
        if (status.samples_full) {
            std::fprintf(stderr,
                         "signalbox: %zu samples are recorded, the most that are kept: the measurement ends here\n",
                         plan.options.samples_max);
            break;
        }
        if (plan.duration && status.elapsed >= *plan.duration) break;
        if (flags.until_recovered && status.outage_seen && status.good_for >= recovered_for) break;
        std::this_thread::sleep_for(watch_every);
    }
    progress.clear();
}

base::Status write_results(const Flags& flags, const Measurement& measurement) {
    const base::json::object json = measurement_json(measurement);
    print(flags.output == "json" ? base::pretty_json(json) + "\n" : measurement_table(measurement));
    if (!flags.json_file.empty()) SB_CHECK(write_file(flags.json_file, base::pretty_json(json) + "\n"));
    if (!flags.report_file.empty()) SB_CHECK(write_file(flags.report_file, measurement_html(measurement)));
    return {};
}

int verdict(const meter::LedgerCheck& ledger) {
    if (!ledger.resolved) return base::exit_code(ErrorKind::UnknownOutcome);
    return ledger.lost + ledger.duplicated > 0 ? 1 : 0;
}

base::Result<int> measure(const Flags& flags) {
    SB_TRY(const Plan plan, read_flags(flags));
    for (const std::string& file : {flags.report_file, flags.json_file, flags.ready_file})
        SB_CHECK(check_writable(file));
    std::signal(SIGINT, on_interrupt);
    std::signal(SIGTERM, on_interrupt);
    SB_CHECK(meter::create_ledger(plan.paths, plan.options, ledger_patience));
    meter::MeterRun run(plan.options, plan.paths);
    if (const auto started = run.start(flags.events); !started) {
        static_cast<void>(meter::drop_ledger(plan.paths, plan.options));
        return tl::unexpected<base::Error>(started.error());
    }
    Progress progress;
    watch(run, plan, flags, progress);
    Measurement measurement;
    measurement.recording = run.stop();
    const auto fault = given_fault(flags.fault_at, measurement.recording);
    if (fault) {
        measurement.recording.fault_at = *fault;
    } else {
        // What was measured is worth more than a right zero of the time axis.
        report(fault.error());
    }
    const int interrupts_before = interrupts;
    const auto rows = meter::read_back(
        plan.paths, plan.options, plan.settle,
        [&](const std::string& waiting) { progress.show("reading the ledgers back: " + waiting); },
        [&] { return interrupts > interrupts_before; });
    progress.clear();
    measurement.ledger =
        meter::check_ledger(meter::attempts_of(measurement.recording), rows, measurement.recording.seen_rows);
    measurement.analysis = meter::analyse(measurement.recording);
    const int status = verdict(measurement.ledger);
    SB_CHECK(write_results(flags, measurement));
    if (flags.keep_ledger || status != 0) {
        std::fprintf(stderr, "signalbox: the ledger %s.%s is kept\n", plan.options.database.c_str(),
                     plan.options.table.c_str());
    } else if (const auto dropped = meter::drop_ledger(plan.paths, plan.options); !dropped) {
        report(dropped.error());
    }
    return status;
}

void add_flags(CLI::App& command, Flags& flags) {
    command
        .add_option(
            "--path", flags.paths,
            "NAME=mysql://USER@HOST:PORT?password_file=FILE, repeatable. Names that end in -1, -2, … lead to one "
            "member each and form a group: direct-1, direct-2")
        ->take_all();
    command.add_option("--read-path", flags.read_paths, "The same for a reader endpoint: it is only read from")
        ->take_all();
    command.add_option("--interval", flags.interval, "Time between two operations of a worker")->capture_default_str();
    command.add_option("--timeout", flags.timeout, "Deadline of one operation")->capture_default_str();
    command.add_option("--connect-timeout", flags.connect_timeout, "Deadline of one connection attempt")
        ->capture_default_str();
    command.add_option("--writers", flags.writers, "Writers per path")
        ->capture_default_str()
        ->check(CLI::Range(1U, writers_max));
    command.add_option("--duration", flags.duration, "End after this time; without it, Ctrl-C or SIGTERM ends");
    command.add_flag("--until-recovered", flags.until_recovered,
                     "End when, after an outage, all paths have been good again for 3 s");
    command.add_option("--settle", flags.settle, "How long the read-back waits for members that are away or behind")
        ->capture_default_str();
    command.add_option("--database", flags.database, "Database of the ledger; created if it is not there")
        ->capture_default_str();
    command.add_flag("--keep-ledger", flags.keep_ledger, "Don't drop the ledger at the end");
    command.add_option("--events", flags.events, "Event source: unix:SOCKET or http://HOST:PORT");
    command.add_option("--fault-at", flags.fault_at,
                       "When the fault was, as 2026-01-02T03:04:05.678Z, or @FILE with that, read at the end");
    command.add_option("--ready-file", flags.ready_file, "Written when every path works, for scripts");
    command.add_option("--output", flags.output, "table or json")
        ->capture_default_str()
        ->check(CLI::IsMember({"table", "json"}));
    command.add_option("--json", flags.json_file, "Also write the JSON to this file");
    command.add_option("--report", flags.report_file, "Write a report with a timeline picture (HTML) to this file");
}

}  // namespace

void register_measure(CLI::App& app, int& exit_status) {
    auto* command =
        app.add_subcommand("measure", "For how long could clients not read or write, and was a write lost?");
    const auto flags = std::make_shared<Flags>();
    add_flags(*command, *flags);
    command->callback([flags, &exit_status] {
        const auto status = measure(*flags);
        exit_status = status ? *status : report(status.error());
    });
}

}  // namespace signalbox::app
