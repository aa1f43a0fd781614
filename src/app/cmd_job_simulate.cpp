#include "app/cmd_job_simulate.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "adapters/sqlite/run_store.hpp"
#include "app/config.hpp"
#include "app/progress.hpp"
#include "app/report.hpp"
#include "app/result_file.hpp"
#include "app/simulation_output.hpp"
#include "app/simulation_picture.hpp"
#include "app/simulation_scenario.hpp"
#include "engine/job_simulation_past.hpp"

namespace signalbox::app {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::size_t history_attempts_max = 100'000;  // the newest

struct Options {
    std::string scenario_file;
    bool from_journal = false;
    std::string config_file = "signalbox.yaml";
    std::vector<std::string> strategies;
    int seeds = 10;
    std::uint64_t seed = 1;
    std::string output = "text";
    std::string picture_file;
};

std::vector<std::string> strategy_names() {
    std::vector<std::string> names;
    for (const engine::SimStrategy& strategy : engine::sim_strategies()) names.push_back(strategy.name);
    return names;
}

// All of them, or those that were named, in the order in which they were.
std::vector<engine::SimStrategy> pick_strategies(const std::vector<std::string>& names) {
    if (names.empty()) return engine::sim_strategies();
    std::vector<engine::SimStrategy> picked;
    for (const std::string& name : names) {
        for (const engine::SimStrategy& strategy : engine::sim_strategies()) {
            const bool there = std::any_of(picked.begin(), picked.end(), [&](const auto& p) { return p.name == name; });
            if (strategy.name == name && !there) picked.push_back(strategy);
        }
    }
    return picked;
}

base::Result<engine::SimPast> read_past(const Options& options) {
    SB_TRY(const Config config, load_config(options.config_file));
    std::error_code ignored;
    if (!std::filesystem::exists(config.store, ignored))
        return fail(ErrorKind::NotFound, "{}: there is no store yet, so there is no history to simulate", config.store);
    SB_TRY(auto database, sqlite::Database::open(config.store));
    SB_TRY(const auto store, sqlite::RunStore::open(std::move(database)));
    ports::RunQuery query;
    query.limit = history_attempts_max;
    SB_TRY(auto attempts, store->list(query));
    const bool cut = attempts.size() >= history_attempts_max;
    SB_TRY(engine::SimPast past, engine::simulate_past(std::move(attempts)));
    if (cut) past.notes.push_back(fmt::format("only the newest {} attempts were read", history_attempts_max));
    return past;
}

base::Result<int> simulate_jobs(const Options& options) {
    if (options.from_journal == !options.scenario_file.empty())
        return fail(ErrorKind::InvalidConfig, "job simulate: expected a scenario file or --from-journal, and not both");
    SimulationReport report;
    if (options.from_journal) {
        SB_TRY(engine::SimPast past, read_past(options));
        report.scenario = std::move(past.scenario);
        report.notes = std::move(past.notes);
    } else {
        SB_TRY(report.scenario, load_scenario(options.scenario_file));
    }
    report.request.strategies = pick_strategies(options.strategies);
    report.request.seed = options.seed;
    report.request.seeds = options.seeds;
    SB_CHECK(check_writable(options.picture_file));
    {
        Progress progress;
        SB_TRY(report.results, engine::simulate(report.scenario, report.request, [&](std::size_t done, std::size_t of) {
                   progress.show(fmt::format("simulated {} of {} worlds", done, of));
               }));
    }
    if (!options.picture_file.empty()) SB_CHECK(write_file(options.picture_file, simulation_svg(report)));
    print(options.output == "json" ? base::pretty_json(simulation_json(report)) + "\n" : simulation_text(report));
    return 0;
}

}  // namespace

void register_job_simulate(CLI::App& job, int& exit_status) {
    auto options = std::make_shared<Options>();
    auto* command = job.add_subcommand("simulate", "Compare strategies in a simulated world, or on your own history");
    command->add_option("SCENARIO", options->scenario_file, "The scenario file");
    command->add_flag("--from-journal", options->from_journal, "Make the scenario from the store's own runs");
    command->add_option("-c,--config", options->config_file, "Configuration file, for --from-journal")
        ->capture_default_str();
    command->add_option("--strategy", options->strategies, "Only these; repeatable (default: all)")
        ->check(CLI::IsMember(strategy_names()));
    command->add_option("--seeds", options->seeds, "So many worlds for each strategy")
        ->check(CLI::Range(1, 10'000))
        ->capture_default_str();
    command->add_option("--seed", options->seed, "The first world's seed; the others follow it")->capture_default_str();
    command->add_option("--output", options->output, "text or json")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    command->add_option("--picture", options->picture_file, "Also draw the result into this SVG file");
    command->callback([options, &exit_status] {
        const auto status = simulate_jobs(*options);
        exit_status = status ? *status : report(status.error());
    });
}

}  // namespace signalbox::app
