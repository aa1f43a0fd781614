// signalbox-lab: a small cloud on this machine. See docs/reference/lab.md.

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <unistd.h>

#include "adapters/http/client.hpp"
#include "base/table_text.hpp"
#include "base/text.hpp"
#include "lab/launch.hpp"

namespace {

using namespace signalbox;
using namespace signalbox::lab;
using namespace std::chrono_literals;
namespace json = signalbox::base::json;

constexpr auto command_timeout = 90s;

struct Options {
    std::string file;
    std::string name;
    std::string timeout = "60s";
    std::string output = "table";
    std::string what;
    std::string to;
    std::string like;
    std::string node;
    std::vector<std::string> command;
    bool verbose = false;
    bool stay_down = false;
};

int report(const base::Error& error) {
    const auto text = error.text();
    // Faults of a file stand for themselves: they begin with file and line.
    std::fprintf(stderr, error.kind == base::ErrorKind::InvalidConfig ? "%s\n" : "signalbox-lab: %s\n", text.c_str());
    return base::exit_code(error.kind);
}

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

std::string text_of(const json::value& object, const char* key) {
    const auto* value = object.as_object().if_contains(key);
    if (!value || value->is_null()) return "-";
    return value->is_string() ? std::string(value->as_string()) : json::serialize(*value);
}

int run_up(const Options& options) {
    auto spec = load_spec(options.file);
    if (!spec) return report(spec.error());
    if (!options.name.empty()) {
        if (!base::is_name(options.name))
            return report({base::ErrorKind::InvalidArgument, "'" + options.name + "' is no name for a lab", {}, 0});
        spec->name = options.name;
    }
    const auto timeout = base::parse_duration(options.timeout);
    if (!timeout) return report(timeout.error());
    const bool show = options.verbose || ::isatty(STDERR_FILENO);
    const auto status = up(*spec, options.file, *timeout, [show](const std::string& step) {
        if (show) std::fprintf(stderr, "%s\n", step.c_str());
    });
    if (!status) return report(status.error());
    if (options.output == "json")
        print(json::serialize(
                  json::value{{"name", spec->name}, {"api", "unix:" + directory_of(spec->name) + "/api.sock"}}) +
              "\n");
    else
        print("lab " + spec->name + " is up\n");
    return 0;
}

// The other labs are named, too, so that an old one is not forgotten.
int run_down(const Options& options, bool all) {
    std::vector<std::string> names = labs(false);
    if (!all) {
        if (!options.name.empty()) {
            if (!base::is_name(options.name))
                return report({base::ErrorKind::InvalidArgument, "'" + options.name + "' is no lab's name", {}, 0});
            names = {options.name};
        } else if (names.size() > 1) {
            return report({base::ErrorKind::InvalidArgument,
                           "there are several labs (" + base::join(names, ", ") + "): say which with --name, or --all",
                           {},
                           0});
        }
    }
    for (const auto& name : names)
        if (const auto status = down(name); !status) return report(status.error());
    return 0;
}

base::Result<json::value> call(const Options& options, std::string_view method, const std::string& target) {
    SB_TRY(const std::string name, lab_name(options.name));
    const http::Client client("unix:" + directory_of(name) + "/api.sock");
    auto answer = client.call(method, target, nullptr, command_timeout);
    if (!answer && answer.error().kind == base::ErrorKind::Unavailable && !running_lab(name))
        return base::fail(base::ErrorKind::NotFound, "lab '{}' does not run", name);
    return answer;
}

int run_status(const Options& options) {
    const auto answer = call(options, "GET", "/v1/admin/status");
    if (!answer) return report(answer.error());
    if (options.output == "json") {
        print(base::pretty_json(*answer) + "\n");
        return 0;
    }
    print("lab " + text_of(*answer, "name") + ": " + text_of(*answer, "state") + "\n");
    base::TableText zones({"ZONE", "STATE"});
    for (const auto& zone : answer->at("zones").as_array()) zones.row({text_of(zone, "id"), text_of(zone, "state")});
    print("\n" + zones.render());
    for (const auto& cluster : answer->at("clusters").as_array()) {
        base::TableText members({"MEMBER", "ROLE", "STATE", "ADDRESS", "ZONE", "POSITION"});
        for (const auto& member : cluster.at("members").as_array())
            members.row({text_of(member, "id"), text_of(member, "role"), text_of(member, "state"),
                         text_of(member, "address"), text_of(member, "zone"), text_of(member, "position")});
        print("\ncluster " + text_of(cluster, "id") + "\n" + members.render());
    }
    base::TableText nodes({"NODE", "KIND", "ADDRESS", "SUBNET", "ZONE"});
    for (const auto& node : answer->at("nodes").as_array())
        if (text_of(node, "kind") != "member")
            nodes.row({text_of(node, "name"), text_of(node, "kind"), text_of(node, "address"), text_of(node, "subnet"),
                       text_of(node, "zone")});
    print("\n" + nodes.render());
    return 0;
}

int run_action(const Options& options, const std::string& target) {
    const auto answer = call(options, "POST", target);
    if (!answer) return report(answer.error());
    if (options.output == "json") print(json::serialize(*answer) + "\n");
    return 0;
}

// A name is a zone's or a member's: members win, as there are more of them; no lab should have both.
int run_heal(const Options& options) {
    const auto answer = call(options, "POST", "/v1/admin/members/" + options.what + "/heal");
    if (answer) return 0;
    if (answer.error().kind != base::ErrorKind::NotFound) return report(answer.error());
    const auto zone = call(options, "POST", "/v1/admin/zones/" + options.what + "/heal");
    if (zone) return 0;
    return report({zone.error().kind, answer.error().text() + "; " + zone.error().text(), {}, 0});
}

int run_failover(const Options& options) {
    std::string target = "/v1/admin/clusters/" + options.what + "/failover?to=" + options.to + "&like=" + options.like;
    const auto answer = call(options, "POST", target);
    if (!answer) return report(answer.error());
    if (options.output == "json")
        print(json::serialize(*answer) + "\n");
    else
        print(text_of(*answer, "writer") + " is the writer, after " + text_of(*answer, "duration_ms") + " ms\n");
    return 0;
}

int run_exec(const Options& options) {
    const auto name = lab_name(options.name);
    if (!name) return report(name.error());
    const auto result = lab::exec(*name, options.node, options.command);
    return result ? *result : report(result.error());
}

void add_member_command(CLI::App& app, Options& options, int& exit_status, const std::string& name,
                        const std::string& help) {
    auto* command = app.add_subcommand(name, help);
    command->add_option("MEMBER", options.what, "The member")->required();
    command->add_option("--name", options.name, "The lab; by default the only one that runs");
    if (name == "kill") command->add_flag("--stay-down", options.stay_down, "Do not start it again until `start`");
    command->callback([&options, &exit_status, name] {
        exit_status = run_action(
            options, "/v1/admin/members/" + options.what + "/" + name + (options.stay_down ? "?stay_down=true" : ""));
    });
}

void add_named(CLI::App& app, Options& options, const std::string& name, const std::string& help,
               const char* positional, std::function<void()> act) {
    auto* command = app.add_subcommand(name, help);
    command->add_option(positional, options.what)->required();
    command->add_option("--name", options.name, "The lab; by default the only one that runs");
    command->callback(std::move(act));
}

void register_commands(CLI::App& app, Options& options, int& exit_status) {
    const auto name_help = "The lab; by default the only one that runs";
    const std::set<std::string> outputs{"table", "json"};
    auto* up_command = app.add_subcommand("up", "Builds the lab that FILE declares; returns when it is ready");
    up_command->add_option("FILE", options.file, "The lab file (YAML)")->required();
    up_command->add_option("--name", options.name, "Another name than the file gives it");
    up_command->add_option("--timeout", options.timeout, "Give up, and leave nothing, after this long")
        ->capture_default_str();
    up_command->add_flag("-v,--verbose", options.verbose, "Print each step, also when this is no terminal");
    up_command->add_option("--output", options.output)->check(CLI::IsMember(outputs));
    up_command->callback([&] { exit_status = run_up(options); });

    auto* down_command = app.add_subcommand("down", "Ends a lab, and clears up after a crashed one");
    auto all = std::make_shared<bool>(false);
    down_command->add_option("--name", options.name, "The lab; by default the only one");
    down_command->add_flag("--all", *all, "Every lab on this machine");
    down_command->callback([&, all] { exit_status = run_down(options, *all); });

    auto* status_command = app.add_subcommand("status", "Zones, members and nodes");
    status_command->add_option("--name", options.name, name_help);
    status_command->add_option("--output", options.output)->check(CLI::IsMember(outputs));
    status_command->callback([&] { exit_status = run_status(options); });

    add_member_command(app, options, exit_status, "kill", "Kills a member's server (SIGKILL)");
    add_member_command(app, options, exit_status, "start", "Starts a member that was killed with --stay-down");
    add_member_command(app, options, exit_status, "pause", "Stops a member's server without ending it (SIGSTOP)");
    add_member_command(app, options, exit_status, "resume", "Lets a paused member go on (SIGCONT)");
    add_member_command(app, options, exit_status, "blackhole", "Drops every packet to and from a member");
    add_member_command(app, options, exit_status, "claim",
                       "Makes a reader take writes as if it were the writer, until it is healed");
    add_named(app, options, "heal", "Ends the failure of a zone or the black hole of a member", "ZONE|MEMBER",
              [&] { exit_status = run_heal(options); });
    add_named(app, options, "fail", "Cuts the links of everything in a zone", "ZONE",
              [&] { exit_status = run_action(options, "/v1/admin/zones/" + options.what + "/fail"); });
    add_named(app, options, "delete-nat", "Deletes a NAT gateway; its routes become black holes", "NAT-GATEWAY",
              [&] { exit_status = run_action(options, "/v1/admin/nat-gateways/" + options.what + "/delete"); });

    auto* failover_command =
        app.add_subcommand("failover", "Makes another member the writer; returns when it takes writes");
    failover_command->add_option("CLUSTER", options.what)->required();
    failover_command->add_option("--to", options.to, "The member that shall take over");
    failover_command->add_option("--like", options.like, "aurora: stretch it to Aurora's published times")
        ->check(CLI::IsMember({"aurora"}));
    failover_command->add_option("--name", options.name, name_help);
    failover_command->add_option("--output", options.output)->check(CLI::IsMember(outputs));
    failover_command->callback([&] { exit_status = run_failover(options); });

    auto* exec_command =
        app.add_subcommand("exec", "Runs a command on a node: signalbox-lab exec --node ops -- CMD ARGS…");
    exec_command->add_option("--node", options.node, "The node; by default the first host of the file");
    exec_command->add_option("--name", options.name, name_help);
    exec_command->add_option("COMMAND", options.command, "The command and its arguments, after --")->required();
    exec_command->callback([&] { exit_status = run_exec(options); });
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    CLI::App app{"A small cloud on this machine: zones, subnets and real database servers, to try failovers on.",
                 "signalbox-lab"};
    app.require_subcommand(1);
    Options options;
    int exit_status = 0;
    register_commands(app, options, exit_status);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        constexpr int usage = 2;
        return app.exit(error) == 0 ? 0 : usage;
    }
    return exit_status;
}
