#include "engine/channel_loop.hpp"

#include <type_traits>

#include "domain/clusters/position.hpp"

namespace signalbox::engine {
namespace {

using base::MonoTime;
using base::WallTime;
namespace json = base::json;
using channels::Verdict;

// A position without the domains that the history has never heard of.
std::string of_known_domains(const std::string& position, const std::string& history) {
    const auto have = clusters::GtidState::parse(position);
    const auto known = clusters::GtidState::parse(history);
    if (!have || !known) return position;
    clusters::GtidState kept;
    for (const clusters::Gtid& gtid : have->list()) {
        for (const clusters::Gtid& other : known->list()) {
            if (other.domain != gtid.domain) continue;
            kept.add(gtid);
            break;
        }
    }
    return kept.text();
}

std::string_view to_string(channels::Thread thread) {
    switch (thread) {
        case channels::Thread::Stopped:
            return "stopped";
        case channels::Thread::Connecting:
            return "connecting";
        case channels::Thread::Running:
            return "running";
    }
    return "?";
}

json::object to_json(const channels::ReplicaStatus& replica) {
    json::value behind = nullptr;
    if (replica.behind) behind = base::to_ms(*replica.behind) / 1000;
    return {{"io", to_string(replica.io)},
            {"sql_running", replica.sql_running},
            {"source", replica.source.text()},
            {"io_error", replica.io_error},
            {"io_error_text", replica.io_error_text},
            {"sql_error", replica.sql_error},
            {"sql_error_text", replica.sql_error_text},
            {"position", replica.position},
            {"heartbeats", replica.heartbeats},
            {"heartbeat_period_ms", base::to_ms(replica.heartbeat_period)},
            {"retry_ms", base::to_ms(replica.retry)},
            {"behind_s", std::move(behind)}};
}

json::object to_json(const channels::SlotStatus& slot) {
    if (!slot.exists) return {{"exists", false}, {"current_lsn", channels::lsn_text(slot.current_lsn)}};
    return {{"exists", true},
            {"plugin", slot.plugin},
            {"database", slot.database},
            {"active", slot.active},
            {"restart_lsn", channels::lsn_text(slot.restart_lsn)},
            {"confirmed_lsn", channels::lsn_text(slot.confirmed_lsn)},
            {"current_lsn", channels::lsn_text(slot.current_lsn)},
            {"behind_bytes", slot.current_lsn >= slot.confirmed_lsn ? slot.current_lsn - slot.confirmed_lsn : 0},
            {"wal_status", slot.wal_status}};
}

}  // namespace

const std::string& channel_of(const ChannelEvent& event) {
    return std::visit([](const auto& one) -> const std::string& { return one.channel; }, event);
}

Verdict judge(clusters::Engine engine, const std::string& position, bool shared, const std::string& history) {
    if (history.empty() || (position.empty() && engine == clusters::Engine::PostgreSql)) return {};
    const bool filtered = shared && engine == clusters::Engine::MariaDb;
    const auto have = clusters::Position::parse(engine, filtered ? of_known_domains(position, history) : position);
    const auto known = clusters::Position::parse(engine, history);
    if (!have || !known || known->empty()) return {};
    Verdict verdict;
    // What came before the newest is not asked for: a server that was cloned no longer knows the numbers of others.
    const auto missing = known->first_missing(engine == clusters::Engine::PostgreSql ? *have : have->newest());
    verdict.is = missing ? Verdict::Is::Missing : Verdict::Is::Contained;
    if (missing) verdict.missing = missing->text();
    verdict.writer_has_more = !have->contains(known->newest());
    return verdict;
}

ChannelLoop::ChannelLoop(channels::ChannelConfig config, clusters::Engine engine, ChannelPorts ports)
    : config_(config), engine_(engine), ports_(ports), machine_(std::move(config), {}) {}

void ChannelLoop::start(MonoTime now, WallTime wall) {
    auto memory = ports_.store.load(config_.name);
    if (!memory) journal("channel-forgotten", {{"cluster", config_.cluster}, {"error", memory.error().text()}}, wall);
    machine_ = channels::Machine(config_, memory && *memory ? std::move(**memory) : channels::Memory{});
    ports_.probes.configure(config_);
    execute(machine_.start(now), wall);
}

void ChannelLoop::handle(const ChannelEvent& event, MonoTime now, WallTime wall) {
    if (channel_of(event) != config_.name) return;
    if (const auto* restarted = std::get_if<ports::ChannelRestarted>(&event)) {
        step(channels::input::RestartEnded{restarted->serial, restarted->outcome, restarted->text}, now, wall);
        return;
    }
    const auto& observation = std::get<channels::Observation>(event);
    Verdict verdict;
    if (const auto* replica = std::get_if<channels::ReplicaStatus>(&observation.result)) {
        verdict = this->verdict(replica->position, replica->shared);
    }
    step(channels::input::Observed{&observation, std::move(verdict)}, now, wall);
}

void ChannelLoop::on_cluster(const channels::ClusterFacts& facts, MonoTime now, WallTime wall) {
    if (facts.epoch < facts_.epoch) return;
    const std::string aimed = facts_.routed ? facts_.writer : std::string();
    const base::HostPort address = facts_.address;
    facts_ = facts;
    const std::string wanted = facts.routed ? facts.writer : std::string();
    if (wanted != aimed || (!wanted.empty() && address != facts.address)) {
        ports_.probes.aim(config_.name, wanted, facts.address);
    }
    const auto& replica = machine_.replica();
    step(channels::input::Facts{facts, verdict(machine_.position(), replica && replica->shared)}, now, wall);
}

void ChannelLoop::tick(MonoTime now, WallTime wall) { step(channels::input::Tick{}, now, wall); }

void ChannelLoop::acknowledge(MonoTime now, WallTime wall) { step(channels::input::Acknowledged{}, now, wall); }

Verdict ChannelLoop::verdict(const std::string& position, bool shared) const {
    return judge(engine_, position, shared, facts_.history);
}

void ChannelLoop::step(const channels::Input& input, MonoTime now, WallTime wall) {
    execute(machine_.step(input, now), wall);
}

void ChannelLoop::execute(const std::vector<channels::Action>& actions, WallTime wall) {
    namespace act = channels::action;
    for (const channels::Action& action : actions) {
        std::visit(
            [&](const auto& one) {
                using T = std::decay_t<decltype(one)>;
                const channels::ProbeConfig& probe = config_.probe;
                if constexpr (std::is_same_v<T, act::SetCadence>) {
                    ports_.probes.set_cadence(config_.name, one.fast ? probe.fast : probe.calm, probe.deadline);
                } else if constexpr (std::is_same_v<T, act::Wake>) {
                    ports_.probes.wake(config_.name);
                } else if constexpr (std::is_same_v<T, act::Restart>) {
                    ports_.probes.restart(config_.name, one.serial, one.resume, probe.restart);
                } else if constexpr (std::is_same_v<T, act::Store>) {
                    // What could not be kept makes the next process know less, not this one.
                    const auto durability = one.durable ? ports::Durability::Full : ports::Durability::Relaxed;
                    if (!ports_.store.store(config_.name, one.memory, durability)) ++store_failures_;
                } else {
                    journal(one.kind, one.data, wall);
                }
            },
            action);
    }
}

void ChannelLoop::journal(const std::string& kind, json::object data, WallTime wall) {
    if (kind == "alarm") alarm_since_[std::string(data.at("alarm").as_string())] = wall;
    if (kind == "alarm-cleared") alarm_since_.erase(std::string(data.at("alarm").as_string()));
    ports::JournalEntry entry;
    entry.at = wall;
    entry.kind = kind;
    entry.subject = config_.name;
    entry.epoch = facts_.epoch;
    entry.data = std::move(data);
    if (!ports_.journal.append(entry, ports::Durability::Relaxed)) ++journal_failures_;
}

json::object ChannelLoop::status(MonoTime now) const {
    json::array alarms;
    for (const auto& [kind, text] : machine_.alarms()) {
        const auto since = alarm_since_.find(kind);
        alarms.push_back({{"kind", kind},
                          {"text", text},
                          {"since", since == alarm_since_.end() ? json::value(nullptr)
                                                                : json::value(base::format_time(since->second))}});
    }
    json::array findings;
    for (const channels::Finding& finding : machine_.memory().findings) findings.push_back(channels::to_json(finding));
    json::value age = nullptr;
    if (machine_.replica() || machine_.slot()) age = base::to_ms(now - machine_.seen_at());
    json::value resume = nullptr;
    if (machine_.last_resume()) resume = base::to_ms(*machine_.last_resume());
    json::object status{{"name", config_.name},
                        {"cluster", config_.cluster},
                        {"kind", channels::to_string(config_.kind)},
                        {"state", channels::to_string(machine_.state())},
                        {"epoch", facts_.epoch},
                        {"writer", facts_.routed ? json::value(facts_.writer) : json::value(nullptr)},
                        {"last_answer_ms", std::move(age)},
                        {"failure", machine_.failure() ? json::value(machine_.failure()->text) : json::value(nullptr)},
                        {"last_resume_ms", std::move(resume)},
                        {"resumes", machine_.resumes()},
                        {"restarts", machine_.restarts()},
                        {"alarms", std::move(alarms)},
                        {"findings", std::move(findings)}};
    if (config_.kind == channels::Kind::Slot) {
        status["slot"] = config_.slot;
        if (machine_.slot()) status["slot_status"] = to_json(*machine_.slot());
    } else {
        status["address"] = config_.address.text();
        status["connection"] = config_.connection;
        if (machine_.replica()) status["replica"] = to_json(*machine_.replica());
    }
    return status;
}

}  // namespace signalbox::engine
