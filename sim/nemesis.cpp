// What goes wrong.

#include <algorithm>

#include "sim/world.hpp"

namespace signalbox::sim {

void World::nemesis_turn() {
    if (healing_) return;
    after(between(20ms, 700ms), [this] { nemesis_turn(); });
    const double what = chance(0.85) ? 0 : 1;
    if (what == 1) {
        fault_wish();
    } else if (chance(0.7)) {
        fault_member();
    } else {
        fault_daemon();
    }
}

void World::fault_member() {
    ++outcome_.faults;
    // Half of the trouble hits the writer: that is what a failover is.
    const int victim = chance(0.5) ? writer_ : pick(members_.size());
    Member& member = members_[victim];
    const int kind = pick(9);
    trace(7, static_cast<std::uint64_t>(kind), static_cast<std::uint64_t>(victim));
    switch (kind) {
        case 0:
        case 1: {
            if (!member.up) return;
            crash_member(victim);
            const bool stray = chance(0.25) && victim != writer_;
            after(between(10ms, 3s), [this, victim, stray] {
                restart_member(victim);
                if (!stray || victim == writer_ || healing_) return;
                Member& back = members_[victim];
                back.read_only = false;
                back.stray = true;
                back.stray_at = now_ + between(50ms, 1500ms);
                back.claimed_at = now_;
                ++outcome_.faults;
            });
            return;
        }
        case 2: {
            if (!serves(victim)) return;
            member.paused = true;
            after(between(20ms, 2s), [this, victim, incarnation = member.incarnation] {
                if (members_[victim].incarnation == incarnation) members_[victim].paused = false;
            });
            return;
        }
        case 3: {  // one way, or both, between two nodes
            const int from = pick(cut_.size());
            const int to = pick(cut_.size());
            cut_[from][to] = true;
            if (chance(0.5)) cut_[to][from] = true;
            after(between(20ms, 2s), [this, from, to] { cut_[from][to] = cut_[to][from] = false; });
            return;
        }
        case 4:  // a black hole for everybody
            cut_off(victim, true);
            after(between(50ms, 2s), [this, victim] { cut_off(victim, false); });
            return;
        case 5:
            member.rejected = true;
            after(between(20ms, 1s), [this, victim] { members_[victim].rejected = false; });
            return;
        case 6: {  // planned
            const int target = pick(members_.size());
            if (target == writer_ || switch_to_ >= 0 || !serves(writer_)) return;
            switch_to_ = target;
            switch_until_ = now_ + between(20ms, 500ms);
            members_[writer_].read_only = true;
            return;
        }
        case 7:  // somebody writes on a member directly
            if (serves(victim) && !member.read_only) {
                const Statement direct{0, 0, ++next_write_, member.incarnation};
                append(victim, direct.write, &direct);
            }
            return;
        case 8:  // demoted for a moment, and the same again
            if (victim != writer_ || !serves(victim)) return;
            member.read_only = true;
            return;
        default:
            return;
    }
}

void World::cut_off(int member, bool cut) {
    for (std::size_t i = 0; i < cut_.size(); ++i) cut_[i][member] = cut_[member][i] = cut;
}

void World::fault_daemon() {
    ++outcome_.faults;
    const int kind = pick(5);
    trace(8, static_cast<std::uint64_t>(kind), 0);
    switch (kind) {
        case 0:
            if (!dead_) calls_until_crash_ = pick(12);  // at any step of a switch
            return;
        case 1:
            kill_daemon();
            return;
        case 2:
            daemon_paused_until_ = now_ + between(20ms, 1500ms);
            return;
        case 3:
            disk_full_ = true;
            after(between(50ms, 2s), [this] { disk_full_ = false; });
            return;
        case 4:
            for (Shard& shard : shards_) shard.busy_until = std::max(shard.busy_until, now_ + between(0ms, 800ms));
            return;
        default:
            return;
    }
}

// What operators and others ask for, at any moment.
void World::fault_wish() {
    if (dead_ || now_ < daemon_paused_until_) return;
    ++outcome_.faults;
    const int kind = pick(4);
    trace(16, static_cast<std::uint64_t>(kind), 0);
    if (kind <= 1) {
        const int target = pick(members_.size());
        const auto begun =
            loop_->switchover({config_.name, name(target)}, daemon_time(), base::WallTime(now_.time_since_epoch()));
        if (!begun) return;  // nothing was stepped
        ++outcome_.switchovers;
        after_call();
    } else if (kind == 2) {
        ++outcome_.reconfigured;
        clusters::ClusterConfig other = config_;
        // Who takes the writer itself out of the configuration says that its writes are no concern of this cluster.
        const std::size_t gone = prng_.below(other.members.size());
        const bool writing = record_ && other.members[gone].name == record_->member;
        if (chance(0.5) && other.members.size() > 2 && !writing) {
            other.members.erase(other.members.begin() + static_cast<std::ptrdiff_t>(gone));
        }
        loop_->reconfigure(other, daemon_time(), base::WallTime(now_.time_since_epoch()));
        after(between(50ms, 800ms), [this, process = process_] {
            if (dead_ || process != process_) return;
            loop_->reconfigure(config_, daemon_time(), base::WallTime(now_.time_since_epoch()));
            after_call();
        });
        after_call();
    } else {
        // True, late, forged or repeated: it only wakes probes.
        const int times = chance(0.1) ? 100 : 1;
        for (int i = 0; i < times; ++i) {
            ++outcome_.events;
            post(ports::ExternalEvent{config_.name, "webhook", std::to_string(i / 2), "failover-completed", ""});
        }
    }
}

void World::heal() {
    healing_ = true;
    trace(9, 0, 0);
    for (auto& row : cut_) std::fill(row.begin(), row.end(), false);
    for (std::size_t i = 0; i < members_.size(); ++i) {
        members_[i].paused = members_[i].rejected = false;
        members_[i].stray_at = now_;
        restart_member(static_cast<int>(i));
    }
    disk_full_ = false;
    calls_until_crash_ = -1;
    daemon_paused_until_ = now_;
}

}  // namespace signalbox::sim
