// Virtual time, members with semi-synchronous replication, clients.

#include "sim/world.hpp"

#include <algorithm>

namespace signalbox::sim {
namespace {
constexpr std::size_t shards = 2;
constexpr std::size_t clients = 4;
constexpr std::uint64_t events_max = 3'000'000;
}  // namespace

Outcome run(const Options& options) { return World(options).run(); }

World::World(const Options& options) : options_(options), prng_(options.seed) {
    const std::size_t count = chance(0.25) ? 2 : 3;
    now_ = MonoTime(1s);
    members_.resize(count);
    cut_.assign(count + 2, std::vector<bool>(count + 2, false));
    daemon_node_ = static_cast<int>(count);
    controller_node_ = daemon_node_ + 1;
    config_.name = "orders";
    config_.user = "signalbox";
    config_.probe.misses = chance(0.3) ? 2 : 1;
    config_.probe.calm = chance(0.2) ? 50ms : 100ms;
    static constexpr clusters::Engine engines[] = {clusters::Engine::MariaDb, clusters::Engine::MySql,
                                                   clusters::Engine::PostgreSql};
    engine_ = config_.engine = engines[pick(3)];
    config_.switchover.hook = {"promote"};
    config_.switchover.drain = 100ms;
    config_.switchover.catch_up = 200ms;
    config_.switchover.promote = 500ms;
    reads_.name = "reads";
    reads_.cluster = config_.name;
    reads_.role = routing::Role::Reader;
    static constexpr routing::IncludeWriter include[] = {
        routing::IncludeWriter::Never, routing::IncludeWriter::WhenAlone, routing::IncludeWriter::Always};
    reads_.reader.include_writer = include[pick(3)];
    reads_.reader.slow_start = 50ms;
    if (chance(0.5)) reads_.reader.max_lag.reset();
    config_.discover = count == 3 && chance(0.4);
    for (std::size_t i = 0; i < count; ++i) {
        if (i < 2 || !config_.discover) {
            config_.members.push_back({name(static_cast<int>(i)), {address(static_cast<int>(i)), 3306}});
        }
        members_[i].source = i == 0 ? -1 : 0;
        members_[i].io = i != 0;
        members_[i].read_only = i != 0;
    }
    members_[0].claimed_at = now_;
    probes_.resize(count);
    claims_seen_.resize(count);
    shards_.resize(shards);
    clients_.resize(clients);
    writer_seen_ = now_;
    controller_patience_ = between(20ms, 300ms);
}

Outcome World::run() {
    const MonoTime trouble_ends = now_ + options_.trouble;
    const MonoTime end = trouble_ends + options_.heal_max;
    start_daemon();
    for (std::size_t i = 0; i < clients_.size(); ++i) after(between(0ms, 10ms), [this, i] { client_turn(i); });
    after(10ms, [this] { controller_turn(); });
    after(500ms, [this] { nemesis_turn(); });
    std::uint64_t count = 0;
    while (!queue_.empty() && outcome_.violation.empty()) {
        std::pop_heap(queue_.begin(), queue_.end(), later);
        Event event = std::move(queue_.back());
        queue_.pop_back();
        if (event.at > end) break;
        now_ = event.at;
        if (!healing_ && now_ >= trouble_ends) heal();
        event.call();
        if (++count > events_max) violate("the run does not come to an end");
        // Once all is well again, and has been for a while, there is nothing more to see.
        if (healing_ && count % 1024 == 0 && now_ > trouble_ends + 3s && is_well()) break;
    }
    if (outcome_.violation.empty()) check_end();
    outcome_.acked = acked_.size();
    return outcome_;
}

void World::after(Duration delay, Callback call) {
    queue_.push_back({now_ + delay, order_++, std::move(call)});
    std::push_heap(queue_.begin(), queue_.end(), later);
}

Duration World::between(Duration low, Duration high) {
    return low +
           Duration(static_cast<Duration::rep>(prng_.below(static_cast<std::uint64_t>((high - low).count()) + 1)));
}

void World::trace(std::uint64_t kind, std::uint64_t a, std::uint64_t b) {
    if (options_.verbose) {
        static constexpr const char* names[] = {
            "",         "write",           "answer",          "crash",   "restart",   "opened",
            "rejoined", "fault on member", "fault on daemon", "healing", "daemon up", "daemon down",
            "stored",   "journal",         "fence",           "route",   "wish",      "hook"};
        if (kind > 2 && kind != 13) say(fmt::format("{} {} {}", names[kind], a, b));
    }
    const std::uint64_t at = static_cast<std::uint64_t>(now_.time_since_epoch().count());
    for (const std::uint64_t word : {kind, a, b, at}) {
        outcome_.hash = (outcome_.hash ^ word) * 0x100000001b3ULL;
        outcome_.hash ^= outcome_.hash >> 29U;
    }
}

void World::say(const std::string& what) const {
    fmt::print("{:12.3f} {}\n", base::to_ms(now_.time_since_epoch()), what);
}

void World::violate(const std::string& what) {
    if (!outcome_.violation.empty()) return;
    outcome_.violation = fmt::format("at {} ms: {}", base::to_ms(now_.time_since_epoch()), what);
}

bool World::is_prefix(const std::vector<Txn>& part, const std::vector<Txn>& whole) {
    return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

void World::append(int index, std::uint64_t write, const Statement* statement) {
    Member& member = members_[index];
    const std::uint64_t last = member.log.empty() ? 0 : member.log.back().sequence;
    Txn txn{index + 1, last + 1, write, member.log.empty() ? std::array<std::uint64_t, 4>{} : member.log.back().last,
            member.log.empty() ? std::array<std::uint64_t, 4>{} : member.log.back().count};
    txn.last[static_cast<std::size_t>(index) + 1] = txn.sequence;
    ++txn.count[static_cast<std::size_t>(index) + 1];
    member.log.push_back(txn);
    member.applied = member.log.size();
    if (statement) member.waiting[member.log.size()] = *statement;
    if (member.alone) return acknowledge(index, member.log.size());
    for (std::size_t r = 0; r < members_.size(); ++r) {
        if (members_[r].source == index) after(between(100us, 2ms), [this, r] { pull(static_cast<int>(r)); });
    }
}

// A replica takes what its source has, keeps it durably, and acknowledges it.
void World::pull(int reader) {
    Member& to = members_[reader];
    const int source = to.source;
    if (!serves(reader) || source < 0 || !to.io || !serves(source) || !linked(source, reader)) return;
    const Member& from = members_[source];
    if (to.log.size() > from.log.size() || (!to.log.empty() && to.log.back() != from.log[to.log.size() - 1])) {
        to.io = false;  // the source does not have where it wants to start
        return;
    }
    const std::size_t first = to.log.size();
    to.log.insert(to.log.end(), from.log.begin() + static_cast<std::ptrdiff_t>(first), from.log.end());
    const std::size_t length = to.log.size();
    to.branches = from.branches;
    while (to.branches.size() > 1 && to.branches.back().second > length) to.branches.pop_back();
    after(between(0ms, 3ms), [this, reader, length, incarnation = to.incarnation] {
        Member& member = members_[reader];
        if (member.incarnation == incarnation && serves(reader)) {
            member.applied = std::max(member.applied, std::min(length, member.log.size()));
        }
    });
    if (!linked(reader, source)) return;
    after(between(100us, 2ms), [this, source, length, incarnation = from.incarnation] {
        if (members_[source].incarnation == incarnation) acknowledge(source, length);
    });
}

void World::acknowledge(int index, std::size_t length) {
    Member& member = members_[index];
    if (!member.up) return;
    if (member.paused) {
        after(5ms, [this, index, length, incarnation = member.incarnation] {
            if (members_[index].incarnation == incarnation) acknowledge(index, length);
        });
        return;
    }
    if (length <= member.acked) return;
    member.acked = length;
    while (!member.waiting.empty() && member.waiting.begin()->first <= length) {
        const Statement statement = member.waiting.begin()->second;
        member.waiting.erase(member.waiting.begin());
        promised_.insert(statement.write);
        after(between(50us, 1ms), [this, statement] { answer(statement, true, 0); });
    }
}

void World::execute(int index, Statement statement) {
    Member& member = members_[index];
    if (member.incarnation != statement.incarnation || !member.up) return;
    const auto found = std::find_if(member.running.begin(), member.running.end(),
                                    [&](const Statement& one) { return one.write == statement.write; });
    if (found == member.running.end()) return;  // killed
    if (member.paused) {
        after(5ms, [this, index, statement] { execute(index, statement); });
        return;
    }
    member.running.erase(found);
    if (member.read_only) {
        after(between(50us, 1ms), [this, statement] { answer(statement, false, 1290); });
        return;
    }
    const auto reported = fenced_only_.upper_bound(statement.epoch);
    const bool all_complete = reported == fenced_only_.end() || *reported > routed_epoch_;
    if (statement.epoch < routed_epoch_ && all_complete) {
        violate(fmt::format("a statement of epoch {} wrote on '{}' in epoch {}, whose fence was reported complete",
                            statement.epoch, name(index), routed_epoch_));
    }
    trace(1, static_cast<std::uint64_t>(index), statement.write);
    append(index, statement.write, &statement);
}

// What the server says reaches the client only if its session is still open.
void World::answer(const Statement& statement, bool ok, int code) {
    for (Client& client : clients_) {
        Session& session = client.session;
        if (!session.open || session.connection != statement.connection || session.inflight != statement.write)
            continue;
        session.inflight = 0;
        if (!linked(session.member, daemon_node_)) {
            close_session(client);
            return;
        }
        if (ok) {
            acked_.insert(statement.write);
            if (healing_) ++acked_after_healing_;
        } else {
            ++outcome_.failed;
            post(ports::TrafficHint{config_.name, name(session.member), code});
        }
        trace(2, statement.write, ok ? 1 : 0);
        return;
    }
}

void World::close_session(Client& client) {
    if (client.session.open && client.session.inflight != 0) {
        ++outcome_.unknown;
        ended_[static_cast<std::size_t>(client.shard)].emplace_back(client.session.connection, client.session.member);
    }
    client.session = {};
}

void World::client_turn(std::size_t index) {
    after(between(4ms, 30ms), [this, index] { client_turn(index); });
    Client& client = clients_[index];
    Session& session = client.session;
    if (dead_) return close_session(client);
    if (!session.open) {
        client.shard = pick(shards_.size());
        const Shard& shard = shards_[static_cast<std::size_t>(client.shard)];
        if (shard.member < 0 || !members_[shard.member].up) return;
        session = {true, ++next_connection_, shard.epoch, shard.member, 0};
        if (!record_ || !record_->active || record_->epoch != shard.epoch ||
            member_of(record_->member) != shard.member) {
            // A newer intent may be stored while the fence is on its way to this shard.
            const bool fencing = record_ && record_->epoch > shard.epoch;
            if (!fencing) violate("a session was opened in an epoch that the store does not have as active");
        }
        return;
    }
    Member& member = members_[session.member];
    if (!member.up) {
        post(ports::TrafficHint{config_.name, name(session.member), 2013});
        return close_session(client);
    }
    if (session.inflight != 0 || !linked(daemon_node_, session.member)) {
        if (chance(0.02)) close_session(client);  // the client has had enough; its statement runs on
        return;
    }
    const Statement statement{session.connection, session.epoch, ++next_write_, member.incarnation};
    session.inflight = statement.write;
    member.running.push_back(statement);
    const Duration runs = chance(0.05) ? between(20ms, 600ms) : between(100us, 2ms);
    after(runs, [this, at = session.member, statement] { execute(at, statement); });
}

void World::crash_member(int index) {
    Member& member = members_[index];
    member.up = false;
    member.paused = false;
    ++member.incarnation;
    member.waiting.clear();
    member.running.clear();
    trace(3, static_cast<std::uint64_t>(index), 0);
    for (Client& client : clients_) {
        if (client.session.open && client.session.member == index) {
            close_session(client);
            post(ports::TrafficHint{config_.name, name(index), 2013});
        }
    }
}

void World::restart_member(int index) {
    Member& member = members_[index];
    if (member.up) return;
    member.up = true;
    member.alone = false;
    member.applied = member.log.size();
    member.source = -1;
    member.io = false;
    member.read_only = true;
    trace(4, static_cast<std::uint64_t>(index), 0);
}

bool World::has_all_acked(int index) const {
    std::set<std::uint64_t> writes;
    for (const Txn& txn : members_[index].log) {
        if (txn.write != 0) writes.insert(txn.write);
    }
    return std::includes(writes.begin(), writes.end(), promised_.begin(), promised_.end());
}

}  // namespace signalbox::sim
