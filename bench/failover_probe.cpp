// Writes on several paths to one cluster at once and tells when each path's writes went well again after a failover,
// and on which server: the excess of a path is its first good write on the new writer minus the first direct one there.
// One thread and one connection a path, one write under way at most; a path that fails connects again at once. Beside
// them it can watch replicas, and tells when each has applied something from another server.
//
// Prints one JSON object a line: one for each time that a path's writes go well again or reach another server, or that
// a replica applied another server's first change; a summary of each path at the end. Times are seconds since 1970.

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
    // NAME=HOST:PORT; a host that is no address is resolved at every connection.
    std::vector<std::string> paths;
    std::vector<std::string> direct;    // one server each: a refused write is no reason to connect again
    std::vector<std::string> replicas;  // MySQL family: read alone
    double duration_s = 10;
    double interval_ms = 2;
    double timeout_ms = 2000;
    double connect_timeout_ms = 5000;
};

enum class Kind { Path, Direct, Replica };

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

    // Who took the write: MariaDB's and MySQL's server id, PostgreSQL's address.
    base::Result<std::string> write(const std::string& host, std::uint16_t port, const std::string& path) {
        const std::string insert = fmt::format("INSERT INTO failover_probe VALUES ('{}')", path);
        if (options_.engine == "mysql") {
            SB_CHECK(connect_mysql(host, port, options_.database));
            return last_value(mysql_.query_all(insert + "; SELECT @@server_id", duration(options_.timeout_ms)));
        }
        SB_CHECK(connect_postgres(host, port));
        return last_value(postgres_.query_all(insert + "; SELECT inet_server_addr()", duration(options_.timeout_ms)));
    }

    // Whose change a replica applied last: the server id of the last position ("0-2-17": 2).
    base::Result<std::string> applied_from(const std::string& host, std::uint16_t port) {
        SB_CHECK(connect_mysql(host, port, {}));
        SB_TRY(const std::string position,
               last_value(mysql_.query_all("SELECT @@gtid_slave_pos", duration(options_.timeout_ms))));
        const auto parts = base::split(position, '-');
        return parts.size() < 3 ? "" : std::string(parts[1]);
    }

    bool connected() const { return mysql_.connected() || postgres_.connected(); }
    void close() {
        mysql_.close();
        postgres_.close();
    }

  private:
    static base::Duration duration(double ms) {
        return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double, std::milli>(ms));
    }

    static base::Result<std::string> last_value(const base::Result<std::vector<probing::ResultSet>>& results) {
        if (!results) return tl::unexpected<base::Error>(results.error());
        if (results->empty() || results->back().rows.empty())
            return base::fail(base::ErrorKind::CorruptData, "expected a row, found none");
        return results->back().rows[0][0].value_or("");
    }

    base::Status connect_mysql(const std::string& host, std::uint16_t port, const std::string& database) {
        if (mysql_.connected()) return {};
        mysql::ConnectParams params;
        params.host = host;
        params.port = port;
        params.user = options_.user;
        params.password = password_;
        params.database = database;
        return mysql_.connect(params, duration(options_.connect_timeout_ms));
    }

    base::Status connect_postgres(const std::string& host, std::uint16_t port) {
        if (postgres_.connected()) return {};
        postgres::ConnectParams params;
        params.host = host;
        params.port = port;
        params.user = options_.user;
        params.password = password_;
        params.database = options_.database;
        return postgres_.connect(params, duration(options_.connect_timeout_ms));
    }

    const Options& options_;
    const std::string password_;
    mysql::Client mysql_;
    postgres::Client postgres_;
};

// Prints a line for each time that writes go well again or reach another server; a summary at the end.
class Path {
  public:
    Path(const Options& options, Kind kind, const std::string& text, const std::string& password)
        : options_(options), kind_(kind), link_(options, password) {
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
            const auto sent = Clock::now();
            const auto server = attempt();
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
    base::Result<std::string> attempt() {
        // An open connection needs no name.
        const std::string host = link_.connected() ? place_.host : resolve(place_.host);
        if (host.empty()) return base::fail(base::ErrorKind::NotFound, "the name {} has no address", place_.host);
        return kind_ == Kind::Replica ? link_.applied_from(host, place_.port) : link_.write(host, place_.port, name_);
    }

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
        if (kind_ == Kind::Path) link_.close();
    }

    const Options& options_;
    const Kind kind_;
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
    app.add_option("--path", options.paths, "NAME=HOST:PORT; repeatable");
    app.add_option("--direct", options.direct, "NAME=HOST:PORT of one server; repeatable")->required();
    app.add_option("--replica", options.replicas, "NAME=HOST:PORT of a replica to watch; repeatable");
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
    const auto add = [&](Kind kind, const std::vector<std::string>& texts) {
        for (const auto& text : texts) {
            paths.push_back(std::make_unique<Path>(options, kind, text, std::string(base::trim(*password))));
        }
    };
    add(Kind::Direct, options.direct);
    add(Kind::Path, options.paths);
    add(Kind::Replica, options.replicas);
    std::vector<std::thread> threads;
    for (const auto& path : paths) threads.emplace_back([&path] { path->run(); });
    const auto until = Clock::now() + std::chrono::duration<double>(options.duration_s);
    while (!ended && Clock::now() < until) std::this_thread::sleep_for(20ms);
    ended = true;
    for (auto& thread : threads) thread.join();
    for (const auto& path : paths) std::cout << json::serialize(path->summary()) << std::endl;
    return 0;
}
