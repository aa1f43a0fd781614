#include "app/cmd_table.hpp"

#include <CLI/CLI.hpp>
#include <memory>

#include "app/report.hpp"
#include "app/table_report.hpp"

namespace signalbox::app {
namespace {

struct MetricsOptions {
    std::string path;
    std::string output = "table";
    std::size_t partitions = 20;
};

int run_metrics(const MetricsOptions& options) {
    const auto table = read_table_report(options.path);
    if (!table) return report(table.error());
    print(options.output == "json" ? base::pretty_json(report_json(*table, options.partitions))
                                   : report_text(*table, options.partitions));
    return 0;
}

}  // namespace

void register_table(CLI::App& app, int& exit_status) {
    CLI::App* group = app.add_subcommand("table", "Iceberg tables: what their metadata says");
    group->require_subcommand(1);
    CLI::App* metrics = group->add_subcommand(
        "metrics",
        "Snapshot, partition and file metrics of a table in a local folder; reads metadata only, never a data file");
    auto options = std::make_shared<MetricsOptions>();
    metrics->add_option("PATH", options->path, "the table's folder, its metadata folder, or one metadata file")
        ->required();
    metrics->add_option("--output", options->output, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    metrics->add_option("--partitions", options->partitions, "list at most this many partitions, the largest first")
        ->check(CLI::Range(std::size_t{0}, std::size_t{1'000'000}))
        ->capture_default_str();
    metrics->callback([options, &exit_status] { exit_status = run_metrics(*options); });
}

}  // namespace signalbox::app
