// The engine in the simulated world: its ports, its death and its return, and what must hold at each of its steps.

#include <algorithm>

#include "sim/world.hpp"

namespace signalbox::sim {
namespace {

using base::ErrorKind;
using base::fail;
using clusters::ProbeFailureKind;

base::WallTime wall(MonoTime now) { return base::WallTime(now.time_since_epoch()); }

}  // namespace

void World::start_daemon() {
    dead_ = false;
    ++process_;
    trace(10, process_, 0);
    for (Probe& probe : probes_) probe = {};
    for (Shard& shard : shards_) shard = {};
    barriers_.clear();
    ended_.assign(shards_.size(), {});
    snapshots_.clear();
    loop_ = std::make_unique<engine::ClusterLoop>(config_, engine::ClusterPorts{*this, *this, *this, *this, *this},
                                                  options_.rules);
    loop_->start(now_, wall(now_));
    if (dead_) return kill_daemon();
    schedule_tick();
}

// kill -9: every session and all memory are gone, the store is as it was, statements run on.
void World::kill_daemon() {
    if (!loop_) return;
    dead_ = true;
    loop_.reset();
    calls_until_crash_ = -1;
    for (Client& client : clients_) close_session(client);
    for (Shard& shard : shards_) shard = {};
    ++outcome_.restarts;
    trace(11, process_, 0);
    after(between(5ms, 1500ms), [this] { start_daemon(); });
}

void World::post(engine::ClusterEvent event) {
    after(between(0us, 300us), [this, event = std::move(event), process = process_] { deliver(event, process); });
}

void World::deliver(const engine::ClusterEvent& event, std::uint64_t process) {
    if (dead_ || process != process_) return;
    if (now_ < daemon_paused_until_) {
        after(daemon_paused_until_ - now_, [this, event, process] { deliver(event, process); });
        return;
    }
    loop_->handle(event, now_, wall(now_));
    if (const auto* observation = std::get_if<clusters::Observation>(&event); observation && !dead_) {
        note_shown(*observation);
    }
    if (dead_) return kill_daemon();
    schedule_tick();
}

void World::note_shown(const clusters::Observation& observation) {
    const int index = member_of(observation.member);
    const auto found = snapshots_.find({index, observation.sequence});
    if (found == snapshots_.end()) return;
    const Snapshot snapshot = found->second;
    snapshots_.erase(found);
    const auto* answer = std::get_if<clusters::Evidence>(&observation.result);
    if (!answer || answer->binlog_state == "0-1" || snapshot.incarnation != members_[index].incarnation) return;
    if (!record_ || !record_->active) return;
    const bool replica = !answer->sources.empty() && answer->sources[0].address.host == record_->member;
    if (!replica) return;
    const auto& log = members_[index].log;
    std::size_t& shown = shown_length_[{index, snapshot.incarnation}];
    for (; shown < std::min(snapshot.length, log.size()); ++shown) {
        if (log[shown].write != 0) shown_.insert(log[shown].write);
    }
}

void World::schedule_tick() {
    const MonoTime at = loop_->next_deadline();
    if (at <= now_) return violate("the next deadline is not in the future");
    if (at == tick_at_) return;
    tick_at_ = at;
    after(at - now_, [this, order = ++tick_order_, process = process_] {
        if (order != tick_order_ || process != process_) return;
        tick_at_ = {};
        deliver(engine::Tick{}, process);
    });
}

// False: the process died before this call had an effect.
bool World::port_call() {
    if (dead_) return false;
    if (calls_until_crash_ > 0 && --calls_until_crash_ == 0) {
        dead_ = true;
        ++outcome_.faults;
    }
    return !dead_;
}

// ---- store and journal

base::Result<std::optional<ports::EpochRecord>> World::load(const std::string&) {
    if (!port_call()) return fail(ErrorKind::Unavailable, "dead");
    if (disk_full_ && chance(0.3)) return fail(ErrorKind::Unavailable, "the disk does not answer");
    return record_;
}

base::Status World::store(const std::string&, const ports::EpochRecord& record, const ports::JournalEntry& entry) {
    const bool was_alive = !dead_;
    const bool alive = port_call();
    if (!was_alive) return fail(ErrorKind::Unavailable, "dead");
    // A process that dies in here may or may not have stored it.
    const bool full = disk_full_ && chance(0.8);
    const bool durable = alive ? !full || chance(0.3) : chance(0.5);
    const bool told = alive && !full;
    if (full || !alive) ++outcome_.faults;
    if (durable) {
        if (record_ && record.epoch < record_->epoch) violate("an epoch was stored below the one before");
        const int member = member_of(record.member);
        if (!record.active && intended_.contains(record.epoch)) {
            violate(fmt::format("epoch {} was intended twice", record.epoch));
        }
        const auto [known, fresh] = intended_.emplace(record.epoch, member);
        if (known->second != member) violate(fmt::format("epoch {} was stored for two members", record.epoch));
        record_ = record;
        if (options_.verbose)
            say(fmt::format("  {} {} {}", entry.kind, entry.epoch, base::json::serialize(entry.data)));
        trace(12, record.epoch, record.active ? 1 : 0);
        if (record.active && entry.data.at("fence").as_string() != "complete") fenced_only_.insert(record.epoch);
    }
    if (!told) return fail(ErrorKind::Unavailable, "no space left on device");
    return {};
}

base::Status World::store_position(const std::string&, std::uint64_t epoch, const std::string& position) {
    if (!port_call()) return {};
    if (disk_full_) return fail(ErrorKind::Unavailable, "no space left on device");
    if (record_ && record_->active && record_->epoch == epoch) record_->position = position;
    return {};
}

base::Result<std::int64_t> World::append(const ports::JournalEntry& entry, ports::Durability) {
    if (options_.verbose) say(fmt::format("  {} {} {}", entry.kind, entry.epoch, base::json::serialize(entry.data)));
    trace(13, entry.epoch, std::hash<std::string>{}(entry.kind));
    return 1;
}

base::Result<std::vector<ports::JournalEntry>> World::read(const ports::JournalQuery&) {
    return std::vector<ports::JournalEntry>{};
}

// ---- probes

void World::set_cadence(const std::string&, const std::string& member, Duration interval, Duration deadline) {
    if (!port_call()) return;
    const int index = member_of(member);
    Probe& probe = probes_[index];
    const bool sooner = interval < probe.interval || probe.interval == Duration{};
    probe.interval = interval;
    probe.deadline = deadline;
    if (sooner && !probe.under_way) {
        after(0ms, [this, index, timer = ++probe.timer, process = process_] {
            if (process == process_ && !dead_ && timer == probes_[index].timer) send_probe(index);
        });
    }
}

void World::wake(const std::string&) {
    if (!port_call()) return;
    for (std::size_t i = 0; i < probes_.size(); ++i) {
        if (probes_[i].under_way) continue;
        after(0ms, [this, i, timer = ++probes_[i].timer, process = process_] {
            if (process == process_ && !dead_ && timer == probes_[i].timer) send_probe(static_cast<int>(i));
        });
    }
}

std::string World::state_text(int index, std::size_t length) const {
    if (length == 0) return "";
    const auto& last = members_[index].log[length - 1].last;
    std::string text;
    for (std::size_t server = 1; server < 4; ++server) {
        if (last[server] != 0) text += fmt::format("{}0-{}-{}", text.empty() ? "" : ",", server, last[server]);
    }
    return text;
}

clusters::Evidence World::evidence(int index) const {
    const Member& member = members_[index];
    clusters::Evidence evidence;
    evidence.server_id = static_cast<std::uint64_t>(index) + 1;
    evidence.server_uid = "uid-" + name(index);
    evidence.version = "10.11";
    evidence.read_only = member.read_only;
    evidence.innodb_read_only = false;
    evidence.waits_for_replica = !member.alone;
    evidence.binlog_state = state_text(index, member.applied);
    const auto text = [](const Txn& txn) { return fmt::format("0-{}-{}", txn.server, txn.sequence); };
    if (member.applied > 0) evidence.applied = text(member.log[member.applied - 1]);
    if (member.source >= 0) {
        clusters::ReplicationSource source;
        source.address = {name(member.source), 3306};
        // A dead peer's kernel resets the connection; a silent one leaves it half open.
        source.io_running = member.io && members_[member.source].up;
        source.sql_running = true;
        if (!member.log.empty()) source.received = text(member.log.back());
        evidence.sources.push_back(std::move(source));
    }
    return evidence;
}

void World::send_probe(int index) {
    Probe& probe = probes_[index];
    if (probe.under_way) return;
    probe.under_way = true;
    clusters::Observation observation;
    observation.cluster = config_.name;
    observation.member = name(index);
    observation.sequence = ++probe.sequence;
    observation.sent_at = now_;
    const MonoTime expires = now_ + probe.deadline;
    const auto fails = [&](Duration delay, ProbeFailureKind kind, int code) {
        observation.result = clusters::ProbeFailure{kind, code, ""};
        after(delay, [this, index, observation, process = process_] {
            if (process == process_) finish_probe(index, observation);
        });
    };
    const bool lost = !healing_ && chance(0.01);
    const bool error = !healing_ && chance(0.03);
    if (lost || error) ++outcome_.faults;
    if (!linked(daemon_node_, index) || lost) return fails(probe.deadline, ProbeFailureKind::TimedOut, 2013);
    if (members_[index].rejected || !members_[index].up) {
        return fails(between(100us, 2ms), ProbeFailureKind::Refused, 2003);
    }
    if (error) {
        static constexpr ProbeFailureKind kinds[] = {ProbeFailureKind::Reset, ProbeFailureKind::ServerError,
                                                     ProbeFailureKind::Incomplete, ProbeFailureKind::LoginDenied,
                                                     ProbeFailureKind::OurOwnDelay};
        return fails(between(100us, 2ms), kinds[pick(5)], 1040);
    }
    Duration there = between(50us, 1ms);
    if (!healing_ && chance(0.05)) {
        there = between(1ms, 300ms);
        ++outcome_.faults;
    }
    after(there, [this, index, observation, expires, process = process_]() mutable {
        if (process != process_) return;
        const bool answered = serves(index) && linked(index, daemon_node_) && now_ < expires;
        if (!answered) {
            const bool gone = !members_[index].up;
            observation.result =
                clusters::ProbeFailure{gone ? ProbeFailureKind::Reset : ProbeFailureKind::TimedOut, 2013, ""};
            after(gone ? Duration(1ms) : std::max(Duration(0), expires - now_), [this, index, observation, process] {
                if (process == process_) finish_probe(index, observation);
            });
            return;
        }
        observation.result = evidence(index);
        snapshots_[{index, observation.sequence}] = {members_[index].log.size(), members_[index].incarnation};
        if (!healing_ && chance(0.01)) {
            std::get<clusters::Evidence>(observation.result).binlog_state = "0-1";  // cut short
            ++outcome_.faults;
        }
        const Duration back = std::min(between(50us, 1ms), std::max(Duration(0), expires - now_));
        after(back, [this, index, observation, process] {
            if (process == process_) finish_probe(index, observation);
        });
    });
}

void World::finish_probe(int index, clusters::Observation observation) {
    Probe& probe = probes_[index];
    probe.under_way = false;
    if (dead_) return;
    // A probe that ends while we are held up ourselves says nothing when it timed out.
    const bool timed_out = std::holds_alternative<clusters::ProbeFailure>(observation.result) &&
                           std::get<clusters::ProbeFailure>(observation.result).kind == ProbeFailureKind::TimedOut;
    if (timed_out && now_ < daemon_paused_until_) {
        observation.result = clusters::ProbeFailure{ProbeFailureKind::OurOwnDelay, 0, ""};
    }
    observation.completed_at = now_;
    post(observation);
    if (!healing_ && chance(0.02)) {  // twice, or overtaken
        ++outcome_.faults;
        const clusters::Observation again = probe.last && chance(0.5) ? *probe.last : observation;
        after(between(1ms, 60ms), [this, again, process = process_] { deliver(again, process); });
    }
    if (!healing_ && chance(0.002)) {  // very late
        ++outcome_.faults;
        after(between(100ms, 900ms), [this, observation, process = process_] { deliver(observation, process); });
    }
    probe.last = std::move(observation);
    after(probe.interval, [this, index, timer = ++probe.timer, process = process_] {
        if (process == process_ && !dead_ && timer == probes_[index].timer) send_probe(index);
    });
}

// ---- the data plane

void World::shard_command(std::size_t index, Callback command) {
    Shard& shard = shards_[index];
    if (!healing_ && chance(0.05)) {
        shard.busy_until = std::max(shard.busy_until, now_ + between(0ms, 200ms));
        ++outcome_.faults;
    }
    // A shard takes its commands in order.
    shard.busy_until = std::max(shard.busy_until, now_ + between(10us, 300us)) + Duration(1);
    after(shard.busy_until - now_, [this, command = std::move(command), process = process_] {
        if (process == process_ && !dead_) command();
    });
}

void World::hold(const std::string&, std::uint64_t epoch) {
    if (!port_call()) return;
    for (std::size_t s = 0; s < shards_.size(); ++s) {
        shard_command(s, [this, s, epoch] {
            if (epoch < shards_[s].epoch) return;
            shards_[s].epoch = epoch;
            shards_[s].member = -1;
        });
    }
}

void World::fence(const std::string&, std::uint64_t epoch) {
    if (!port_call()) return;
    trace(14, epoch, 0);
    if (!record_ || record_->epoch < epoch)
        violate(fmt::format("fence of epoch {} before its intent is durable", epoch));
    if (epoch <= fenced_) violate(fmt::format("fence of epoch {} after that of epoch {}", epoch, fenced_));
    fenced_ = epoch;
    for (std::size_t s = 0; s < shards_.size(); ++s) {
        shard_command(s, [this, s, epoch, process = process_] { fence_shard(s, epoch, process); });
    }
}

void World::fence_shard(std::size_t s, std::uint64_t epoch, std::uint64_t process) {
    if (epoch < shards_[s].epoch) return;
    shards_[s].epoch = epoch;
    shards_[s].member = -1;
    Barrier& barrier = barriers_[epoch];
    for (Client& client : clients_) {
        if (client.shard != static_cast<int>(s) || !client.session.open || client.session.epoch >= epoch) continue;
        barrier.result.server_sessions.push_back({name(client.session.member), {{client.session.connection, {}}}});
        ++barrier.result.sessions_closed;
        if (client.session.inflight != 0) ++outcome_.unknown;
        client.session = {};
    }
    // What ended on its own may still run over there.
    for (auto& [connection, member] : ended_[s])
        barrier.result.server_sessions.push_back({name(member), {{connection, {}}}});
    ended_[s].clear();
    if (++barrier.acks < shards_.size()) return;
    const ports::BarrierDone done{config_.name, epoch, barrier.result};
    after(between(10us, 2ms), [this, done, process] { deliver(done, process); });
    if (!healing_ && chance(0.2)) {
        ++outcome_.faults;
        after(between(1ms, 500ms), [this, done, process] { deliver(done, process); });
    }
}

void World::route(const std::string&, std::uint64_t epoch, const std::string& member, const base::HostPort&) {
    if (!port_call()) return;
    const int index = member_of(member);
    trace(15, epoch, static_cast<std::uint64_t>(index));
    check_route(epoch, index);
    for (std::size_t s = 0; s < shards_.size(); ++s) {
        shard_command(s, [this, s, epoch, index] {
            if (epoch < shards_[s].epoch) return;
            shards_[s].epoch = epoch;
            shards_[s].member = index;
        });
    }
}

void World::check_route(std::uint64_t epoch, int index) {
    ++outcome_.routes;
    if (!record_ || !record_->active || record_->epoch != epoch || member_of(record_->member) != index) {
        violate(fmt::format("epoch {} was routed to '{}' before it was stored as active", epoch, name(index)));
    }
    if (!routed_.empty() && epoch < routed_.rbegin()->first) violate("an older epoch was routed");
    const auto [known, fresh] = routed_.emplace(epoch, index);
    if (known->second != index) violate(fmt::format("epoch {} was routed to two members", epoch));
    if (fresh) {
        ++outcome_.epochs;
        if (fenced_only_.contains(epoch)) ++outcome_.fenced_only;
    }
    routed_epoch_ = epoch;
    for (const Client& client : clients_) {
        if (client.session.open && client.session.epoch < epoch) {
            violate(fmt::format("a session of epoch {} is open when epoch {} is routed", client.session.epoch, epoch));
        }
    }
    const Duration bound = config_.probe.calm + config_.probe.deadline * config_.probe.misses + 25ms;
    if (now_ - members_[index].claimed_at > bound) {
        violate(fmt::format("'{}' was routed {} ms after it last was a writable writer", name(index),
                            base::to_ms(now_ - members_[index].claimed_at)));
    }
    std::set<std::uint64_t> writes;
    for (const Txn& txn : members_[index].log) writes.insert(txn.write);
    for (const std::uint64_t write : acked_) {
        if (!shown_.contains(write)) continue;
        if (!writes.contains(write)) {
            return violate(fmt::format("'{}' was routed and lacks the acknowledged write {}", name(index), write));
        }
    }
}

void World::kill(const std::string&, std::uint64_t epoch, const std::string& member,
                 const std::vector<clusters::ServerSession>& ids, Duration deadline) {
    if (!port_call()) return;
    const int index = member_of(member);
    const bool reached = serves(index) && linked(daemon_node_, index) && linked(index, daemon_node_) &&
                         !members_[index].rejected && (healing_ || !chance(0.05));
    const Duration delay = reached ? between(200us, 5ms) : deadline;
    ++outcome_.kills;
    after(delay, [this, index, epoch, ids, reached, process = process_] {
        ports::SessionsKilled done{config_.name, epoch, name(index), 0, 0};
        if (reached && serves(index)) {
            std::erase_if(members_[index].running, [&](const Statement& statement) {
                return std::any_of(ids.begin(), ids.end(),
                                   [&](const auto& session) { return session.connection_id == statement.connection; });
            });
            done.killed = ids.size();
        } else {
            done.failed = ids.size();
        }
        deliver(done, process);
    });
}

void World::check_end() {
    const auto where = [&] {
        return fmt::format("{}; the controller's writer is '{}'",
                           loop_ ? base::json::serialize(loop_->status(now_)) : "dead", name(writer_));
    };
    if (dead_ || loop_->held() || loop_->writer() != name(writer_)) {
        return violate("not routed to the writer after everything was healed: " + where());
    }
    for (const Shard& shard : shards_) {
        if (shard.member != writer_) return violate("a shard does not route to the writer: " + where());
    }
    if (!has_all_acked(writer_)) violate("an acknowledged write is lost");
    if (acked_after_healing_ == 0) violate("no write was acknowledged after everything was healed: " + where());
}

}  // namespace signalbox::sim
