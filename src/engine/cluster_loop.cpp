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
        events_.probed(observation->member, observation->sent_at);
    } else if (const auto* barrier = std::get_if<ports::BarrierDone>(&event)) {
        in::BarrierDone done{barrier->epoch, barrier->result.sessions_closed, {}, {}};
        for (const ports::ServerSessions& one : barrier->result.server_sessions) {
            done.server_sessions.emplace_back(one.member, one.sessions);
        }
        done.unfenced = barrier->result.unfenced;
        inputs_.emplace_back(std::move(done));
    } else if (const auto* killed = std::get_if<ports::SessionsKilled>(&event)) {
        inputs_.emplace_back(
            in::SessionsKilled{killed->epoch, killed->member, killed->killed, killed->failed, killed->text});
    } else if (const auto* hint = std::get_if<ports::TrafficHint>(&event)) {
        inputs_.emplace_back(in::TrafficHint{hint->member, hint->code});
    } else if (const auto* promoted = std::get_if<ports::PromoteDone>(&event)) {
        inputs_.emplace_back(in::PromoteDone{promoted->epoch, promoted->ok, promoted->text});
    } else if (const auto* external = std::get_if<ports::ExternalEvent>(&event)) {
        if (events_.take(*external, sight(), now)) ports_.probes.wake(config().name);
    }
    if (machine_.wants_sessions()) {
        inputs_.emplace_back(in::WriterSessions{ports_.routes.writer_sessions(config().name)});
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
    settle_events(now, wall);
    update_readers(now);
}

MonoTime ClusterLoop::next_deadline() const {
    MonoTime due = std::min(machine_.next_deadline(), events_.next_deadline());
    for (const auto& [name, readers] : readers_) {
        if (const auto change = readers.pool.next_change()) due = std::min(due, *change);
    }
    return due;
}

EventBook::Sight ClusterLoop::sight() const {
    return {std::string(clusters::to_string(machine_.state())), machine_.epoch(), machine_.writer(), machine_.held()};
}

void ClusterLoop::settle_events(MonoTime now, WallTime wall) {
    if (events_.idle()) return;
    std::vector<std::string> members;
    for (const clusters::MemberView& member : machine_.members()) members.push_back(member.config.name);
    for (EventBook::Entry& entry : events_.due(members, sight(), now)) {
        append({std::move(entry.kind), machine_.epoch(), std::move(entry.data)}, wall);
    }
}

base::Status ClusterLoop::switchover(const ports::SwitchoverRequest& request, MonoTime now, WallTime wall) {
    using base::ErrorKind;
    if (request.cluster != config().name) {
        return base::fail(ErrorKind::NotFound, "'{}' is not the cluster '{}'", request.cluster, config().name);
    }
    if (ports_.promote == nullptr) {
        return base::fail(ErrorKind::NotSupported, "this program can't run a switchover.hook");
    }
    SB_CHECK(machine_.may_switch_over(request.to));
    switchover_since_ = wall;
    inputs_.emplace_back(clusters::input::SwitchoverAsked{request.to});
    drain(now, wall);
    if (machine_.switchover()) return {};
    return base::fail(ErrorKind::Conflict, "cluster '{}' is {}: its writer is not proven at this moment", config().name,
                      clusters::to_string(machine_.state()));
}

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
                // A position that is not kept makes the next process' check weaker, not this one's.
                if (!ports_.epochs.store_position(cluster.name, one.epoch, one.position)) machine_.position_not_kept();
            } else if constexpr (std::is_same_v<T, act::Fence>) {
                ports_.routes.fence(cluster.name, one.epoch);
            } else if constexpr (std::is_same_v<T, act::KillSessions>) {
                ports_.killer.kill(cluster.name, one.epoch, one.member, one.sessions, cluster.kill_deadline);
            } else if constexpr (std::is_same_v<T, act::Route>) {
                ports_.routes.route(cluster.name, one.epoch, one.member, one.address);
            } else if constexpr (std::is_same_v<T, act::Configure>) {
                ports_.probes.configure(cluster);
            } else if constexpr (std::is_same_v<T, act::Promote>) {
                SB_ASSERT(ports_.promote != nullptr, "a switchover without a hook was refused");
                ports_.promote->promote(cluster.name, one.epoch, one.from, one.to, one.address, one.deadline);
            } else {
                note(one, now, wall);
                append(one, wall);
            }
        },
        action);
}

