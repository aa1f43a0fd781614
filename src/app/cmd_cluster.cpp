#include "app/cmd_cluster.hpp"

#include <atomic>
#include <boost/url/encode.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>
#include <csignal>
#include <sys/ioctl.h>
#include <thread>
#include <unistd.h>

#include "app/client_api.hpp"
#include "app/cluster_view.hpp"
#include "app/report.hpp"
#include "base/text.hpp"
#include "base/time.hpp"

namespace signalbox::app {
namespace {

namespace json = base::json;
using namespace std::chrono_literals;
using base::ErrorKind;
using base::fail;

constexpr auto request_timeout = 5s;
constexpr auto poll_interval = 100ms;

struct Options {
    ApiOptions api;
    std::string name;
    std::string to;
    std::size_t limit = 20;
    double interval_s = 0.5;
    double timeout_s = 120;
    bool no_wait = false;
};

struct Seen {
    json::array clusters;
    json::array endpoints;
};

std::string encoded(const std::string& text) { return boost::urls::encode(text, boost::urls::unreserved_chars); }

// The clusters and endpoints of the status, those of one cluster if it is named.
base::Result<Seen> ask(const http::Client& client, const std::string& name) {
    SB_TRY(const json::value answer, client.get("/v1/status", request_timeout));
    if (!answer.is_object()) return fail(ErrorKind::CorruptData, "the daemon's answer is no object");
    Seen seen;
    std::vector<std::string> names;
    for (const auto& cluster : objects(answer.get_object(), "clusters")) {
        names.push_back(field(cluster.as_object(), "name"));
        if (name.empty() || names.back() == name) seen.clusters.push_back(cluster);
    }
    if (!name.empty() && seen.clusters.empty()) {
        return fail(ErrorKind::NotFound, "the daemon follows no cluster '{}'; it follows {}", name,
                    names.empty() ? "none" : base::join(names, ", "));
    }
    for (const auto& endpoint : objects(answer.get_object(), "endpoints")) {
        const std::string of = field(endpoint.as_object(), "cluster");
        if (name.empty() || of == name) seen.endpoints.push_back(endpoint);
    }
    return seen;
}

bool all_routed(const json::array& clusters) {
    return std::all_of(clusters.begin(), clusters.end(),
                       [](const auto& cluster) { return is_routed(cluster.as_object()); });
}

base::Result<bool> status(const Options& options) {
    SB_TRY(const ApiAccess access, find_api(options.api));
    SB_TRY(const Seen seen, ask(http::Client(access.url, access.token), options.name));
    if (options.api.output == "json") {
        print(base::pretty_json({{"clusters", seen.clusters}, {"endpoints", seen.endpoints}}));
    } else {
        print(status_text(seen.clusters, seen.endpoints));
    }
    return all_routed(seen.clusters);
}

base::Result<bool> explain(const Options& options) {
    SB_TRY(const ApiAccess access, find_api(options.api));
    SB_TRY(const Seen seen, ask(http::Client(access.url, access.token), options.name));
    if (options.api.output == "json") {
        print(base::pretty_json({{"clusters", seen.clusters}}));
    } else {
        for (std::size_t i = 0; i < seen.clusters.size(); ++i) {
            print((i == 0 ? "" : "\n") + explain_text(seen.clusters[i].as_object()));
        }
    }
    return all_routed(seen.clusters);
}

base::Result<bool> failovers(const Options& options) {
    SB_TRY(const ApiAccess access, find_api(options.api));
    std::string target = fmt::format("/v1/journal?kind=failover&order=newest&limit={}", options.limit);
    if (!options.name.empty()) target += "&subject=" + encoded(options.name);
    SB_TRY(const json::value answer, http::Client(access.url, access.token).get(target, request_timeout));
    if (!answer.is_object()) return fail(ErrorKind::CorruptData, "the daemon's answer is no object");
    json::array entries = objects(answer.get_object(), "items");
    std::reverse(entries.begin(), entries.end());
    if (options.api.output == "json") {
        print(base::pretty_json({{"items", std::move(entries)}}));
    } else {
        print(failovers_text(entries));
    }
    return true;
}

std::atomic<bool> interrupted{false};

void wait_or_interrupt(std::chrono::duration<double> time) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (!interrupted && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(std::min<std::chrono::duration<double>>(50ms, time));
    }
}

std::size_t terminal_width() {
    winsize size{};
    return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 120;
}

std::string now_text() {
    return base::format_time(std::chrono::time_point_cast<base::Duration>(std::chrono::system_clock::now()));
}

// On a terminal a screen that is drawn anew; elsewhere a line (or a JSON object) for each change.
base::Result<bool> watch(const Options& options) {
    SB_TRY(const ApiAccess access, find_api(options.api));
    const http::Client client(access.url, access.token);
    const bool screen = ::isatty(STDOUT_FILENO) != 0 && options.api.output != "json";
    std::signal(SIGINT, [](int) { interrupted = true; });
    std::signal(SIGTERM, [](int) { interrupted = true; });
    // A wrong name or token is told at once, and not painted over.
    SB_TRY(const Seen first, ask(client, options.name));
    bool good = all_routed(first.clusters);
    std::string shown;
    if (screen) print("\x1b[?1049h\x1b[?25l");
    while (!interrupted) {
        const auto seen = ask(client, options.name);
        good = seen && all_routed(seen->clusters);
        if (screen) {
            const std::string body =
                seen ? watch_text(seen->clusters, seen->endpoints, now_text(), terminal_width(), true)
                     : fmt::format("{}  no answer: {}\n", now_text(), seen.error().text());
            print("\x1b[H\x1b[2J" + body);
        } else {
            const std::string line = seen ? watch_line(seen->clusters) : "no answer: " + seen.error().text();
            if (line != shown && options.api.output == "json" && seen) {
                print(json::serialize(json::object{{"at", now_text()}, {"clusters", seen->clusters}}) + "\n");
            } else if (line != shown) {
                print(fmt::format("{} {}\n", now_text(), line));
            }
            shown = line;
        }
        wait_or_interrupt(std::chrono::duration<double>(options.interval_s));
    }
    if (screen) print("\x1b[?25h\x1b[?1049l");
    return good;
}

// The newest step that the journal knows of a switchover of the cluster; empty if there is none after `sequence`.
base::Result<json::object> last_step(const http::Client& client, const std::string& name, std::int64_t sequence) {
    SB_TRY(const json::value answer,
           client.get(fmt::format("/v1/journal?kind=switchover&subject={}&after={}&order=oldest&limit=1000",
                                  encoded(name), sequence),
                      request_timeout));
    if (!answer.is_object()) return fail(ErrorKind::CorruptData, "the daemon's answer is no object");
    const json::array items = objects(answer.get_object(), "items");
    if (items.empty()) return json::object{};
    const auto* data = items.back().as_object().if_contains("data");
    return data != nullptr && data->is_object() ? data->get_object() : json::object{};
}

// How a switchover that has ended came out.
bool report_switchover(const Options& options, const json::object& cluster, const json::object& step) {
    const bool done = is_routed(cluster) && field(cluster, "writer") == options.to;
    if (options.api.output == "json") {
        print(base::pretty_json({{"done", done},
                                 {"writer", field(cluster, "writer")},
                                 {"epoch", *cluster.if_contains("epoch")},
                                 {"last_step", step}}));
    } else if (done) {
        print(fmt::format("{}: {} is the writer, epoch {}\n", options.name, options.to, field(cluster, "epoch")));
    } else {
        print(fmt::format("{}: not switched: {}; traffic {}\n", options.name, field(step, "why"),
                          is_routed(cluster) ? "goes to " + field(cluster, "writer") : "is held"));
    }
    return done;
}

// Follows a switchover that was accepted to its end, telling each step once.
base::Result<bool> follow_switchover(const http::Client& client, const Options& options, std::int64_t sequence) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(options.timeout_s);
    std::string told;
    int looks_after_end = 0;
    while (std::chrono::steady_clock::now() < deadline) {
        SB_TRY(const Seen seen, ask(client, options.name));
        const auto& cluster = seen.clusters.front().as_object();
        SB_TRY(const json::object step, last_step(client, options.name, sequence));
        const std::string text = field(step, "step");
        if (text != told && options.api.output != "json" && ::isatty(STDERR_FILENO) != 0) {
            std::fprintf(stderr, "%s: %s\n", options.name.c_str(), text.c_str());
        }
        told = text;
        // The status may be a moment older than the journal: it counts once the last step has been there for a while.
        if (text == "done" || text == "given-up") ++looks_after_end;
        if (looks_after_end > 3 && is_routed(cluster)) return report_switchover(options, cluster, step);
        std::this_thread::sleep_for(poll_interval);
    }
    return fail(ErrorKind::UnknownOutcome,
                "the switchover of '{}' has not ended within {:.0f} s; see `signalbox cluster "
                "status {}`",
                options.name, options.timeout_s, options.name);
}

