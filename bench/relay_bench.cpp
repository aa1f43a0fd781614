// Measures a byte relay from outside: round trips, bulk, queries, memory of idle connections; and holds what such a
// measurement needs: an echo server, and our relay alone in front of one address. Any proxy can stand where an address
// is asked for. Paths are measured in turn, round by round, so that what else the machine does meets all of them.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <arpa/inet.h>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iostream>
#include <mysql.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <numeric>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "adapters/relay/relay.hpp"
#include "base/json.hpp"
#include "base/text.hpp"

namespace {

using namespace signalbox;
using Clock = std::chrono::steady_clock;

constexpr std::string_view bulk_command = "BULK";
constexpr std::size_t bulk_request_bytes = bulk_command.size() + sizeof(std::uint64_t);

[[noreturn]] void die(const std::string& text) {
    std::cerr << "relay_bench: " << text << '\n';
    std::exit(3);
}

double us_since(Clock::time_point start) {
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

sockaddr_in to_address(const std::string& text) {
    const auto place = base::parse_host_port(text);
    if (!place) die(place.error().text());
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(place->port);
    if (::inet_pton(AF_INET, place->host.c_str(), &in.sin_addr) != 1) die("expected an IPv4 address in " + text);
    return in;
}

void no_delay(int fd) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int connect_to(const std::string& address) {
    const sockaddr_in in = to_address(address);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&in), sizeof in) != 0) {
        die("can't connect to " + address + ": " + std::strerror(errno));
    }
    no_delay(fd);
    return fd;
}

void send_all(int fd, const char* data, std::size_t size) {
    while (size > 0) {
        const ssize_t sent = ::send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0) return;
        data += sent;
        size -= static_cast<std::size_t>(sent);
    }
}

void receive_all(int fd, char* data, std::size_t size) {
    while (size > 0) {
        const ssize_t part = ::recv(fd, data, size, 0);
        if (part <= 0) die("the connection ended early");
        data += part;
        size -= static_cast<std::size_t>(part);
    }
}

// A greeting as MySQL servers send it: relays that know the protocol wait for it.
std::string greeting() {
    std::string payload = "\x0a";
    payload += "bench";
    payload += std::string("\0\x01\0\0\0rest", 9);
    return std::string{static_cast<char>(payload.size()), 0, 0, 0} + payload;
}

struct Options {
    std::string listen, target, protocol = "mysql", user = "root", password, database, sql = "SELECT 1";
    std::vector<std::string> paths;
    std::size_t shards = 0, size = 64, count = 20'000, rounds = 7, mib = 512, threads = 1, connections = 10'000;
    double seconds = 2;
    int pid = 0;
    bool mute = false;
};

void answer(int fd, std::vector<char>& buffer) {
    const ssize_t size = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (size <= 0) {
        ::close(fd);
        return;
    }
    if (size != bulk_request_bytes || std::memcmp(buffer.data(), bulk_command.data(), bulk_command.size()) != 0) {
        send_all(fd, buffer.data(), static_cast<std::size_t>(size));
        return;
    }
    std::uint64_t left = 0;
    std::memcpy(&left, buffer.data() + bulk_command.size(), sizeof left);
    while (left > 0) {
        const ssize_t sent = ::send(fd, buffer.data(), std::min<std::uint64_t>(left, buffer.size()), MSG_NOSIGNAL);
        if (sent <= 0) return;
        left -= static_cast<std::uint64_t>(sent);
    }
}

void run_server(const Options& options) {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const sockaddr_in in = to_address(options.listen);
    if (::bind(listener, reinterpret_cast<const sockaddr*>(&in), sizeof in) != 0 || ::listen(listener, 4096) != 0) {
        die("can't listen on " + options.listen + ": " + std::strerror(errno));
    }
    const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = listener;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    std::vector<char> buffer(128 << 10);
    const std::string hello = greeting();
    for (;;) {
        std::array<epoll_event, 64> events{};
        const int ready = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < ready; ++i) {
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            if (fd != listener) {
                answer(fd, buffer);
                continue;
            }
            const int peer = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
            if (peer < 0) continue;
            no_delay(peer);
            if (!options.mute) send_all(peer, hello.data(), hello.size());
            event.events = EPOLLIN;
            event.data.fd = peer;
            ::epoll_ctl(epoll, EPOLL_CTL_ADD, peer, &event);
        }
    }
}

void run_relay(const Options& options) {
    relay::RelayOptions relay_options;
    relay_options.shards = options.shards;
    relay::Relay relay(relay_options);
    const auto listen = base::parse_host_port(options.listen);
    const auto target = base::parse_host_port(options.target);
    if (!listen || !target) die("--listen and --target: expected HOST:PORT");
    routing::EndpointConfig config;
    config.name = "bench";
    config.cluster = "bench";
    config.protocol = options.protocol == "mysql" ? routing::Protocol::MySql : routing::Protocol::PostgreSql;
    config.listen = *listen;
    const auto opened = relay.open(config);
    if (!opened) die(opened.error().text());
    relay.route("bench", 1, "target", *target);
    ::pause();
}

