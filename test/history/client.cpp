// Clients that keep a history while a cluster fails over: half insert numbered rows (a set), half append to lists
// inside transactions. Every operation is noted before and after as ok, failed or unknown, with the server that took
// it; rows note their server and its time, too, so that a row on a former writer betrays itself. check.py judges the
// history.

#include "adapters/mysql/client.hpp"

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "adapters/postgres/client.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "domain/meter/sample.hpp"

namespace {

using namespace signalbox;
using namespace std::chrono_literals;
namespace json = base::json;
using Clock = std::chrono::system_clock;

constexpr std::uint64_t ids_per_client = 10'000'000;
constexpr int appends_per_list = 100;

struct Options {
    std::string engine = "mysql";
    std::string user;
    std::string password_file;
    std::string database;
    std::vector<std::string> endpoints;  // clients take them in turn
    std::vector<std::string> members;    // NAME=HOST:PORT, watched for rows that are rolled back later
    std::string history;
    int clients = 8;
    double pause_ms = 4;
};

std::atomic<bool> ended{false};

double now_s() { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); }

// One connection of either engine; `text` is several statements, and what they answered comes back.
class Link {
  public:
    Link(const Options& options, std::string password) : options_(options), password_(std::move(password)) {}

    base::Status connect(const base::HostPort& place) {
        if (postgres()) {
            if (postgres_.connected()) return {};
            postgres::ConnectParams params;
            params.host = place.host;
            params.port = place.port;
            params.user = options_.user;
            params.password = password_;
            params.database = options_.database;
            return postgres_.connect(params, 2s);
        }
        if (mysql_.connected()) return {};
        mysql::ConnectParams params;
        params.host = place.host;
        params.port = place.port;
        params.user = options_.user;
        params.password = password_;
        params.database = options_.database;
        return mysql_.connect(params, 2s);
    }

    auto ask(const std::string& text) {
        return postgres() ? postgres_.query_all(text, 5s) : mysql_.query_all(text, 5s);
    }

    // Whether the last statement may have been executed although it ended with this error.
    bool may_have_happened(const base::Error& error) const {
        if (error.kind == base::ErrorKind::UnknownOutcome || error.kind == base::ErrorKind::Timeout) return true;
        if (!postgres()) return meter::write_outcome(true, error.code) == meter::Outcome::Unknown;
        // PostgreSQL: 57P01, 57P02 come while a commit may wait for its standby; 08xxx is the connection.
        const std::string state = postgres::sqlstate_text(error.code);
        return state.empty() || state.starts_with("57P") || state.starts_with("08") || state == "57014";
    }

    void close() {
        mysql_.close();
        postgres_.close();
    }
    bool postgres() const { return options_.engine == "postgresql"; }
    std::string server() const { return postgres() ? "host(inet_server_addr())" : "@@server_id"; }
    std::string time() const { return postgres() ? "clock_timestamp()" : "SYSDATE(6)"; }

  private:
    const Options& options_;
    const std::string password_;
    mysql::Client mysql_;
    postgres::Client postgres_;
};

class History {
  public:
    explicit History(const std::string& path) : file_(path) {}
    void note(const json::object& entry) {
        const std::string line = json::serialize(entry) + "\n";
        const std::lock_guard guard(mutex_);
        file_ << line;
    }

  private:
    std::mutex mutex_;
    std::ofstream file_;
};

class Client {
  public:
    Client(const Options& options, const std::string& password, History& history, int number)
        : options_(options), history_(history), number_(number), link_(options, password) {
        // Two neighbours share an endpoint, so that each serves sets and lists.
        endpoint_ = options.endpoints[static_cast<std::size_t>(number / 2) % options.endpoints.size()];
        place_ = *base::parse_host_port(endpoint_);
    }

