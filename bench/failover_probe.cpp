// Writes on several paths to one cluster at once and tells when each path's writes went well again after a failover,
// and on which server: the excess of a path is its first good write on the new writer minus the first direct one there.
// One thread and one connection a path, one write under way at most; a path that fails connects again at once.

#include <CLI/CLI.hpp>
#include <arpa/inet.h>
#include <atomic>
#include <csignal>
#include <iostream>
#include <mutex>
#include <netdb.h>
#include <thread>
#include <vector>

#include "adapters/mysql/client.hpp"
#include "adapters/postgres/client.hpp"
#include "base/json.hpp"
#include "base/text.hpp"

namespace {

using namespace signalbox;
using namespace std::chrono_literals;
namespace json = base::json;
using Clock = std::chrono::system_clock;

struct Options {
    std::string engine = "mysql";
    std::string user;
    std::string password_file;
    std::string database = "signalbox_meter";
    std::vector<std::string> paths;  // NAME=HOST:PORT; a host that is no address is resolved at every connection
    double duration_s = 10;
    double interval_ms = 2;
    double timeout_ms = 1000;
    double connect_timeout_ms = 250;
};

std::atomic<bool> ended{false};

double seconds_of(Clock::time_point time) { return std::chrono::duration<double>(time.time_since_epoch()).count(); }

// A name's first IPv4 address now; empty if it has none.
std::string resolve(const std::string& host) {
    in_addr address{};
    if (::inet_pton(AF_INET, host.c_str(), &address) == 1) return host;
    addrinfo hints{};
    hints.ai_family = AF_INET;
    addrinfo* found = nullptr;
    if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return {};
    char text[INET_ADDRSTRLEN] = "";
    ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(found->ai_addr)->sin_addr, text, sizeof text);
    ::freeaddrinfo(found);
    return text;
}

// One connection of either engine; a write answers with the server that took it.
class Link {
  public:
    Link(const Options& options, std::string password) : options_(options), password_(std::move(password)) {}

    base::Result<std::string> write(const std::string& host, std::uint16_t port, const std::string& path) {
        const auto timeout =
            std::chrono::duration_cast<base::Duration>(std::chrono::duration<double, std::milli>(options_.timeout_ms));
        const auto connect_timeout = std::chrono::duration_cast<base::Duration>(
            std::chrono::duration<double, std::milli>(options_.connect_timeout_ms));
        const std::string insert = fmt::format("INSERT INTO failover_probe VALUES ('{}')", path);
        if (options_.engine == "mysql") {
            if (!mysql_.connected()) {
                mysql::ConnectParams params;
                params.host = host;
                params.port = port;
                params.user = options_.user;
                params.password = password_;
                params.database = options_.database;
                SB_CHECK(mysql_.connect(params, connect_timeout));
            }
            SB_TRY(const auto results, mysql_.query_all(insert + "; SELECT @@server_id", timeout));
            if (results.size() != 2 || results[1].rows.empty())
                return base::fail(base::ErrorKind::CorruptData, "no id");
            return results[1].rows[0][0].value_or("");
        }
        if (!postgres_.connected()) {
            postgres::ConnectParams params;
            params.host = host;
            params.port = port;
            params.user = options_.user;
            params.password = password_;
            params.database = options_.database;
            SB_CHECK(postgres_.connect(params, connect_timeout));
        }
        SB_TRY(const auto results, postgres_.query_all(insert + "; SELECT inet_server_addr()", timeout));
        if (results.size() != 2 || results[1].rows.empty())
            return base::fail(base::ErrorKind::CorruptData, "no address");
        return results[1].rows[0][0].value_or("");
    }

    void close() {
        mysql_.close();
        postgres_.close();
    }

  private:
    const Options& options_;
    const std::string password_;
    mysql::Client mysql_;
    postgres::Client postgres_;
};

