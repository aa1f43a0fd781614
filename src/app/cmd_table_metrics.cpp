#include "app/cmd_table.hpp"
#include "app/table_report.hpp"

namespace signalbox::app {
namespace {

struct Options : TableOptions {
    std::size_t partitions = 20;
};

base::Result<int> metrics(const Options& options) {
    SB_TRY(const Config config, config_for(options.source, !is_path(options.selector)));
    SB_TRY(ReadTable selected, read_selected(options.selector, config));
    SB_TRY(const TableReport table, read_table_report(std::move(selected)));
    print(options.as_json() ? base::pretty_json(report_json(table, options.partitions))
                            : report_text(table, options.partitions));
    return 0;
}

}  // namespace

void register_table_metrics(CLI::App& table, int& exit_status) {
    auto options = std::make_shared<Options>();
    auto* command = add_table_command(
        table, "metrics",
        "Snapshot, partition and file metrics of a table as it is now; reads metadata only, never a data file", options,
        metrics, exit_status);
    command->add_option("PATH|NAME", options->selector, selector_help)->required();
    command->add_option("--partitions", options->partitions, "list at most this many partitions, the largest first")
        ->check(CLI::Range(std::size_t{0}, std::size_t{1'000'000}))
        ->capture_default_str();
}

}  // namespace signalbox::app
