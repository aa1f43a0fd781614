// What a cluster's loop knows, as JSON for people.

#include "engine/cluster_loop.hpp"

namespace signalbox::engine {
namespace {

using base::MonoTime;
using base::WallTime;
namespace json = base::json;

json::value ms_between(MonoTime from, MonoTime to) {
    if (from == MonoTime{} || to == MonoTime{}) return nullptr;
    return base::to_ms(to - from);
}

json::value ms_or_null(const std::optional<base::Duration>& duration) {
    return duration ? json::value(base::to_ms(*duration)) : json::value();
}

std::string_view role_of(const clusters::MemberView& member) {
    if (member.failure || !member.evidence) return "unknown";
    return member.evidence->claims_writer() ? "writer" : "reader";
}

std::string_view engine_name(clusters::Engine engine) {
    switch (engine) {
        case clusters::Engine::MariaDb:
            return "mariadb";
        case clusters::Engine::MySql:
            return "mysql";
        case clusters::Engine::PostgreSql:
            return "postgresql";
    }
    return "?";
}

json::array sources_of(const clusters::MemberView& member, const std::vector<clusters::MemberView>& members) {
    json::array out;
    if (!member.evidence) return out;
    const auto& sources = member.evidence->sources;
    for (std::size_t i = 0; i < sources.size(); ++i) {
        json::value of = nullptr;
        if (i < member.sources.size() && member.sources[i].member) of = members[*member.sources[i].member].config.name;
        out.push_back(json::object{{"channel", sources[i].channel},
                                   {"address", sources[i].address.text()},
                                   {"member", std::move(of)},
                                   {"io_running", sources[i].io_running},
                                   {"sql_running", sources[i].sql_running},
                                   {"received", sources[i].received}});
    }
    return out;
}

json::array topology_of(const clusters::MemberView& member, WallTime wall) {
    json::array out;
    if (!member.evidence) return out;
    const auto wall_us = std::chrono::duration_cast<std::chrono::microseconds>(wall.time_since_epoch()).count();
    for (const clusters::TopologyRow& row : member.evidence->topology) {
        json::value age = nullptr;
        if (row.updated_us != 0 && wall_us != 0) age = static_cast<double>(wall_us - row.updated_us) / 1000.0;
        out.push_back(json::object{{"name", row.name},
                                   {"writer", row.writer},
                                   {"age_ms", std::move(age)},
                                   {"lag_ms", ms_or_null(row.lag)},
                                   {"address", row.address.host.empty() ? std::string() : row.address.text()}});
    }
    return out;
}

}  // namespace

json::object FailoverRecord::to_json() const {
    json::array lines;
    for (const std::string& line : unfenced) lines.emplace_back(line);
    return {{"kind", planned ? "switchover" : "failover"},
            {"trigger", trigger},
            {"epoch", epoch},
            {"from", from},
            {"to", to},
            {"detected_at", base::format_time(detected_at)},
            {"intent_ms", ms_between(detected, intent)},
            {"fenced_ms", ms_between(detected, fenced)},
            {"killed_ms", ms_between(detected, killed)},
            {"promoted_ms", ms_between(detected, promoted)},
            {"active_ms", ms_between(detected, active)},
            {"routed_ms", ms_between(detected, routed)},
            {"held_ms", held_ms},
            {"sessions_closed", sessions_closed},
            {"sessions_killed", sessions_killed},
            {"unfenced", std::move(lines)},
            {"fence", traffic_fenced_only ? "traffic-fenced only" : "complete"}};
}

json::object ClusterLoop::member_status(std::size_t index, MonoTime now, WallTime wall) const {
    const clusters::MemberView& member = machine_.members()[index];
    json::array reasons, checks;
    for (const clusters::Finding& finding : machine_.verdict().members[index].findings) {
        std::string text = clusters::explain(finding, member, machine_.members());
        checks.push_back(
            json::object{{"check", clusters::to_string(finding.check)}, {"passed", finding.passed}, {"text", text}});
        reasons.emplace_back(std::move(text));
    }
    json::value age = nullptr, sent = nullptr, rtt = nullptr, failure = nullptr;
    json::array replicas;
    if (member.evidence) {
        age = base::to_ms(now - member.completed_at);
        sent = base::to_ms(now - member.sent_at);
        rtt = base::to_ms(member.completed_at - member.sent_at);
        for (const clusters::AttachedReplica& one : member.evidence->replicas) {
            replicas.push_back(json::object{{"name", one.name}, {"address", one.address.text()}});
        }
    }
    if (member.failure) {
        failure = json::object{{"kind", clusters::to_string(member.failure->kind)},
                               {"code", member.failure->code},
                               {"text", member.failure->text}};
    }
    return {{"name", member.config.name},
            {"address", member.config.address.text()},
            {"discovered", machine_.discovered(member.config.name)},
            {"role", role_of(member)},
            {"answers", !member.failure && member.evidence.has_value()},
            {"last_answer_ms", std::move(age)},
            {"sent_ms", std::move(sent)},
            {"probe_rtt_ms", std::move(rtt)},
            {"misses", member.misses},
            {"failure", std::move(failure)},
            {"version", member.evidence ? member.evidence->version : std::string()},
            {"history", member.history.text()},
            {"applied", member.applied.text()},
            {"lag_ms", member.evidence ? ms_or_null(member.evidence->lag) : json::value()},
            {"sources", sources_of(member, machine_.members())},
            {"replicas", std::move(replicas)},
            {"topology", topology_of(member, wall)},
            {"believed", machine_.verdict().writer == index},
            {"checks", std::move(checks)},
            {"reasons", std::move(reasons)}};
}

json::value ClusterLoop::switchover_status() const {
    const auto& one = machine_.switchover();
    if (!one) return nullptr;
    return json::object{{"from", one->from},
                        {"to", one->to},
                        {"state", clusters::to_string(machine_.state())},
                        {"since", base::format_time(switchover_since_)},
                        {"drained", one->drained}};
}

json::object ClusterLoop::status(MonoTime now, WallTime wall) const {
    json::array members, alarms, failovers, readers;
    for (std::size_t i = 0; i < machine_.members().size(); ++i) members.push_back(member_status(i, now, wall));
    for (const auto& [kind, text] : machine_.alarms()) {
        const auto since = alarm_since_.find(kind);
        alarms.push_back(json::object{
            {"kind", kind},
            {"text", text},
            {"since", since == alarm_since_.end() ? json::value() : json::value(base::format_time(since->second))}});
    }
    for (const FailoverRecord& one : failovers_) failovers.push_back(one.to_json());
    for (const auto& [name, one] : readers_) {
        json::array targets;
        for (const routing::ReaderTarget& target : one.sent.value_or(std::vector<routing::ReaderTarget>{})) {
            targets.push_back(json::object{{"member", target.member},
                                           {"address", target.address.text()},
                                           {"weight", target.weight},
                                           {"draining", target.draining}});
        }
        readers.push_back(json::object{{"endpoint", name}, {"targets", std::move(targets)}});
    }
    return {{"name", config().name},
            {"engine", engine_name(config().engine)},
            {"state", clusters::to_string(machine_.state())},
            {"epoch", machine_.epoch()},
            {"writer", machine_.writer()},
            {"held", machine_.held()},
            {"hold_since", machine_.held() ? json::value(base::format_time(hold_since_)) : json::value()},
            {"position", machine_.continuity().position.text()},
            {"cluster_uid", machine_.cluster_uid()},
            {"contested", machine_.verdict().contested},
            {"why", machine_.why()},
            {"members", std::move(members)},
            {"readers", std::move(readers)},
            {"switchover", switchover_status()},
            {"alarms", std::move(alarms)},
            {"failovers", std::move(failovers)},
            {"journal_failures", journal_failures_}};
}

}  // namespace signalbox::engine
