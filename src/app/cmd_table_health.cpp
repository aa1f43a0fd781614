#include <chrono>

#include "app/cmd_table.hpp"
#include "app/health_output.hpp"
#include "app/job_context.hpp"
#include "domain/lake/metrics.hpp"
#include "engine/table_snapshot.hpp"

namespace signalbox::app {
namespace {

using base::ErrorKind;
using base::fail;

struct Options : TableOptions {
    std::size_t partitions = 10;
    std::string spark_table;
};

// "catalog.db.table" as (catalog, db.table).
base::Status name_for_spark(const Options& options, const ReadTable& table, lake::HealthOptions& health) {
    const bool by_name = !is_path(options.selector);
    const std::string full = !options.spark_table.empty() ? options.spark_table : by_name ? table.name : "";
    if (full.empty()) {
        health.table = table.name;
        return {};
    }
    const std::size_t dot = full.find('.');
    if (dot == 0 || dot == std::string::npos || dot + 1 == full.size())
        return fail(ErrorKind::InvalidArgument, "--spark-table: expected CATALOG.DB.TABLE, found '{}'", full);
    health.catalog = full.substr(0, dot);
    health.table = full.substr(dot + 1);
    return {};
}

base::Result<int> health(const Options& options) {
    SB_TRY(const Config config, config_for(options.source, !is_path(options.selector)));
    SB_TRY(const ReadTable table, read_selected(options.selector, config));
    lake::HealthOptions asked;
    asked.partitions_max = options.partitions;
    asked.now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(wall_clock().time_since_epoch()).count();
    SB_CHECK(name_for_spark(options, table, asked));
    lake::TableState state;
    if (const auto* snapshot = table.metadata.current_snapshot(); snapshot != nullptr) {
        Progress progress;
        auto reading =
            engine::read_snapshot(*table.reader, table.metadata, *snapshot, show_reading(progress, table.name));
        if (!reading) return base::in_context(std::move(reading.error()), table.name);
        const auto metrics = lake::compute_metrics(table.metadata, snapshot, reading->state, reading->change);
        asked.drift = static_cast<std::int64_t>(metrics.drift.size());
        state = std::move(reading->state);
    }
    const lake::Health health = lake::assess(table.metadata, state, asked);
    print(options.as_json() ? base::pretty_json(health_json(table.name, health)) : health_text(table.name, health));
    return 0;
}

}  // namespace

void register_table_health(CLI::App& table, int& exit_status) {
    auto options = std::make_shared<Options>();
    auto* command = add_table_command(
        table, "health",
        "How good a table's shape is: a score with its parts, the partitions where the trouble is, and "
        "what to do, with statements for Spark",
        options, health, exit_status);
    command->add_option("PATH|NAME", options->selector, selector_help)->required();
    command
        ->add_option("--partitions", options->partitions,
                     "Name at most so many partitions, those with most to win first")
        ->check(CLI::Range(std::size_t{1}, std::size_t{10'000}))
        ->capture_default_str();
    command->add_option("--spark-table", options->spark_table,
                        "The table's name in the statements, CATALOG.DB.TABLE as Spark knows it");
}

}  // namespace signalbox::app