struct Path {
    std::string name;
    std::string address;
    std::vector<double> values;  // one per round
    double least = 0;            // of all single measurements
};

std::vector<Path> parse_paths(const Options& options) {
    std::vector<Path> paths;
    for (const std::string& text : options.paths) {
        const auto parts = base::split(text, '=');
        if (parts.size() != 2) die("expected NAME=HOST:PORT, found " + text);
        paths.push_back({std::string(parts[0]), std::string(parts[1]), {}, 1e18});
    }
    return paths;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void print(const std::vector<Path>& paths, std::string_view unit, bool with_least) {
    base::json::object all;
    for (const Path& path : paths) {
        base::json::object one;
        one["median"] = median(path.values);
        if (with_least) one["min"] = path.least;
        one["rounds"] = base::json::array(path.values.begin(), path.values.end());
        std::vector<double> ratios;
        for (std::size_t i = 0; i < path.values.size(); ++i) ratios.push_back(path.values[i] / paths[0].values[i]);
        one["ratio_to_first"] = median(ratios);
        all[path.name] = std::move(one);
    }
    std::cout << base::json::serialize(base::json::object{{"unit", unit}, {"paths", all}}) << '\n';
}

void run_rtt(const Options& options) {
    auto paths = parse_paths(options);
    std::string message(options.size, 'x');
    std::string hello = greeting();
    for (std::size_t round = 0; round < options.rounds; ++round) {
        for (Path& path : paths) {
            const int fd = connect_to(path.address);
            if (!options.mute) receive_all(fd, hello.data(), hello.size());
            std::vector<double> times;
            for (std::size_t i = 0; i < options.count; ++i) {
                const auto start = Clock::now();
                send_all(fd, message.data(), message.size());
                receive_all(fd, message.data(), message.size());
                times.push_back(us_since(start));
            }
            ::close(fd);
            path.least = std::min(path.least, *std::min_element(times.begin(), times.end()));
            path.values.push_back(median(std::move(times)));
        }
    }
    print(paths, "us per round trip", true);
}

void run_bulk(const Options& options) {
    auto paths = parse_paths(options);
    std::string hello = greeting();
    std::vector<char> buffer(256 << 10);
    for (std::size_t round = 0; round < options.rounds; ++round) {
        for (Path& path : paths) {
            const int fd = connect_to(path.address);
            if (!options.mute) receive_all(fd, hello.data(), hello.size());
            std::uint64_t left = options.mib << 20U;
            std::string request(bulk_command);
            request.append(reinterpret_cast<const char*>(&left), sizeof left);
            const auto start = Clock::now();
            send_all(fd, request.data(), request.size());
            while (left > 0) {
                const ssize_t part = ::recv(fd, buffer.data(), buffer.size(), 0);
                if (part <= 0) die("the connection ended early");
                left -= static_cast<std::uint64_t>(part);
            }
            path.values.push_back(static_cast<double>(options.mib) / (us_since(start) / 1e6));
            ::close(fd);
        }
    }
    print(paths, "MiB/s", false);
}

// Runs the statement over and over until `stop`; returns how often.
std::uint64_t query_loop(const Options& options, const std::string& address, const std::atomic<bool>& stop) {
    const auto place = base::parse_host_port(address);
    if (!place) die(place.error().text());
    MYSQL* connection = ::mysql_init(nullptr);
    if (::mysql_real_connect(connection, place->host.c_str(), options.user.c_str(), options.password.c_str(),
                             options.database.empty() ? nullptr : options.database.c_str(), place->port, nullptr,
                             0) == nullptr) {
        die(address + ": " + ::mysql_error(connection));
    }
    std::uint64_t done = 0;
    while (!stop) {
        if (::mysql_real_query(connection, options.sql.data(), options.sql.size()) != 0) {
            die(address + ": " + ::mysql_error(connection));
        }
        if (MYSQL_RES* result = ::mysql_use_result(connection)) {
            while (::mysql_fetch_row(result) != nullptr) {
            }
            ::mysql_free_result(result);
        }
        ++done;
    }
    ::mysql_close(connection);
    return done;
}

void run_query(const Options& options) {
    auto paths = parse_paths(options);
    ::mysql_library_init(0, nullptr, nullptr);
    for (std::size_t round = 0; round < options.rounds; ++round) {
        for (Path& path : paths) {
            std::atomic<bool> stop = false;
            std::atomic<std::uint64_t> total = 0;
            std::vector<std::thread> threads;
            const auto start = Clock::now();
            for (std::size_t i = 0; i < options.threads; ++i) {
                threads.emplace_back([&] { total += query_loop(options, path.address, stop); });
            }
            std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds));
            stop = true;
            for (auto& thread : threads) thread.join();
            path.values.push_back(static_cast<double>(total) / (us_since(start) / 1e6));
        }
    }
    print(paths, "queries/s", false);
}

