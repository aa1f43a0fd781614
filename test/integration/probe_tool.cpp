// What probes and killers see and do, for tests against real servers: a target in the first line of the input, an
// order in each line after it, one line of JSON for each answer. Links the same adapters as the daemon.

#include <atomic>
#include <fmt/format.h>
#include <iostream>
#include <mutex>
#include <thread>

#include "adapters/mysql/link.hpp"
#include "adapters/postgres/link.hpp"
#include "adapters/probing/killer.hpp"
#include "adapters/probing/probes.hpp"
#include "base/json.hpp"

namespace signalbox {
namespace {

namespace json = base::json;
using clusters::Engine;
using probing::Clock;

template <typename Link>
std::unique_ptr<probing::MemberLink> make(const probing::Target& target) {
    return std::make_unique<Link>(target);
}

probing::Engines engines() {
    return {{Engine::MariaDb, make<mysql::Link>},
            {Engine::MySql, make<mysql::Link>},
            {Engine::PostgreSql, make<postgres::Link>}};
}

std::string text(const json::object& object, const char* key) {
    const auto* value = object.if_contains(key);
    return value == nullptr ? "" : std::string(value->as_string());
}

clusters::ClusterConfig cluster_of(const json::object& object) {
    clusters::ClusterConfig cluster;
    cluster.name = "c";
    const std::string engine = text(object, "engine");
    cluster.engine = engine == "mysql" ? Engine::MySql : engine == "postgresql" ? Engine::PostgreSql : Engine::MariaDb;
    cluster.members = {{"m", base::parse_host_port(text(object, "address")).value()}};
    cluster.user = text(object, "user");
    cluster.password = text(object, "password");
    cluster.database = text(object, "database");
    cluster.tls_ca_file = text(object, "tls_ca_file");
    cluster.tls = text(object, "tls") == "verify-ca"     ? clusters::Tls::VerifyCa
                  : text(object, "tls") == "verify-full" ? clusters::Tls::VerifyFull
                                                         : clusters::Tls::Off;
    cluster.topology.query = text(object, "topology_query");
    cluster.discover = object.contains("discover");
    return cluster;
}

const char* name(clusters::ProbeFailureKind kind) {
    static constexpr const char* names[] = {"refused",      "reset",      "timed-out", "login-denied",
                                            "server-error", "incomplete", "own-delay"};
    return names[static_cast<int>(kind)];
}

json::object to_json(const probing::Answer& answer) {
    if (const auto* failure = std::get_if<clusters::ProbeFailure>(&answer)) {
        return {{"failure", name(failure->kind)}, {"code", failure->code}, {"text", failure->text}};
    }
    const auto& seen = std::get<clusters::Evidence>(answer);
    json::array sources;
    for (const auto& source : seen.sources) {
        sources.push_back(json::object{{"channel", source.channel},
                                       {"address", source.address.text()},
                                       {"io", source.io_running},
                                       {"sql", source.sql_running},
                                       {"received", source.received}});
    }
    json::array replicas;
    for (const auto& replica : seen.replicas) {
        replicas.push_back(json::object{{"name", replica.name}, {"address", replica.address.text()}});
    }
    json::array topology;
    for (const auto& row : seen.topology) {
        topology.push_back(json::object{{"name", row.name},
                                        {"writer", row.writer},
                                        {"updated_us", row.updated_us},
                                        {"lag_ms", row.lag ? json::value(base::to_ms(*row.lag)) : json::value(nullptr)},
                                        {"address", row.address.text()}});
    }
    return {{"server_id", seen.server_id},
            {"server_uid", seen.server_uid},
            {"cluster_uid", seen.cluster_uid},
            {"version", seen.version},
            {"read_only", seen.read_only},
            {"innodb_read_only", seen.innodb_read_only},
            {"writer", seen.claims_writer()},
            {"sources", sources},
            {"replicas", replicas},
            {"topology", topology},
            {"position", seen.binlog_state},
            {"applied", seen.applied},
            {"waits_for_replica", seen.waits_for_replica},
            {"lag_ms", seen.lag ? json::value(base::to_ms(*seen.lag)) : json::value(nullptr)}};
}

std::chrono::milliseconds ms(const json::object& order, const char* key, std::int64_t otherwise) {
    const auto* value = order.if_contains(key);
    return std::chrono::milliseconds(value == nullptr ? otherwise : value->to_number<std::int64_t>());
}

std::vector<clusters::ServerSession> sessions_of(const json::object& order) {
    std::vector<clusters::ServerSession> sessions;
    for (const auto& item : order.at("sessions").as_array()) {
        const auto& object = item.as_object();
        const auto* id = object.if_contains("id");
        sessions.push_back({id == nullptr ? 0 : id->to_number<std::uint64_t>(), text(object, "client")});
    }
    return sessions;
}

// The daemon's own parts, run for as long as the orders say.
class Tool {
  public:
    explicit Tool(const json::object& object)
        : cluster_(cluster_of(object)),
          link_(engines().at(cluster_.engine)(probing::target_of(cluster_, cluster_.members.front()))) {}