base::Result<std::int64_t> last_sequence(const http::Client& client) {
    SB_TRY(const json::value answer, client.get("/v1/journal?order=newest&limit=1", request_timeout));
    const auto* last = answer.is_object() ? answer.get_object().if_contains("last") : nullptr;
    if (last == nullptr || !last->is_number()) return fail(ErrorKind::CorruptData, "the daemon's answer has no `last`");
    return last->to_number<std::int64_t>();
}

base::Result<bool> switchover(const Options& options) {
    SB_TRY(const ApiAccess access, find_api(options.api));
    const http::Client client(access.url, access.token);
    SB_TRY(const std::int64_t sequence, last_sequence(client));
    SB_TRY(const json::value answer, client.call("POST", "/v1/clusters/" + encoded(options.name) + "/switchover",
                                                 json::object{{"to", options.to}}, request_timeout));
    if (options.no_wait) {
        if (options.api.output == "json")
            print(base::pretty_json(answer));
        else
            print(fmt::format("{}: begun; see `signalbox cluster status {}`\n", options.name, options.name));
        return true;
    }
    return follow_switchover(client, options, sequence);
}

using Action = base::Result<bool> (*)(const Options&);

CLI::App* add(CLI::App& group, const char* name, const char* help, const std::shared_ptr<Options>& options,
              Action action, int& exit_status) {
    auto* command = group.add_subcommand(name, help);
    add_api_options(*command, options->api);
    command->callback([options, action, &exit_status] {
        const auto good = action(*options);
        exit_status = good ? (*good ? 0 : 1) : report(good.error());
    });
    return command;
}

}  // namespace