double rss_kib(int pid) {
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.rfind("VmRSS:", 0) == 0) return std::stod(line.substr(6));
    }
    die("no process " + std::to_string(pid));
}

void run_idle(const Options& options) {
    std::string hello = greeting();
    const double before = rss_kib(options.pid);
    std::vector<int> clients;
    for (std::size_t i = 0; i < options.connections; ++i) {
        const int fd = connect_to(options.target);
        // One round trip each: a connection that never spoke is not what pools hold.
        if (!options.mute) receive_all(fd, hello.data(), hello.size());
        std::string message(options.size, 'x');
        send_all(fd, message.data(), message.size());
        receive_all(fd, message.data(), message.size());
        clients.push_back(fd);
    }
    const double after = rss_kib(options.pid);
    base::json::object all{{"unit", "KiB"},
                           {"connections", options.connections},
                           {"rss_before", before},
                           {"rss_after", after},
                           {"each", (after - before) / static_cast<double>(options.connections)}};
    std::cout << base::json::serialize(all) << '\n';
    for (const int fd : clients) ::close(fd);
}

void add_paths(CLI::App* command, Options& options, std::size_t rounds) {
    options.rounds = rounds;
    command->add_option("paths", options.paths, "NAME=HOST:PORT, in the order of a round; ratios are to the first")
        ->required();
    command->add_option("--rounds", options.rounds, "How often each path is measured, in turn")->capture_default_str();
}

}  // namespace

int main(int argc, char** argv) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::signal(SIGPIPE, SIG_IGN);
    const rlimit files{200'000, 200'000};
    ::setrlimit(RLIMIT_NOFILE, &files);  // as root; else what there is
    Options options;
    CLI::App app("Measures byte relays from outside. Each measurement prints one JSON object.");
    app.require_subcommand(1);
    const auto mute = [&](CLI::App* command) {
        command->add_flag("--mute", options.mute, "No greeting: the client speaks first (PostgreSQL)");
    };

    auto* server = app.add_subcommand("server", "Greets, then echoes; streams what `bulk` asks for. Runs until killed");
    server->add_option("--listen", options.listen, "IPv4 HOST:PORT")->required();
    mute(server);
    auto* relay = app.add_subcommand("relay", "Our relay alone, one writer endpoint. Runs until killed");
    relay->add_option("--listen", options.listen, "HOST:PORT")->required();
    relay->add_option("--target", options.target, "HOST:PORT of the server behind it")->required();
    relay->add_option("--shards", options.shards, "Threads; 0: one per core")->capture_default_str();
    relay->add_option("--protocol", options.protocol, "mysql or postgresql")
        ->check(CLI::IsMember({"mysql", "postgresql"}))
        ->capture_default_str();
    auto* rtt =
        app.add_subcommand("rtt", "Round trips of one message through paths to `server`: median per round, min");
    add_paths(rtt, options, 7);
    rtt->add_option("--size", options.size, "Bytes of a message")->capture_default_str();
    rtt->add_option("--count", options.count, "Round trips in a round")->capture_default_str();
    mute(rtt);
    auto* bulk = app.add_subcommand("bulk", "MiB/s from `server` through paths, one connection");
    add_paths(bulk, options, 7);
    bulk->add_option("--mib", options.mib, "MiB in a round")->capture_default_str();
    mute(bulk);
    auto* query = app.add_subcommand("query", "One statement over and over through paths to a MariaDB or MySQL server");
    add_paths(query, options, 7);
    query->add_option("--sql", options.sql, "The statement")->capture_default_str();
    query->add_option("--user", options.user, "Its password: RELAY_BENCH_PASSWORD in the environment")
        ->capture_default_str();
    query->add_option("--database", options.database);
    query->add_option("--threads", options.threads, "Connections at once")->capture_default_str();
    query->add_option("--seconds", options.seconds, "Of one round")->capture_default_str();
    auto* idle = app.add_subcommand("idle", "RSS of a relay's process for each idle connection, in KiB");
    idle->add_option("--target", options.target, "HOST:PORT of the relay, with `server` behind it")->required();
    idle->add_option("--pid", options.pid, "The relay's process")->required();
    idle->add_option("--connections", options.connections)->capture_default_str();
    mute(idle);
    CLI11_PARSE(app, argc, argv);

    if (const char* password = std::getenv("RELAY_BENCH_PASSWORD")) options.password = password;
    if (*server) run_server(options);
    if (*relay) run_relay(options);
    if (*rtt) run_rtt(options);
    if (*bulk) run_bulk(options);
    if (*query) run_query(options);
    if (*idle) run_idle(options);
    return 0;
}
