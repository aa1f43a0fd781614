#include <algorithm>
#include <sys/ioctl.h>
#include <unistd.h>

#include "app/alarm_output.hpp"
#include "app/alarm_picture.hpp"
#include "app/cmd_table.hpp"
#include "app/job_context.hpp"
#include "app/result_file.hpp"
#include "app/table_history.hpp"
#include "app/table_series.hpp"
#include "app/text_plot.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;
using base::ErrorKind;
using base::fail;

struct Options : TableOptions {
    std::string metric = "snapshot.added_records";
    std::string since;
    std::string picture_file;
    double k = 3;
};

TextPlotSize plot_size() {
    winsize size{};
    constexpr std::size_t label_width = 14;
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 40) return {};
    return {std::min<std::size_t>(size.ws_col - label_width, 200), 14};
}

json::object plot_json(const TableHistory& history, const Options& options, const alarms::Backtest& backtest) {
    json::array points;
    for (const auto& step : backtest.steps) {
        if (!step.value) continue;
        json::object point{{"at", base::format_time(step.at)}, {"value", *step.value}};
        point["expected"] = nullptr;
        if (step.expected) point["expected"] = json::object{{"low", step.expected->low}, {"high", step.expected->high}};
        points.push_back(std::move(point));
    }
    return {{"table", history.table}, {"metric", options.metric}, {"k", options.k}, {"points", std::move(points)}};
}

base::Result<int> plot(const Options& options) {
    if (std::string fault = metric_fault(options.metric); !fault.empty())
        return fail(ErrorKind::InvalidArgument, "--metric: {}", fault);
    SB_CHECK(check_writable(options.picture_file));
    const auto now = wall_clock();
    std::optional<base::WallTime> since;
    if (!options.since.empty()) {
        SB_TRY(since, parse_since(options.since, now));
    }
    SB_TRY(const Config config, config_for(options.source, !is_path(options.selector)));
    // All of the past, so that the range is what it was known to be; what is shown begins later.
    SB_TRY(const TableHistory history, read_history(options.selector, config, {}));
    alarms::AlarmConfig band;
    band.name = options.metric;
    band.metric = options.metric;
    band.k = options.k;
    band.m = band.n = 1;
    alarms::Backtest backtest = alarms::backtest(band, observations_of(history.records, options.metric));
    std::erase_if(backtest.steps, [&](const auto& step) { return since && step.at < *since; });
    const bool any = std::any_of(backtest.steps.begin(), backtest.steps.end(),
                                 [](const auto& step) { return step.value.has_value(); });
    if (!any) {
        return fail(ErrorKind::NotFound, "{}: {} is not known of any commit of main{}", history.table, options.metric,
                    since ? " since then" : "");
    }
    if (!options.picture_file.empty())
        SB_CHECK(write_file(options.picture_file, alarm_svg(band, backtest, history.table)));
    if (options.as_json()) {
        print(base::pretty_json(plot_json(history, options, backtest)));
    } else if (options.picture_file.empty()) {
        print(fmt::format("{} of {}; ░ expected range, ! outside of it\n\n", options.metric, history.table) +
              text_plot(backtest.steps, plot_size()));
    }
    return 0;
}

}  // namespace

void register_table_plot(CLI::App& table, int& exit_status) {
    auto options = std::make_shared<Options>();
    auto* command =
        add_table_command(table, "plot", "One metric over the commits of main, with the range that was expected",
                          options, plot, exit_status);
    command->add_option("PATH|NAME", options->selector, selector_help)->required();
    command->add_option("--metric", options->metric, "The metric; `signalbox table metrics` names them all")
        ->capture_default_str();
    command->add_option("--since", options->since,
                        "Show what came since then: an age as 2h or 7d, or a time as 2026-01-31T08:00:00Z");
    command->add_option("--k", options->k, "Half the range's width, in calibrated standard deviations")
        ->check(CLI::Range(0.1, 100.0))
        ->capture_default_str();
    command->add_option("--out", options->picture_file, "Draw it into this SVG file");
}

}  // namespace signalbox::app