// Prints a line for each time that writes go well again or reach another server; a summary at the end.
class Path {
  public:
    Path(const Options& options, const std::string& text, const std::string& password)
        : options_(options), link_(options, password) {
        const auto equals = text.find('=');
        name_ = text.substr(0, equals);
        const auto place = base::parse_host_port(equals == std::string::npos ? "" : text.substr(equals + 1));
        if (!place || name_.empty()) {
            std::cerr << "failover_probe: expected --path NAME=HOST:PORT, found " << text << '\n';
            std::exit(2);
        }
        place_ = *place;
    }

    void run() {
        const auto interval = std::chrono::duration<double, std::milli>(options_.interval_ms);
        while (!ended) {
            const std::string host = resolve(place_.host);
            const auto sent = Clock::now();
            const auto server = host.empty()
                                    ? base::Result<std::string>(base::fail(base::ErrorKind::NotFound, "no name"))
                                    : link_.write(host, place_.port, name_);
            const auto done = Clock::now();
            if (server) {
                good(sent, done, *server);
            } else {
                bad(done, server.error());
            }
            std::this_thread::sleep_for(interval);
        }
    }

    json::object summary() const {
        return {{"path", name_}, {"ok", good_}, {"failed", bad_}, {"last_error", last_error_}};
    }

  private:
    void good(Clock::time_point sent, Clock::time_point done, const std::string& server) {
        if (failed_ || server != server_) {
            const json::object line{{"path", name_},          {"server", server},
                                    {"was", server_},         {"sent", seconds_of(sent)},
                                    {"at", seconds_of(done)}, {"last_good", good_ == 0 ? 0.0 : seconds_of(last_)}};
            static std::mutex mutex;
            const std::lock_guard guard(mutex);
            std::cout << json::serialize(line) << std::endl;
        }
        failed_ = false;
        server_ = server;
        last_ = done;
        ++good_;
    }

    void bad(Clock::time_point, const base::Error& error) {
        failed_ = true;
        ++bad_;
        last_error_ = error.text();
        // A server that says read-only answers well enough for a pool; the client that wants to write reconnects.
        link_.close();
    }

    const Options& options_;
    Link link_;
    std::string name_;
    base::HostPort place_;
    bool failed_ = false;
    std::string server_;
    Clock::time_point last_{};
    std::uint64_t good_ = 0;
    std::uint64_t bad_ = 0;
    std::string last_error_;
};

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGTERM, [](int) { ended = true; });
    std::signal(SIGINT, [](int) { ended = true; });
    Options options;
    CLI::App app{"Writes on several paths at once; tells when and where each path's writes go well again."};
    app.add_option("--engine", options.engine, "mysql or postgresql")->check(CLI::IsMember({"mysql", "postgresql"}));
    app.add_option("--user", options.user, "User on every path")->required();
    app.add_option("--password-file", options.password_file, "Its password")->required();
    app.add_option("--database", options.database, "Holds the table failover_probe(path text)")->capture_default_str();
    app.add_option("--path", options.paths, "NAME=HOST:PORT; repeatable")->required();
    app.add_option("--duration", options.duration_s, "Seconds")->capture_default_str();
    app.add_option("--interval", options.interval_ms, "Milliseconds between writes of a path")->capture_default_str();
    app.add_option("--timeout", options.timeout_ms, "Milliseconds for a write")->capture_default_str();
    app.add_option("--connect-timeout", options.connect_timeout_ms, "Milliseconds for a connect")
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    const auto password = base::read_file(options.password_file, 4096);
    if (!password) {
        std::cerr << "failover_probe: " << password.error().text() << '\n';
        return 2;
    }
    std::vector<std::unique_ptr<Path>> paths;
    for (const auto& text : options.paths) {
        paths.push_back(std::make_unique<Path>(options, text, std::string(base::trim(*password))));
    }
    std::vector<std::thread> threads;
    for (const auto& path : paths) threads.emplace_back([&path] { path->run(); });
    const auto until = Clock::now() + std::chrono::duration<double>(options.duration_s);
    while (!ended && Clock::now() < until) std::this_thread::sleep_for(20ms);
    ended = true;
    for (auto& thread : threads) thread.join();
    for (const auto& path : paths) std::cout << json::serialize(path->summary()) << std::endl;
    return 0;
}
