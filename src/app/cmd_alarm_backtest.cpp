#include "app/cmd_alarm_backtest.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>

#include "app/alarm_output.hpp"
#include "app/alarm_picture.hpp"
#include "app/job_context.hpp"
#include "app/report.hpp"
#include "app/result_file.hpp"
#include "app/table_history.hpp"
#include "app/table_series.hpp"
#include "base/table_text.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;
using alarms::AlarmConfig;
using alarms::AlarmKind;
using base::ErrorKind;
using base::fail;

constexpr std::uint64_t csv_max_bytes = std::uint64_t{1} << 30;

struct Options {
    SourceOptions source;
    std::string output = "table";
    std::vector<std::string> words;  // [NAME] [PATH|NAME of a table]
    std::string csv_file;
    std::string since;
    std::string picture_file;
    // Of the alarm; what was not given stays as it is configured.
    std::string kind;
    std::string metric;
    std::optional<double> k;
    std::string side;
    std::string comparison;
    std::optional<double> threshold;
    std::optional<double> clear_threshold;
    std::string period;
    std::string statistic;
    std::optional<int> m;
    std::optional<int> n;
    std::string missing;
    std::string interval;

    bool as_json() const { return output == "json"; }
};

// What was asked for.
struct Question {
    std::string alarm;  // empty: made of the flags
    std::string table;  // path or name; empty: the CSV file
};

base::Result<Question> question_of(const Options& options) {
    Question question;
    std::vector<std::string> words = options.words;
    if (options.kind.empty()) {
        if (words.empty())
            return fail(ErrorKind::InvalidArgument,
                        "expected an alarm: its NAME, or --kind with --metric for one that is not configured");
        question.alarm = words.front();
        words.erase(words.begin());
    }
    if (!words.empty()) question.table = words.front();
    if (words.size() > 1)
        return fail(ErrorKind::InvalidArgument, "'{}' is one argument too many: --kind stands for the alarm's name",
                    words.back());
    if (question.table.empty() == options.csv_file.empty())
        return fail(ErrorKind::InvalidArgument,
                    "expected the series to run over: a table (PATH or NAME), or --csv FILE, and not both");
    return question;
}

base::Result<base::Duration> duration_of(const char* flag, const std::string& text) {
    auto duration = base::parse_duration(text);
    if (!duration)
        return fail(ErrorKind::InvalidArgument, "{}: expected a time as 10m, 6h or 1d, found '{}'", flag, text);
    return duration;
}

// The alarm with what the flags say instead; CLI11 has checked the words.
base::Result<AlarmConfig> with_flags(AlarmConfig alarm, const Options& options) {
    if (!options.kind.empty()) alarm.kind = *alarms::parse_alarm_kind(options.kind);
    if (!options.metric.empty()) alarm.metric = options.metric;
    if (options.k) alarm.k = *options.k;
    if (!options.side.empty()) alarm.side = *alarms::parse_side(options.side);
    if (!options.comparison.empty()) alarm.comparison = *alarms::parse_comparison(options.comparison);
    if (options.threshold) alarm.threshold = options.threshold;
    if (options.clear_threshold) alarm.clear_threshold = options.clear_threshold;
    if (!options.statistic.empty()) alarm.statistic = alarms::parse_statistic(options.statistic);
    if (!options.missing.empty()) alarm.missing = *alarms::parse_missing_data(options.missing);
    if (options.m) alarm.m = *options.m;
    if (options.n || options.m) alarm.n = options.n.value_or(std::max(alarm.n, alarm.m));
    if (!options.m) alarm.m = std::min(alarm.m, alarm.n);
    if (!options.period.empty()) {
        SB_TRY(alarm.period, duration_of("--period", options.period));
    }
    if (!options.interval.empty()) {
        SB_TRY(alarm.interval, duration_of("--interval", options.interval));
    }
    return alarm;
}