void ClusterLoop::append(const clusters::Record& record, WallTime wall) {
    // The journal's refusal changes no decision: what must be durable goes through the epoch store.
    if (!ports_.journal.append(entry(record, wall), ports::Durability::Relaxed)) ++journal_failures_;
}

void ClusterLoop::load() {
    const auto known = ports_.epochs.load(config().name);
    if (!known) {
        inputs_.emplace_back(clusters::input::Loaded{tl::unexpected<base::Error>(known.error())});
        return;
    }
    std::optional<clusters::EpochFacts> facts;
    if (const auto& record = *known) {
        facts =
            clusters::EpochFacts{record->epoch, record->member, record->active, record->position, record->cluster_uid};
    }
    inputs_.emplace_back(clusters::input::Loaded{std::move(facts)});
}

void ClusterLoop::store(const clusters::action::Store& action, MonoTime now, WallTime wall) {
    const clusters::EpochFacts& facts = action.facts;
    auto outcome =
        ports_.epochs.store(config().name, {facts.epoch, facts.member, facts.active, facts.position, facts.cluster_uid},
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
    const auto text = [&](const char* key) {
        const json::value* value = record.data.if_contains(key);
        return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
    };
    if (kind == "writer-unclear" || kind == "writer-lost" || kind == "epoch-intent") {
        if (!is_set(current_.detected)) {
            current_.detected = now;
            current_.detected_at = wall;
        }
        if (current_.trigger.empty()) current_.trigger = kind == "epoch-intent" ? "a writer was proven" : text("why");
    }
    if (kind == "writer-again") {
        current_ = {};
    } else if (kind == "switchover") {
        note_switchover(record, now, wall);
    } else if (kind == "epoch-intent") {
        current_.epoch = record.epoch;
        current_.from = text("former");
        current_.to = text("member");
        current_.intent = now;
        current_.fenced = current_.killed = current_.active = {};
    } else if (kind == "fenced") {
        current_.fenced = current_.killed = now;
        current_.unfenced.clear();
        for (const json::value& line : record.data.at("unfenced").as_array()) {
            current_.unfenced.emplace_back(line.as_string());
        }
    } else if (kind == "sessions-killed") {
        current_.killed = now;
    } else if (kind == "epoch-active") {
        current_.active = now;
        current_.sessions_closed = record.data.at("sessions_closed").to_number<std::uint64_t>();
        current_.sessions_killed = record.data.at("sessions_killed").to_number<std::uint64_t>();
        current_.traffic_fenced_only = record.data.at("fence").as_string() != "complete";
    } else if (kind == "routed" && is_set(current_.active)) {
        current_.routed = now;
        current_.held_ms = record.data.at("held_ms").to_number<double>();
        failovers_.push_back(std::exchange(current_, {}));
        append({"failover", record.epoch, failovers_.back().to_json()}, wall);
        ++failover_count_;
        if (failovers_.size() > failovers_max) failovers_.pop_front();
    } else if (kind == "alarm") {
        alarm_since_[text("alarm")] = wall;
    } else if (kind == "alarm-cleared") {
        alarm_since_.erase(text("alarm"));
    }
}

void ClusterLoop::note_switchover(const clusters::Record& record, MonoTime now, WallTime wall) {
    const std::string_view step = record.data.at("step").as_string();
    if (step == "asked") {
        current_ = {};
        current_.planned = true;
        current_.trigger = "an operator's switchover";
        current_.detected = now;
        current_.detected_at = wall;
    } else if (step == "promoted") {
        current_.promoted = now;
    } else if (step == "given-up") {
        // What was begun may still end in an epoch of its own.
        const bool fenced = is_set(current_.intent);
        const FailoverRecord former = std::exchange(current_, {});
        if (!fenced) return;
        current_ = former;
        current_.planned = false;
        current_.trigger = "a switchover that was given up: " + std::string(record.data.at("why").as_string());
    }
}

}  // namespace signalbox::engine