void register_cluster(CLI::App& app, int& exit_status) {
    auto* cluster = app.add_subcommand("cluster", "The clusters that the daemon follows");
    cluster->require_subcommand(1);
    const auto options = std::make_shared<Options>();
    constexpr const char* routed =
        "Ends with 0 if traffic of every cluster shown goes to a proven writer, with 1 if not.";
    auto* command = add(*cluster, "status", "Epoch, writer, members and endpoints", options, status, exit_status);
    command->footer(routed);
    command->add_option("NAME", options->name, "Only this cluster");

    command = add(*cluster, "watch", "The same, live: a screen on a terminal, a line for each change in a pipe",
                  options, watch, exit_status);
    command->footer(routed);
    command->add_option("NAME", options->name, "Only this cluster");
    command->add_option("--interval", options->interval_s, "Seconds between two looks")
        ->check(CLI::Range(0.1, 3600.0))
        ->capture_default_str();

    command = add(*cluster, "explain",
                  "Why each member is or is not believed to be the writer: every check, its evidence "
                  "and how old that is",
                  options, explain, exit_status);
    command->footer(routed);
    command->add_option("NAME", options->name, "Only this cluster");

    command = add(*cluster, "failovers", "Past changes of the writer: phases, durations, sessions ended", options,
                  failovers, exit_status);
    command->add_option("NAME", options->name, "Only this cluster");
    command->add_option("--limit", options->limit, "At most so many, the newest")
        ->check(CLI::Range(1, 100'000))
        ->capture_default_str();

    command = add(*cluster, "switchover",
                  "Make another member the writer as planned: hold, drain, catch up, fence, "
                  "promote by the configured hook, release",
                  options, switchover, exit_status);
    command->footer(
        "Ends with 0 when the member is the writer, with 1 when it is not and traffic is where it was, with 4 "
        "when that is not known.");
    command->add_option("NAME", options->name, "The cluster")->required();
    command->add_option("--to", options->to, "The member that shall write")->required();
    command->add_flag("--no-wait", options->no_wait, "Return once the daemon has begun");
    command->add_option("--timeout", options->timeout_s, "Seconds to wait for its end")
        ->check(CLI::Range(1.0, 86'400.0))
        ->capture_default_str();
}

}  // namespace signalbox::app
