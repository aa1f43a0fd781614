#pragma once
// `signalbox table metrics|list|commits|drift|health|plot|watch`: one file each, put together by register_table.

#include <CLI/CLI.hpp>
#include <memory>

#include "app/report.hpp"
#include "app/table_source.hpp"

namespace signalbox::app {

void register_table(CLI::App& app, int& exit_status);

void register_table_metrics(CLI::App& table, int& exit_status);
void register_table_list(CLI::App& table, int& exit_status);
void register_table_commits(CLI::App& table, int& exit_status);  // and drift
void register_table_health(CLI::App& table, int& exit_status);
void register_table_plot(CLI::App& table, int& exit_status);
void register_table_watch(CLI::App& table, int& exit_status);

// What all of them take.
struct TableOptions {
    std::string selector;  // PATH|NAME
    SourceOptions source;
    std::string output = "table";
    bool as_json() const { return output == "json"; }
};

// Adds the command with -c and --output; PATH|NAME is the caller's. `run` gives the exit code.
template <typename Options>
CLI::App* add_table_command(CLI::App& group, const char* name, const char* help,
                            const std::shared_ptr<Options>& options, base::Result<int> (*run)(const Options&),
                            int& exit_status) {
    auto* command = group.add_subcommand(name, help);
    auto* config =
        command->add_option("-c,--config", options->source.config_file, "Configuration file")->capture_default_str();
    command->add_option("--output", options->output, "Form of what is printed")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    command->callback([options, config, run, &exit_status] {
        options->source.config_given = config->count() > 0;
        const auto done = run(*options);
        exit_status = done ? *done : report(done.error());
    });
    return command;
}

inline constexpr const char* selector_help =
    "A table: its folder, its metadata folder or one metadata file; or its name, as catalog.db.table or the end of it";

}  // namespace signalbox::app