base::Result<AlarmConfig> alarm_of(const Options& options, const Question& question, const Config& config) {
    AlarmConfig alarm;
    if (question.alarm.empty()) {
        alarm.name = options.kind;
    } else {
        std::vector<std::string> names;
        for (const auto& binding : config.watch.alarms) names.push_back(binding.config.name);
        const auto found = std::find(names.begin(), names.end(), question.alarm);
        if (found == names.end()) {
            const auto near = base::nearest(question.alarm, names);
            return fail(ErrorKind::NotFound, "there is no alarm '{}'; {}", question.alarm,
                        near ? "did you mean " + *near + "?"
                             : "there are " + base::join(names, ", ") + "; or make one with --kind and --metric");
        }
        alarm = config.watch.alarms[static_cast<std::size_t>(found - names.begin())].config;
    }
    SB_TRY(alarm, with_flags(std::move(alarm), options));
    const bool measured = alarm.kind == AlarmKind::Band || alarm.kind == AlarmKind::Threshold;
    // A CSV file's values are of any metric.
    if (measured && alarm.metric.empty() && !options.csv_file.empty()) alarm.metric = "value";
    if (measured && options.csv_file.empty()) {
        if (alarm.metric.empty())
            return fail(ErrorKind::InvalidArgument, "an alarm of kind '{}' needs --metric", to_string(alarm.kind));
        if (std::string fault = metric_fault(alarm.metric); !fault.empty())
            return fail(ErrorKind::InvalidArgument, "--metric: {}", fault);
    }
    if (auto status = alarms::check(alarm); !status)
        return fail(ErrorKind::InvalidArgument, "{}", status.error().text());
    return alarm;
}

// The configuration if the question needs it, or the one that lies here might have the alarm.
base::Result<Config> config_of(const Options& options, const Question& question) {
    std::error_code ignored;
    const bool named_table = !question.table.empty() && !is_path(question.table);
    const bool here = !question.alarm.empty() && std::filesystem::exists(options.source.config_file, ignored);
    return config_for(options.source, named_table || here);
}

struct Run {
    std::string series;
    alarms::Backtest backtest;
};

base::Result<Run> run_over(const Options& options, const Question& question, const Config& config,
                           const AlarmConfig& alarm) {
    const auto now = wall_clock();
    std::optional<base::WallTime> since;
    if (!options.since.empty()) {
        SB_TRY(since, parse_since(options.since, now));
    }
    if (!options.csv_file.empty()) {
        SB_TRY(const std::string text, base::read_file(options.csv_file, csv_max_bytes));
        SB_TRY(auto points, parse_csv(text, options.csv_file));
        std::erase_if(points, [&](const auto& point) { return since && point.at < *since; });
        return Run{options.csv_file, alarms::backtest(alarm, points)};
    }
    HistoryFilter filter;
    filter.since = since;
    SB_TRY(const TableHistory history, read_history(question.table, config, filter));
    return Run{history.table, alarms::backtest(alarm, observations_of(history.records, alarm.metric))};
}

std::string run_text(const AlarmConfig& alarm, const Run& run) {
    std::size_t points = 0;
    base::TableText table({"TIME", "CHANGE", "EPISODE", "VALUE", "TEXT"});
    bool any = false;
    for (const auto& step : run.backtest.steps) {
        if (step.value) ++points;
        if (!step.transition) continue;
        any = true;
        const auto& change = *step.transition;
        table.row({base::format_time(change.at), fmt::format("{} -> {}", to_string(change.from), to_string(change.to)),
                   fmt::format("{}", change.episode), step.value ? number_text(*step.value) : "-", change.text});
    }
    const std::size_t episodes = run.backtest.episodes;
    std::string text = fmt::format("{} ({}) over {}: {} points, {} episode{} of ALARM\n", alarm.name, describe(alarm),
                                   run.series, points, episodes, episodes == 1 ? "" : "s");
    if (any) text += "\n" + table.render();
    return text;
}

json::object run_json(const AlarmConfig& alarm, const Run& run) {
    json::array steps;
    json::array transitions;
    for (const auto& step : run.backtest.steps) {
        steps.push_back(alarms::to_json(step));
        if (!step.transition) continue;
        const auto& change = *step.transition;
        transitions.push_back(json::object{{"at", base::format_time(change.at)},
                                           {"from", to_string(change.from)},
                                           {"to", to_string(change.to)},
                                           {"episode", change.episode},
                                           {"text", change.text},
                                           {"evidence", change.evidence}});
    }
    return {{"alarm", alarm.name},
            {"watches", describe(alarm)},
            {"series", run.series},
            {"episodes", run.backtest.episodes},
            {"transitions", std::move(transitions)},
            {"steps", std::move(steps)}};
}