    void run() {
        const bool lists = number_ % 2 == 1;
        while (!ended) {
            if (!link_.connect(place_)) {
                link_.close();
                std::this_thread::sleep_for(5ms);
                continue;
            }
            ++sequence_;
            const std::uint64_t id = static_cast<std::uint64_t>(number_) * ids_per_client + sequence_;
            json::object entry{{"client", number_}, {"endpoint", endpoint_}, {"id", id}, {"sent", now_s()}};
            const base::Status done = lists ? append(id, entry) : insert(id, entry);
            entry["done"] = now_s();
            if (done) {
                entry["outcome"] = "ok";
            } else {
                entry["outcome"] = unsafe_ && link_.may_have_happened(done.error()) ? "unknown" : "failed";
                entry["error"] = done.error().text();
                link_.close();
            }
            history_.note(entry);
            std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(options_.pause_ms));
        }
    }

  private:
    base::Status insert(std::uint64_t id, json::object& entry) {
        entry["op"] = "set";
        unsafe_ = true;
        SB_TRY(const auto results,
               link_.ask(fmt::format("INSERT INTO history_set (id, server, at) VALUES ({}, {}, {}); SELECT {}", id,
                                     link_.server(), link_.time(), link_.server())));
        if (results.size() != 2 || results[1].rows.empty())
            return base::fail(base::ErrorKind::UnknownOutcome, "the answer has no server");
        entry["server"] = results[1].rows[0][0].value_or("");
        return {};
    }

    // What the list was before is the read; only the COMMIT can leave the outcome open.
    base::Status append(std::uint64_t id, json::object& entry) {
        entry["op"] = "append";
        const std::string key = fmt::format("{}", sequence_ / appends_per_list);
        entry["key"] = key;
        unsafe_ = false;
        SB_TRY(const auto begun,
               link_.ask("BEGIN; SELECT items FROM history_list WHERE name = '" + key + "' FOR UPDATE"));
        std::string before;
        if (begun.size() == 2 && !begun[1].rows.empty()) {
            before = begun[1].rows[0][0].value_or("");
        } else {
            // A list is made by whoever comes first; the others wait for the row and then read it.
            const std::string make =
                fmt::format("INSERT {}INTO history_list (name, items) VALUES ('{}', ''){}",
                            link_.postgres() ? "" : "IGNORE ", key, link_.postgres() ? " ON CONFLICT DO NOTHING" : "");
            SB_TRY(const auto made,
                   link_.ask(make + "; SELECT items FROM history_list WHERE name = '" + key + "' FOR UPDATE"));
            if (made.size() == 2 && !made[1].rows.empty()) before = made[1].rows[0][0].value_or("");
        }
        const auto items = before.empty() ? std::vector<std::string_view>{} : base::split(before, ',');
        entry["read_size"] = items.size();
        entry["read_last"] = items.empty() ? std::string() : std::string(items.back());
        SB_TRY(const auto updated,
               link_.ask(fmt::format("UPDATE history_list SET items = '{}{}{}' WHERE name = '{}'; SELECT {}", before,
                                     before.empty() ? "" : ",", id, key, link_.server())));
        if (updated.size() == 2 && !updated[1].rows.empty()) entry["server"] = updated[1].rows[0][0].value_or("");
        unsafe_ = true;
        SB_TRY(const auto committed, link_.ask("COMMIT"));
        return {};
    }

    const Options& options_;
    History& history_;
    const int number_;
    Link link_;
    std::string endpoint_;
    base::HostPort place_;
    std::uint64_t sequence_ = 0;
    bool unsafe_ = false;  // the statement under way may take effect although its answer is lost
};

// Looks at a member's newest rows, committed or not where the engine shows that: a row that is gone later was rolled
// back.
void watch_member(const Options& options, const std::string& password, const std::string& text, History& history) {
    const auto equals = text.find('=');
    const auto place = base::parse_host_port(text.substr(equals + 1));
    Link link(options, password);
    std::string newest = "0";
    while (!ended) {
        std::this_thread::sleep_for(25ms);
        if (!link.connect(*place)) {
            link.close();
            continue;
        }
        const std::string dirty =
            link.postgres() ? "SELECT 1" : "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED";
        const auto seen = link.ask(dirty + "; SELECT id FROM history_set ORDER BY at DESC LIMIT 200");
        if (!seen) {
            link.close();
            continue;
        }
        json::array ids;
        for (const auto& row : seen->back().rows) ids.emplace_back(base::parse_uint(row[0].value_or("0")).value_or(0));
        if (!ids.empty() && json::serialize(ids.front()) != newest) {
            newest = json::serialize(ids.front());
            history.note(
                {{"op", "seen"}, {"member", text.substr(0, equals)}, {"at", now_s()}, {"ids", std::move(ids)}});
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGTERM, [](int) { ended = true; });
    std::signal(SIGINT, [](int) { ended = true; });
    Options options;
    CLI::App app{"Keeps a history of writes while a cluster fails over, until it gets SIGTERM."};
    app.add_option("--engine", options.engine)->check(CLI::IsMember({"mysql", "postgresql"}));
    app.add_option("--user", options.user)->required();
    app.add_option("--password-file", options.password_file)->required();
    app.add_option("--database", options.database)->required();
    app.add_option("--endpoint", options.endpoints, "HOST:PORT; repeatable, clients take them in turn")->required();
    app.add_option("--member", options.members, "NAME=HOST:PORT to watch; repeatable");
    app.add_option("--history", options.history, "The file that is written")->required();
    app.add_option("--clients", options.clients)->check(CLI::Range(2, 64));
    app.add_option("--pause", options.pause_ms, "Milliseconds between a client's operations");
    CLI11_PARSE(app, argc, argv);
    const auto password_text = base::read_file(options.password_file, 4096);
    if (!password_text) {
        std::cerr << password_text.error().text() << '\n';
        return 2;
    }
    const std::string password(base::trim(*password_text));
    for (const auto& endpoint : options.endpoints) {
        if (!base::parse_host_port(endpoint)) {
            std::cerr << "expected --endpoint HOST:PORT, found " << endpoint << '\n';
            return 2;
        }
    }
    History history(options.history);
    std::vector<std::unique_ptr<Client>> clients;
    std::vector<std::thread> threads;
    for (int i = 0; i < options.clients; ++i) {
        clients.push_back(std::make_unique<Client>(options, password, history, i));
        threads.emplace_back([&client = *clients.back()] { client.run(); });
    }
    for (const auto& member : options.members) {
        threads.emplace_back(
            [&options, &password, &history, member] { watch_member(options, password, member, history); });
    }
    for (auto& thread : threads) thread.join();
    return 0;
}
