// The kernel data plane under a script: one command a line on stdin, one line of answer each on stdout; barriers and
// problems come as lines of their own. For test_kernel.py.

#include <CLI/CLI.hpp>
#include <iostream>
#include <mutex>
#include <sstream>

#include "adapters/nftables/kernel_routes.hpp"
#include "base/json.hpp"

namespace {

using namespace signalbox;

std::mutex out_mutex;

void say(const std::string& line) {
    const std::lock_guard guard(out_mutex);
    std::cout << line << std::endl;
}

void say_barrier(const ports::BarrierDone& done) {
    base::json::object sessions;
    for (const auto& member : done.result.server_sessions) {
        base::json::array clients;
        for (const auto& session : member.sessions) clients.emplace_back(session.client);
        sessions[member.member] = std::move(clients);
    }
    say("barrier " + base::json::serialize(base::json::object{{"cluster", done.cluster},
                                                              {"epoch", done.epoch},
                                                              {"closed", done.result.sessions_closed},
                                                              {"sessions", std::move(sessions)}}));
}

std::string stats_of(const kernel::KernelRoutes& routes) {
    base::json::object all;
    for (const auto& stats : routes.stats()) {
        all[stats.endpoint] = {{"address", stats.address},   {"sessions", stats.sessions},
                               {"accepted", stats.accepted}, {"refused", stats.refused},
                               {"fenced", stats.fenced},     {"bytes_to_server", stats.bytes_to_server},
                               {"note", stats.note},         {"bytes_to_client", stats.bytes_to_client}};
    }
    return base::json::serialize(all);
}

base::Result<routing::EndpointConfig> endpoint(std::istringstream& words) {
    // NAME CLUSTER ADDRESS ROLE [lease=500ms] [static] [nomasquerade] [max=N]
    routing::EndpointConfig config;
    config.mode = routing::Mode::Kernel;
    std::string address;
    std::string role;
    words >> config.name >> config.cluster >> address >> role;
    SB_TRY(config.listen, base::parse_host_port(address));
    config.role = role == "reader" ? routing::Role::Reader : routing::Role::Writer;
    for (std::string option; words >> option;) {
        if (option == "static") config.kernel.on_daemon_loss = routing::OnDaemonLoss::Static;
        if (option == "nomasquerade") config.kernel.masquerade = false;
        if (option.starts_with("max=")) config.sessions_max = base::parse_uint(option.substr(4)).value_or(0);
        if (option.starts_with("lease=")) {
            SB_TRY(config.kernel.lease, base::parse_duration(option.substr(6)));
        }
    }
    return config;
}

base::Result<std::vector<routing::ReaderTarget>> targets(std::istringstream& words) {
    // MEMBER=ADDRESS=WEIGHT[=draining] …
    std::vector<routing::ReaderTarget> all;
    for (std::string word; words >> word;) {
        const auto parts = base::split(word, '=');
        if (parts.size() < 3) return base::fail(base::ErrorKind::InvalidArgument, "bad target '{}'", word);
        routing::ReaderTarget target;
        target.member = std::string(parts[0]);
        SB_TRY(target.address, base::parse_host_port(parts[1]));
        target.weight = static_cast<std::uint32_t>(base::parse_uint(parts[2]).value_or(1));
        target.draining = parts.size() > 3;
        all.push_back(std::move(target));
    }
    return all;
}

base::Result<std::string> execute(kernel::KernelRoutes& routes, const std::string& line) {
    std::istringstream words(line);
    std::string command;
    std::string cluster;
    std::uint64_t epoch = 0;
    words >> command;
    if (command == "open" || command == "update") {
        SB_TRY(const auto config, endpoint(words));
        if (command == "open") return routes.open(config);
        routes.update(config);
    } else if (command == "close") {
        words >> cluster;
        routes.close(cluster);
    } else if (command == "hold" || command == "fence") {
        words >> cluster >> epoch;
        if (command == "hold") routes.hold(cluster, epoch);
        if (command == "fence") routes.fence(cluster, epoch);
    } else if (command == "route") {
        std::string member;
        std::string address;
        words >> cluster >> epoch >> member >> address;
        SB_TRY(const auto to, base::parse_host_port(address));
        routes.route(cluster, epoch, member, to);
    } else if (command == "readers") {
        std::string name;
        words >> cluster >> name;
        SB_TRY(const auto all, targets(words));
        routes.set_readers(cluster, name, all);
    } else if (command == "stats") {
        return stats_of(routes);
    } else if (command == "sessions") {
        words >> cluster;
        return std::to_string(routes.writer_sessions(cluster));
    } else {
        return base::fail(base::ErrorKind::InvalidArgument, "unknown command '{}'", command);
    }
    return "done";
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("drives the kernel data plane for a test");
    kernel::KernelOptions options;
    bool remove = false;
    std::string adopt_within = "10s";
    app.add_option("instance", options.instance, "who owns the table")->required();
    app.add_flag("--remove", remove, "only remove what earlier processes left");
    app.add_option("--adopt-within", adopt_within, "how long endpoints of an earlier process may wait to be opened");
    CLI11_PARSE(app, argc, argv);
    if (remove) {
        const auto removed = kernel::KernelRoutes::remove(options.instance);
        say(removed ? "ok" : "error " + removed.error().text());
        return removed ? 0 : 1;
    }
    options.adopt_within = base::parse_duration(adopt_within).value_or(std::chrono::seconds(10));
    options.on_barrier = say_barrier;
    options.on_problem = [](const std::string& text) { say("problem " + text); };
    kernel::KernelRoutes routes(std::move(options));
    for (std::string line; std::getline(std::cin, line) && line != "exit";) {
        const auto answer = execute(routes, line);
        say(answer ? "ok " + *answer : "error " + answer.error().text());
    }
    return 0;
}
