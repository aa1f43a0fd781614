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
    readers_.reset();
    std::fill(claims_seen_.begin(), claims_seen_.end(), false);
    daemon_since_ = now_;
    drift_ppm_ = static_cast<std::int64_t>(prng_.below(40'001)) - 20'000;
    tick_at_ = {};
    loop_ = std::make_unique<engine::ClusterLoop>(
        config_, engine::ClusterPorts{*this, *this, *this, *this, *this, this}, options_.rules);
    loop_->start(daemon_time(), wall(now_));
    if (!dead_) loop_->set_endpoints({reads_}, daemon_time());
    after_call();
}

MonoTime World::daemon_time() const {
    const Duration since = now_ - daemon_since_;
    return daemon_since_ + since + Duration(since.count() / 1'000'000 * drift_ppm_);
}

// Rounded up: a tick must not come early.
Duration World::world_span(Duration daemon) const {
    return daemon - Duration(daemon.count() / 1'000'000 * drift_ppm_) + 1us;
}

// After each call into the loop: it may have died inside.
void World::after_call() {
    if (!dead_) check_readers();
    if (dead_) return kill_daemon();
    schedule_tick();
}

// Clients of reader endpoints never go to a member that says that it can be written to, unless it is the one that is
// routed, and the user wants it so.
void World::check_readers() {
    if (!readers_) return;
    for (const routing::ReaderTarget& target : *readers_) {
        const int index = member_of(target.member);
        const bool routed = loop_->writer() == target.member;
        const bool wanted = reads_.reader.include_writer != routing::IncludeWriter::Never;
        if (claims_seen_[index] && !(routed && wanted)) {
            violate(fmt::format("readers may go to '{}', which claims to be the writer", target.member));
        }
    }
}

// kill -9: every session and all memory are gone, the store is as it was, statements run on.
void World::kill_daemon() {
    if (!loop_) return;
    dead_ = true;
    // The store takes a position once per calm interval, and none while the disk is full: what it did not take is not
    // known to the next process, which docs/adr/0001 counts as a cost.
    shown_ = shown_kept_;
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
    const auto* observation = std::get_if<clusters::Observation>(&event);
    const auto* answer = observation ? std::get_if<clusters::Evidence>(&observation->result) : nullptr;
    // An answer that was overtaken, or cut short, says nothing.
    const int member = observation ? member_of(observation->member) : 0;
    if (answer && answer->binlog_state != "0-1" && observation->sequence > probes_[member].delivered) {
        claims_seen_[member] = answer->claims_writer();
    }
    if (observation) probes_[member].delivered = std::max(probes_[member].delivered, observation->sequence);
    loop_->handle(event, daemon_time(), wall(now_));
    if (observation && !dead_) note_shown(*observation);
    after_call();
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
    const bool replica =
        !answer->sources.empty() && answer->sources[0].address.host == address(member_of(record_->member));
    if (!replica) return;
    const auto& log = members_[index].log;
    std::size_t& shown = shown_length_[{index, snapshot.incarnation}];
    for (; shown < std::min(snapshot.length, log.size()); ++shown) {
        if (log[shown].write != 0) shown_.insert(log[shown].write);
    }
}

void World::schedule_tick() {
    const MonoTime at = loop_->next_deadline();
    if (at <= daemon_time()) return violate("the next deadline is not in the future");
    if (at == tick_at_) return;
    tick_at_ = at;
    after(world_span(at - daemon_time()), [this, order = ++tick_order_, process = process_] {
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

// Age begins a doubt only when we were held up ourselves for long, and until a probe since then has ended: whoever
// misses a probe is told by that probe's end.
void World::check_doubt(const ports::JournalEntry& entry) {
    if (now_ <= daemon_paused_until_ + clusters::silence_told_within(config_.probe) + 25ms) return;
    const auto& doubted = entry.data.at("member").as_string();
    for (const base::json::value& one : entry.data.at("reasons").as_array()) {
        if (one.at("member").as_string() != doubted) continue;
        for (const base::json::value& reason : one.at("reasons").as_array()) {
            if (reason.as_string() != "its last answer is too old to prove anything") continue;
            violate(fmt::format("'{}' is doubted for its age although it missed no probe", std::string(doubted)));
        }
    }
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
        shown_kept_ = shown_;
        if (record.active && entry.data.at("fence").as_string() != "complete") fenced_only_.insert(record.epoch);
    }
    if (!told) return fail(ErrorKind::Unavailable, "no space left on device");
    return {};
}

base::Status World::store_position(const std::string&, std::uint64_t epoch, const std::string& position) {
    if (!port_call()) return {};
    if (disk_full_) return fail(ErrorKind::Unavailable, "no space left on device");
    if (record_ && record_->active && record_->epoch == epoch) record_->position = position;
    shown_kept_ = shown_;
    return {};
}

base::Result<std::int64_t> World::append(const ports::JournalEntry& entry, ports::Durability) {
    if (options_.verbose) say(fmt::format("  {} {} {}", entry.kind, entry.epoch, base::json::serialize(entry.data)));
    trace(13, entry.epoch, std::hash<std::string>{}(entry.kind));
    if (entry.kind == "writer-unclear") check_doubt(entry);
    if (entry.kind == "switchover" && entry.data.at("step").as_string() == "done") ++outcome_.switched;
    return 1;
}

base::Result<std::vector<ports::JournalEntry>> World::read(const ports::JournalQuery&) {
    return std::vector<ports::JournalEntry>{};
}

// ---- probes

void World::configure(const clusters::ClusterConfig& cluster) {
    if (!port_call()) return;
    for (std::size_t i = 0; i < probes_.size(); ++i) {
        const auto member = std::find_if(cluster.members.begin(), cluster.members.end(),
                                         [&](const auto& one) { return member_of(one.name) == static_cast<int>(i); });
        const bool wanted = member != cluster.members.end();
        if (wanted) probes_[i].called = member->name;
        if (!wanted) probes_[i].interval = {};
        if (wanted && probes_[i].interval == Duration{}) ++outcome_.discovered;
    }
}

void World::set_readers(const std::string&, const std::string&, const std::vector<routing::ReaderTarget>& targets) {
    if (!port_call()) return;
    ++outcome_.reader_sets;
    readers_ = targets;
}

std::uint64_t World::writer_sessions(const std::string&) const {
    return static_cast<std::uint64_t>(
        std::count_if(clients_.begin(), clients_.end(), [](const Client& client) { return client.session.open; }));
}

void World::promote(const std::string&, std::uint64_t epoch, const std::string&, const std::string& to,
                    const base::HostPort&, Duration deadline) {
    if (!port_call()) return;
    ++outcome_.hooks;
    if (epoch != fenced_) violate("the hook runs before the fence of its epoch");
    const int target = member_of(to);
    for (const Client& client : clients_) {
        if (client.session.open && client.session.epoch < epoch) violate("the hook runs while a session is open");
    }
    const Hook hook = chance(0.6) ? Hook::Works : static_cast<Hook>(pick(6));
    trace(17, epoch, static_cast<std::uint64_t>(hook));
    if (hook == Hook::Works || hook == Hook::WorksInSilence || hook == Hook::WorksAndSaysNo) {
        after(between(1ms, 150ms), [this, target] {
            if (target == writer_ || switch_to_ >= 0 || !serves(writer_) || promoting_ >= 0) return;
            switch_to_ = target;
            switch_until_ = now_ + 300ms;
            members_[writer_].read_only = true;
        });
    }
    if (hook == Hook::Hangs || hook == Hook::WorksInSilence) return;
    const bool ok = hook == Hook::Works || hook == Hook::SaysSoOnly;
    const int times = chance(0.2) ? 2 : 1;
    for (int i = 0; i < times; ++i) {
        after(between(1ms, deadline), [this, epoch, ok, process = process_] {
            deliver(ports::PromoteDone{config_.name, epoch, ok, ok ? "ended with 0" : "ended with 1"}, process);
        });
    }
}

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
        if (probes_[i].under_way || probes_[i].interval == Duration{}) continue;
        after(0ms, [this, i, timer = ++probes_[i].timer, process = process_] {
            if (process == process_ && !dead_ && timer == probes_[i].timer) send_probe(static_cast<int>(i));
        });
    }
}

std::string World::state_text(int index, std::size_t length) const {
    if (length == 0) return engine_ == clusters::Engine::PostgreSql ? "1@0/0" : "";
    const auto& last = members_[index].log[length - 1].last;
    const auto& count = members_[index].log[length - 1].count;
    std::string text;
    for (std::size_t server = 1; server < 4 && engine_ == clusters::Engine::MySql; ++server) {
        if (count[server] == 0) continue;
        text += fmt::format("{}{}:1-{}", text.empty() ? "" : ",", uuid(server), count[server]);
    }
    if (engine_ == clusters::Engine::PostgreSql) {
        const auto& branches = members_[index].branches;
        for (std::size_t i = 0; i < branches.size() && branches[i].second <= length; ++i) {
            const bool last_one = i + 1 == branches.size() || branches[i + 1].second > length;
            const std::size_t end = last_one ? length : branches[i + 1].second;
            text += fmt::format("{}{}@0/{:X}", text.empty() ? "" : ",", branches[i].first, end * 8);
        }
    }
    if (engine_ != clusters::Engine::MariaDb) return text;
    for (std::size_t server = 1; server < 4; ++server) {
        if (last[server] != 0) text += fmt::format("{}0-{}-{}", text.empty() ? "" : ",", server, last[server]);
    }
    return text;
}

clusters::Evidence World::evidence(int index) {
    const Member& member = members_[index];
    clusters::Evidence evidence;
    const bool mariadb = engine_ == clusters::Engine::MariaDb;
    const bool postgres = engine_ == clusters::Engine::PostgreSql;
    evidence.engine = engine_;
    evidence.server_id = postgres ? member.branches.back().first : static_cast<std::uint64_t>(index) + 1;
    if (!postgres) evidence.server_uid = mariadb ? "uid-" + name(index) : uuid(static_cast<std::size_t>(index) + 1);
    if (postgres) evidence.cluster_uid = "7001";
    evidence.version = "10.11";
    evidence.read_only = member.read_only;
    evidence.innodb_read_only = false;
    evidence.waits_for_replica = !member.alone;
    evidence.binlog_state = state_text(index, postgres ? member.log.size() : member.applied);
    for (std::size_t i = 0; i < members_.size() && config_.discover; ++i) {
        const int other = static_cast<int>(i);
        if (members_[i].source == index && members_[i].io && members_[i].up) {
            evidence.replicas.push_back({name(other), {address(other), 0}});
        }
    }
    const auto text = [](const Txn& txn) { return fmt::format("0-{}-{}", txn.server, txn.sequence); };
    if (member.applied > 0) {
        evidence.applied = mariadb ? text(member.log[member.applied - 1]) : state_text(index, member.applied);
    }
    if (member.source >= 0) {
        clusters::ReplicationSource source;
        source.address = {address(member.source), 3306};
        // A dead peer's kernel resets the connection; a silent one leaves it half open.
        source.io_running = member.io && members_[member.source].up;
        source.sql_running = true;
        if (!member.log.empty()) {
            source.received = mariadb ? text(member.log.back()) : state_text(index, member.log.size());
        }
        if (source.io_running) evidence.lag = Duration(between(0ms, 5ms));
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
    observation.member = probe.called.empty() ? name(index) : probe.called;
    observation.sequence = ++probe.sequence;
    observation.sent_at = daemon_time();
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
    observation.completed_at = daemon_time();
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
    if (probe.interval == Duration{}) return;
    Duration late{};
    if (!healing_ && chance(0.01)) {  // our own thread gets no processor
        late = between(0ms, 400ms);
        ++outcome_.faults;
    }
    after(probe.interval + late, [this, index, timer = ++probe.timer, process = process_] {
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
    const Duration bound = clusters::silence_told_within(config_.probe) + 25ms;
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
        ports::SessionsKilled done{config_.name, epoch, name(index), 0, 0, {}};
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

bool World::is_well() const {
    if (dead_ || loop_->held() || loop_->writer().empty() || member_of(loop_->writer()) != writer_ ||
        acked_after_healing_ == 0)
        return false;
    return std::all_of(shards_.begin(), shards_.end(), [&](const Shard& shard) { return shard.member == writer_; });
}

void World::check_end() {
    const auto where = [&] {
        return fmt::format("{}; the controller's writer is '{}'",
                           loop_ ? base::json::serialize(loop_->status(now_)) : "dead", name(writer_));
    };
    if (dead_ || loop_->held() || loop_->writer().empty() || member_of(loop_->writer()) != writer_) {
        return violate("not routed to the writer after everything was healed: " + where());
    }
    for (const Shard& shard : shards_) {
        if (shard.member != writer_) return violate("a shard does not route to the writer: " + where());
    }
    if (!has_all_acked(writer_)) violate("an acknowledged write is lost");
    if (acked_after_healing_ == 0) violate("no write was acknowledged after everything was healed: " + where());
}

}  // namespace signalbox::sim
