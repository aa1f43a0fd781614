#include "app/cmd_table.hpp"

namespace signalbox::app {

void register_table(CLI::App& app, int& exit_status) {
    CLI::App* group = app.add_subcommand("table", "Iceberg tables: what their metadata says, and how it changes");
    group->require_subcommand(1);
    register_table_list(*group, exit_status);
    register_table_metrics(*group, exit_status);
    register_table_commits(*group, exit_status);
    register_table_watch(*group, exit_status);
    register_table_plot(*group, exit_status);
}

}  // namespace signalbox::app