    void obey(const json::object& order) {
        const std::string what = text(order, "do");
        const auto from = Clock::now();
        json::object answer;
        if (what == "ask") {
            answer = to_json(link_->ask(from + ms(order, "deadline_ms", 2000)));
        } else if (what == "kill") {
            answer = kill(sessions_of(order), ms(order, "deadline_ms", 2000));
        } else if (what == "watch") {
            answer = watch(ms(order, "calm_ms", 100), ms(order, "deadline_ms", 250));
        } else if (what == "watched") {
            answer = watched();
        } else {
            answer = {{"failure", "unknown order " + what}};
        }
        answer["took_us"] = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - from).count();
        answer["at_us"] =
            std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch()).count();
        say(answer);
    }

  private:
    void say(const json::object& line) {
        const std::lock_guard guard(mutex_);
        std::cout << json::serialize(line) << std::endl;
    }

    json::object kill(const std::vector<clusters::ServerSession>& sessions, std::chrono::milliseconds deadline) {
        const probing::Ended ended = link_->end_sessions(sessions, Clock::now() + deadline);
        return {{"killed", ended.count}, {"failed", sessions.size() - ended.count}, {"text", ended.text}};
    }

    json::object watch(base::Duration calm, base::Duration deadline) {
        probes_ = std::make_unique<probing::Probes>(
            [this](const clusters::Observation& seen) {
                json::object line;
                std::visit([&](const auto& result) { line = to_json(probing::Answer(result)); }, seen.result);
                line["sent_us"] =
                    std::chrono::duration_cast<std::chrono::microseconds>(seen.sent_at.time_since_epoch()).count();
                line["completed_us"] =
                    std::chrono::duration_cast<std::chrono::microseconds>(seen.completed_at.time_since_epoch()).count();
                line["sequence"] = seen.sequence;
                const std::lock_guard guard(mutex_);
                seen_.push_back(line);
            },
            engines());
        probes_->configure(cluster_);
        probes_->set_cadence("c", "m", calm, deadline);
        return {{"watching", true}};
    }

    // All observations since the last time.
    json::object watched() {
        const std::lock_guard guard(mutex_);
        json::array all;
        all.swap(seen_);
        return {{"observations", all}};
    }

    const clusters::ClusterConfig cluster_;
    const std::unique_ptr<probing::MemberLink> link_;
    std::mutex mutex_;
    json::array seen_;
    std::unique_ptr<probing::Probes> probes_;
};

}  // namespace
}  // namespace signalbox

int main() {
    std::string line;
    if (!std::getline(std::cin, line)) return 2;
    signalbox::Tool tool(boost::json::parse(line).as_object());
    while (std::getline(std::cin, line)) tool.obey(boost::json::parse(line).as_object());
    return 0;
}
