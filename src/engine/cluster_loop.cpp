#include "engine/cluster_loop.hpp"

#include <type_traits>

#include "base/assert.hpp"

namespace signalbox::engine {
namespace {

using base::MonoTime;
using base::WallTime;
namespace json = base::json;

constexpr std::size_t failovers_max = 32;
constexpr int inputs_max = 64;  // results fed back within one call

bool is_set(MonoTime time) { return time != MonoTime{}; }

json::value ms_between(MonoTime from, MonoTime to) {
    if (!is_set(from) || !is_set(to)) return nullptr;
    return base::to_ms(to - from);
}

std::string_view role_of(const clusters::MemberView& member) {
    if (member.failure || !member.evidence) return "unknown";
    return member.evidence->claims_writer() ? "writer" : "reader";
}

}  // namespace

const std::string& cluster_of(const ClusterEvent& event) {
    static const std::string none;
    return std::visit(
        [](const auto& one) -> const std::string& {
            if constexpr (std::is_same_v<std::decay_t<decltype(one)>, Tick>) {
                return none;
            } else {
                return one.cluster;
            }
        },
        event);
}

json::object FailoverRecord::to_json() const {
    return {{"epoch", epoch},
            {"from", from},
            {"to", to},
            {"detected_at", base::format_time(detected_at)},
            {"intent_ms", ms_between(detected, intent)},
            {"fenced_ms", ms_between(detected, fenced)},
            {"active_ms", ms_between(detected, active)},
            {"routed_ms", ms_between(detected, routed)},
            {"sessions_closed", sessions_closed},
            {"sessions_killed", sessions_killed},
            {"fence", traffic_fenced_only ? "traffic-fenced only" : "complete"}};
}

ClusterLoop::ClusterLoop(clusters::ClusterConfig config, ClusterPorts ports, clusters::Rules rules)
    : machine_(std::move(config), rules), ports_(ports) {}

void ClusterLoop::start(MonoTime now, WallTime wall) {
    hold_since_ = wall;
    for (const clusters::Action& action : machine_.start(now)) execute(action, now, wall);
    drain(now, wall);
}

void ClusterLoop::handle(const ClusterEvent& event, MonoTime now, WallTime wall) {
    namespace in = clusters::input;
    if (!std::holds_alternative<Tick>(event) && cluster_of(event) != config().name) return;
    if (std::holds_alternative<Tick>(event)) {
        inputs_.emplace_back(in::Tick{});
    } else if (const auto* observation = std::get_if<clusters::Observation>(&event)) {
        inputs_.emplace_back(in::Observed{observation});
    } else if (const auto* barrier = std::get_if<ports::BarrierDone>(&event)) {
        in::BarrierDone done{barrier->epoch, barrier->result.sessions_closed, {}};
        for (const ports::ServerSessions& one : barrier->result.server_sessions) {
            done.server_sessions.emplace_back(one.member, one.sessions);
        }
        inputs_.emplace_back(std::move(done));
    } else if (const auto* killed = std::get_if<ports::SessionsKilled>(&event)) {
        inputs_.emplace_back(in::SessionsKilled{killed->epoch, killed->member, killed->killed, killed->failed});
    } else if (const auto* hint = std::get_if<ports::TrafficHint>(&event)) {
        inputs_.emplace_back(in::TrafficHint{hint->member, hint->code});
    }
    drain(now, wall);
}

void ClusterLoop::drain(MonoTime now, WallTime wall) {
    for (int count = 0; !inputs_.empty(); ++count) {
        SB_ASSERT(count < inputs_max, "the results of one input come to an end");
        const clusters::Input input = std::move(inputs_.front());
        inputs_.pop_front();
        const bool was_held = machine_.held();
        for (const clusters::Action& action : machine_.step(input, now)) execute(action, now, wall);
        if (machine_.held() && !was_held) hold_since_ = wall;
    }
}

MonoTime ClusterLoop::next_deadline() const { return machine_.next_deadline(); }

void ClusterLoop::reconfigure(clusters::ClusterConfig config, MonoTime now, WallTime wall) {
    SB_ASSERT(config.name == this->config().name, "a loop keeps its cluster");
    for (const clusters::Action& action : machine_.reconfigure(std::move(config), now)) execute(action, now, wall);
    drain(now, wall);
}

void ClusterLoop::execute(const clusters::Action& action, MonoTime now, WallTime wall) {
    namespace act = clusters::action;
    const clusters::ClusterConfig& cluster = config();
    std::visit(
        [&](const auto& one) {
            using T = std::decay_t<decltype(one)>;
            if constexpr (std::is_same_v<T, act::LoadRecord>) {
                load();
            } else if constexpr (std::is_same_v<T, act::SetCadence>) {
                ports_.probes.set_cadence(cluster.name, one.member, one.fast ? cluster.probe.fast : cluster.probe.calm,
                                          cluster.probe.deadline);
            } else if constexpr (std::is_same_v<T, act::Wake>) {
                ports_.probes.wake(cluster.name);
            } else if constexpr (std::is_same_v<T, act::Hold>) {
                ports_.routes.hold(cluster.name, one.epoch);
            } else if constexpr (std::is_same_v<T, act::Store>) {
                store(one, now, wall);
            } else if constexpr (std::is_same_v<T, act::StorePosition>) {
                // A position that could not be kept makes the next process' check weaker, not this one's.
                (void)ports_.epochs.store_position(cluster.name, one.epoch, one.position);
            } else if constexpr (std::is_same_v<T, act::Fence>) {
                ports_.routes.fence(cluster.name, one.epoch);
            } else if constexpr (std::is_same_v<T, act::KillSessions>) {
                ports_.killer.kill(cluster.name, one.epoch, one.member, one.sessions, cluster.kill_deadline);
            } else if constexpr (std::is_same_v<T, act::Route>) {
                ports_.routes.route(cluster.name, one.epoch, one.member, one.address);
            } else {
                note(one, now, wall);
                // The journal's refusal changes no decision: what must be durable goes through the epoch store.
                if (!ports_.journal.append(entry(one, wall), ports::Durability::Relaxed)) ++journal_failures_;
            }
        },
        action);
}

void ClusterLoop::load() {
    const auto known = ports_.epochs.load(config().name);
    if (!known) {
        inputs_.emplace_back(clusters::input::Loaded{tl::unexpected<base::Error>(known.error())});
        return;
    }
    std::optional<clusters::EpochFacts> facts;
    if (*known) facts = clusters::EpochFacts{(*known)->epoch, (*known)->member, (*known)->active, (*known)->position};
    inputs_.emplace_back(clusters::input::Loaded{std::move(facts)});
}

void ClusterLoop::store(const clusters::action::Store& action, MonoTime now, WallTime wall) {
    const clusters::EpochFacts& facts = action.facts;
    auto outcome = ports_.epochs.store(config().name, {facts.epoch, facts.member, facts.active, facts.position},
                                       entry(action.record, wall));
    if (outcome) note(action.record, now, wall);
    inputs_.emplace_back(clusters::input::Stored{facts.epoch, facts.active, std::move(outcome)});
}

ports::JournalEntry ClusterLoop::entry(const clusters::Record& record, WallTime wall) const {
    ports::JournalEntry entry;
    entry.at = wall;
    entry.kind = record.kind;
    entry.subject = config().name;
    entry.epoch = record.epoch;
    entry.data = record.data;
    return entry;
}

// The failover's timeline, from the same records that the journal gets.
void ClusterLoop::note(const clusters::Record& record, MonoTime now, WallTime wall) {
    const std::string& kind = record.kind;
    if (kind == "writer-unclear" || kind == "writer-lost" || kind == "epoch-intent") {
        if (!is_set(current_.detected)) {
            current_.detected = now;
            current_.detected_at = wall;
        }
    }
    if (kind == "writer-again") {
        current_ = {};
    } else if (kind == "epoch-intent") {
        current_.epoch = record.epoch;
        current_.from = record.data.at("former").as_string();
        current_.to = record.data.at("member").as_string();
        current_.intent = now;
    } else if (kind == "fenced") {
        current_.fenced = now;
    } else if (kind == "epoch-active") {
        current_.active = now;
        current_.sessions_closed = record.data.at("sessions_closed").to_number<std::uint64_t>();
        current_.sessions_killed = record.data.at("sessions_killed").to_number<std::uint64_t>();
        current_.traffic_fenced_only = record.data.at("fence").as_string() != "complete";
    } else if (kind == "routed" && is_set(current_.active)) {
        current_.routed = now;
        failovers_.push_back(std::exchange(current_, {}));
        ++failover_count_;
        if (failovers_.size() > failovers_max) failovers_.pop_front();
    } else if (kind == "alarm") {
        alarm_since_[std::string(record.data.at("alarm").as_string())] = wall;
    } else if (kind == "alarm-cleared") {
        alarm_since_.erase(std::string(record.data.at("alarm").as_string()));
    }
}

json::object ClusterLoop::status(MonoTime now) const {
    json::array members;
    for (std::size_t i = 0; i < machine_.members().size(); ++i) {
        const clusters::MemberView& member = machine_.members()[i];
        json::array reasons;
        for (const std::string& reason : machine_.reasons(i)) reasons.emplace_back(reason);
        json::value age = nullptr;
        if (member.evidence) age = base::to_ms(now - member.completed_at);
        members.push_back(json::object{{"name", member.config.name},
                                       {"address", member.config.address.text()},
                                       {"role", role_of(member)},
                                       {"answers", !member.failure && member.evidence.has_value()},
                                       {"last_answer_ms", age},
                                       {"misses", member.misses},
                                       {"version", member.evidence ? member.evidence->version : std::string()},
                                       {"history", member.history.text()},
                                       {"believed", machine_.verdict().writer == i},
                                       {"reasons", std::move(reasons)}});
    }
    json::array alarms;
    for (const auto& [kind, text] : machine_.alarms()) {
        const auto since = alarm_since_.find(kind);
        alarms.push_back(json::object{
            {"kind", kind},
            {"text", text},
            {"since", since == alarm_since_.end() ? json::value() : json::value(base::format_time(since->second))}});
    }
    json::array failovers;
    for (const FailoverRecord& one : failovers_) failovers.push_back(one.to_json());
    return {{"name", config().name},
            {"state", clusters::to_string(machine_.state())},
            {"epoch", machine_.epoch()},
            {"writer", machine_.writer()},
            {"held", machine_.held()},
            {"hold_since", machine_.held() ? json::value(base::format_time(hold_since_)) : json::value()},
            {"position", machine_.continuity().position.text()},
            {"contested", machine_.verdict().contested},
            {"members", std::move(members)},
            {"alarms", std::move(alarms)},
            {"failovers", std::move(failovers)},
            {"journal_failures", journal_failures_}};
}

}  // namespace signalbox::engine
