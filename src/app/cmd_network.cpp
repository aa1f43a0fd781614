#include "app/cmd_network.hpp"

#include <filesystem>
#include <memory>

#include "adapters/netfacts/file_facts.hpp"
#include "app/job_context.hpp"
#include "app/network_questions.hpp"
#include "app/report.hpp"

namespace signalbox::app {
namespace {

using namespace std::chrono_literals;
using base::ErrorKind;
using base::fail;

constexpr base::Duration facts_timeout = 10s;
constexpr const char* default_config = "signalbox.yaml";

struct Options {
    std::string config_file = default_config;
    bool config_given = false;
    std::string facts_file;
    std::string output = "text";
    std::string from;
    std::string to;

    bool as_json() const { return output == "json"; }
};

// A file that is missing or wrong is a wrong usage, and never the answer "no".
template <typename T>
base::Result<T> as_usage(base::Result<T> result) {
    if (!result) result.error().kind = ErrorKind::InvalidConfig;
    return result;
}

// With facts from a file, a question about subnets and addresses needs no configuration.
base::Result<std::unique_ptr<Config>> read_config(const Options& options) {
    std::error_code ignored;
    const bool may_miss = !options.config_given && !options.facts_file.empty();
    if (may_miss && !std::filesystem::exists(options.config_file, ignored)) return std::unique_ptr<Config>();
    SB_TRY(Config config, as_usage(load_config(options.config_file, Secrets::Skip)));
    return std::make_unique<Config>(std::move(config));
}

base::Result<network::Facts> read_facts(const Options& options, const Config* config) {
    if (!options.facts_file.empty())
        return as_usage(netfacts::FileFacts(options.facts_file).read(wall_clock(), facts_timeout));
    const auto facts = config == nullptr ? nullptr : open_facts(config->jobs);
    if (!facts)
        return fail(ErrorKind::InvalidConfig,
                    "{}: there is no provider to ask; add 'provider: {{lab: {{socket: PATH}}}}', or give --facts FILE",
                    options.config_file);
    return facts->read(wall_clock(), facts_timeout);
}

base::Result<int> ask_reach(const Options& options) {
    SB_TRY(const auto config, read_config(options));
    SB_TRY(const Origin origin, parse_origin(options.from, config.get()));
    SB_TRY(const Destination to, parse_destination(options.to, config.get()));
    SB_TRY(const network::Facts facts, read_facts(options, config.get()));
    const network::Index index(facts);
    if (index.place(origin.from.subnet) == nullptr && origin.connection.empty()) {
        std::vector<std::string> names;
        for (const auto& subnet : facts.subnets) names.push_back(subnet.id);
        return fail(ErrorKind::InvalidConfig, "'{}' is neither a connection nor a subnet; the subnets are {}",
                    options.from, names.empty() ? "none" : base::join(names, ", "));
    }
    std::vector<Answer> answers;
    bool all = true;
    for (const base::HostPort& address : to.addresses) {
        const auto number = network::parse_address(address.host);
        if (!number)
            return fail(ErrorKind::InvalidConfig, "'{}' has a member at {}, which is no IPv4 address", to.name,
                        address.text());
        answers.push_back({address, network::reach(index, origin.from, *number, address.port)});
        all = all && answers.back().reach.reachable;
    }
    const auto stale = network::staleness(facts, wall_clock());
    print(options.as_json() ? base::pretty_json(reach_json(origin, to, answers, stale, facts.read_at)) + "\n"
                            : reach_text(origin, answers, stale));
    return all ? 0 : 1;
}

base::Result<int> list_faults(const Options& options) {
    SB_TRY(const Config config, as_usage(load_config(options.config_file, Secrets::Skip)));
    SB_TRY(const network::Facts facts, read_facts(options, &config));
    const network::Index index(facts);
    const base::WallTime now = wall_clock();
    std::vector<Checked> connections;
    bool all_usable = true;
    for (const jobs::Connection& connection : config.jobs.connections) {
        if (!connection.managed) continue;
        connections.push_back({connection, network::check(index, demand_of(connection, config.jobs), now)});
        all_usable = all_usable && !network::has_unusable(connections.back().report.faults);
    }
    print(options.as_json() ? base::pretty_json(faults_json(connections, facts.read_at)) + "\n"
                            : faults_text(connections));
    return all_usable ? 0 : 1;
}

using Action = base::Result<int> (*)(const Options&);

CLI::App* add(CLI::App& group, const std::string& name, const std::string& about, Action action,
              const std::shared_ptr<Options>& options, int& exit_status) {
    auto* command = group.add_subcommand(name, about);
    auto* config =
        command->add_option("-c,--config", options->config_file, "Configuration file")->capture_default_str();
    command->add_option("--facts", options->facts_file, "A JSON file of facts, instead of asking the provider");
    command->add_option("--output", options->output, "text or json")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    command->callback([options, action, config, &exit_status] {
        options->config_given = config->count() > 0;
        const auto status = action(*options);
        exit_status = status ? *status : report(status.error());
    });
    return command;
}

}  // namespace

void register_network(CLI::App& app, int& exit_status) {
    auto options = std::make_shared<Options>();
    auto* group = app.add_subcommand("network", "What the networks let pass, and what is wrong with the connections");
    group->require_subcommand(1);

    auto* reach = add(*group, "reach", "Can a place reach an address: yes with the path, or no with every reason",
                      &ask_reach, options, exit_status);
    reach
        ->add_option("FROM", options->from,
                     "A connection's name, or SUBNET[+GROUP,GROUP]; without groups nothing of it is filtered")
        ->required();
    reach->add_option("TO", options->to, "ADDRESS:PORT, or the name of a cluster (all its members) or an endpoint")
        ->required();
    reach->footer(
        "Every reason names what to mend; docs/reference/faults.md has them all.\n"
        "Exit codes: 0 yes; 1 no; 2 usage, configuration, or a file of facts that is wrong; 3 the provider failed.");

    auto* faults =
        add(*group, "faults", "All faults of all connections of the configuration", &list_faults, options, exit_status);
    faults->footer(
        "A connection is checked for the largest job that uses it, with all sources of its jobs.\n"
        "Exit codes: 0 every connection is usable; 1 at least one is not; 2 usage, configuration, or a file of facts "
        "that is wrong; 3 the provider failed.");
}

}  // namespace signalbox::app