base::Result<int> backtest(const Options& options) {
    SB_TRY(const Question question, question_of(options));
    SB_CHECK(check_writable(options.picture_file));
    SB_TRY(const Config config, config_of(options, question));
    SB_TRY(const AlarmConfig alarm, alarm_of(options, question, config));
    SB_TRY(const Run run, run_over(options, question, config, alarm));
    if (run.backtest.steps.empty())
        return fail(ErrorKind::NotFound, "{}: there is nothing that the alarm '{}' looks at", run.series, alarm.name);
    if (!options.picture_file.empty())
        SB_CHECK(write_file(options.picture_file, alarm_svg(alarm, run.backtest, run.series)));
    print(options.as_json() ? base::pretty_json(run_json(alarm, run)) : run_text(alarm, run));
    return 0;
}

template <typename Enum>
std::vector<std::string> words_of(std::initializer_list<Enum> values) {
    std::vector<std::string> list;
    for (const Enum value : values) list.emplace_back(alarms::to_string(value));
    return list;
}

void add_alarm_flags(CLI::App& command, Options& options) {
    using namespace alarms;
    const char* group = "The alarm, instead of or over a configured one";
    const auto words = [&](const char* flag, std::string& value, const char* help, std::vector<std::string> allowed) {
        command.add_option(flag, value, help)->check(CLI::IsMember(std::move(allowed)))->group(group);
    };
    words("--kind", options.kind, "Its kind",
          words_of({AlarmKind::Band, AlarmKind::Threshold, AlarmKind::Late, AlarmKind::Drift, AlarmKind::Rollback,
                    AlarmKind::DeletionSpike, AlarmKind::SchemaChanged, AlarmKind::Repeated}));
    command.add_option("--metric", options.metric, "What a band or threshold looks at")->group(group);
    command.add_option("--k", options.k, "Half the band's width, in calibrated standard deviations")->group(group);
    words("--side", options.side, "Which side of the band counts", words_of({Side::Both, Side::Above, Side::Below}));
    command.add_option("--threshold", options.threshold, "The bound")->group(group);
    command.add_option("--clear-threshold", options.clear_threshold, "The bound that ends an ALARM")->group(group);
    words(
        "--comparison", options.comparison, "Which side of the bound is bad",
        words_of({Comparison::GreaterThan, Comparison::GreaterOrEqual, Comparison::LessThan, Comparison::LessOrEqual}));
    command.add_option("--period", options.period, "Judge periods of this length instead of commits")->group(group);
    words("--statistic", options.statistic, "How a period's points become one",
          words_of({Statistic::Sum, Statistic::Average, Statistic::Minimum, Statistic::Maximum, Statistic::Last}));
    command.add_option("--m", options.m, "So many bad ones")->group(group);
    command.add_option("--n", options.n, "Of the last so many")->group(group);
    words("--missing", options.missing, "How a period without a point counts",
          words_of({MissingData::Missing, MissingData::Ignore, MissingData::Breaching, MissingData::NotBreaching}));
    command.add_option("--interval", options.interval, "Kind late: how long a silence is normal")->group(group);
}

}  // namespace

void register_alarm_backtest(CLI::App& alarm, int& exit_status) {
    auto options = std::make_shared<Options>();
    auto* command =
        alarm.add_subcommand("backtest", "What an alarm would have done over recorded commits or a CSV file");
    auto* config =
        command->add_option("-c,--config", options->source.config_file, "Configuration file")->capture_default_str();
    command->add_option("--output", options->output, "Form of what is printed")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    command
        ->add_option("WHAT", options->words,
                     "The alarm's name, unless --kind makes one; then a table: a path, or a name")
        ->expected(0, 2);
    command->add_option("--csv", options->csv_file, "Instead of a table: lines of timestamp,value[,operation]")
        ->check(CLI::ExistingFile);
    command->add_option("--since", options->since,
                        "Only what came since then: an age as 7d, or a time as 2026-01-31T08:00:00Z");
    command->add_option("--out", options->picture_file, "Draw values, expected range and episodes into this SVG file");
    add_alarm_flags(*command, *options);
    command->callback([options, config, &exit_status] {
        options->source.config_given = config->count() > 0;
        const auto done = backtest(*options);
        exit_status = done ? *done : report(done.error());
    });
}

}  // namespace signalbox::app
