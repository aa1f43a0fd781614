// The cloud's part: it promotes the member that has received most, and only one that has all that was acknowledged.

#include <algorithm>

#include "sim/world.hpp"

namespace signalbox::sim {

bool World::controller_sees(int member) const {
    return serves(member) && linked(controller_node_, member) && linked(member, controller_node_);
}

void World::controller_turn() {
    after(10ms, [this] { controller_turn(); });
    for (std::size_t i = 0; i < members_.size(); ++i) {
        pull(static_cast<int>(i));
        if (members_[i].claims()) members_[i].claimed_at = now_;
    }
    if (promoting_ >= 0) {
        if (now_ < promote_at_) return;
        const int candidate = std::exchange(promoting_, -1);
        if (controller_sees(candidate) && has_all_acked(candidate)) promote(candidate);
        return;
    }
    if (controller_sees(writer_)) {
        writer_seen_ = now_;
        controller_keep(writer_);
    } else if (now_ - writer_seen_ > controller_patience_) {
        switch_to_ = -1;
        controller_fail_over();
    }
}

// Everybody else reads from the writer; a planned switch goes on; a writer that came back opens again.
void World::controller_keep(int writer) {
    Member& current = members_[writer];
    std::size_t others_up = 0;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const int other = static_cast<int>(i);
        if (other == writer) continue;
        if (members_[i].up) ++others_up;
        if (controller_sees(other)) rejoin(other);
    }
    if (switch_to_ >= 0) {
        const Member& target = members_[switch_to_];
        const bool caught_up =
            controller_sees(switch_to_) && target.log == current.log && target.applied == target.log.size();
        if (caught_up && current.waiting.empty() && has_all_acked(switch_to_)) {
            return promote(std::exchange(switch_to_, -1));
        }
        if (now_ < switch_until_) return;
        switch_to_ = -1;
    }
    if (current.source >= 0 || current.read_only) {
        if (!has_all_acked(writer)) return;
        current.source = -1;
        current.io = false;
        current.read_only = false;
        current.claimed_at = now_;
        trace(5, static_cast<std::uint64_t>(writer), 1);
    }
    if (others_up == 0 && !current.alone) {
        // From here on what it has is what counts, waited for or not.
        for (const Txn& txn : current.log) {
            if (txn.write != 0) promised_.insert(txn.write);
        }
    }
    current.alone = others_up == 0;
    if (current.alone) acknowledge(writer, current.log.size());
}

void World::rejoin(int index) {
    Member& member = members_[index];
    if (member.stray && now_ < member.stray_at) return;
    const Member& writer = members_[writer_];
    if (member.source == writer_ && member.io) return;
    if (writer.read_only || writer.source >= 0) return;
    if (member.claims() && !member.stray && chance(0.9)) return;  // it takes a while to notice
    member.stray = false;
    member.alone = false;
    if (!is_prefix(member.log, writer.log)) {
        for (const Txn& txn : member.log) {
            const bool kept = std::find(writer.log.begin(), writer.log.end(), txn) != writer.log.end();
            if (!kept) ++outcome_.rolled_back;
        }
        crash_member(index);
        member.up = true;
        member.log = writer.log;  // cloned anew
        member.branches = writer.branches;
        member.acked = 0;
    }
    member.applied = member.log.size();
    member.read_only = true;
    member.source = writer_;
    member.io = true;
    trace(6, static_cast<std::uint64_t>(index), static_cast<std::uint64_t>(writer_));
}

void World::controller_fail_over() {
    // One that may acknowledge alone can't be stopped by taking its replicas away.
    if (members_[writer_].alone && members_[writer_].up) return;
    int best = -1;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const int member = static_cast<int>(i);
        if (member == writer_ || !controller_sees(member) || members_[i].stray) continue;
        members_[i].io = false;  // nobody acknowledges to the old writer any more
        if (best < 0 || members_[i].log.size() > members_[best].log.size()) best = member;
    }
    if (best < 0 || !has_all_acked(best)) return;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        // A member that can't be asked may have acknowledged more, or may go on acknowledging.
        if (static_cast<int>(i) == writer_ || members_[i].stray) continue;
        const bool stopped = !members_[i].io || !members_[i].up;
        if (!stopped || !is_prefix(members_[i].log, members_[best].log)) return;
    }
    promoting_ = best;
    promote_at_ = now_ + between(1ms, 30ms);
    members_[best].applied = members_[best].log.size();
}

void World::promote(int index) {
    Member& member = members_[index];
    member.applied = member.log.size();
    member.source = -1;
    member.io = false;
    member.read_only = false;
    member.claimed_at = now_;
    // Numbers are taken from one archive: two timelines of one number that branch off at one place can't be told apart.
    member.branches.emplace_back(++timelines_, member.log.size());
    if (engine_ == clusters::Engine::PostgreSql) {
        // The end of recovery is a record of its own: a timeline without one would be nobody's.
        const Statement record{0, 0, ++next_write_, member.incarnation};
        append(index, record.write, &record);
    }
    writer_ = index;
    writer_seen_ = now_;
    controller_patience_ = between(20ms, 300ms);
    ++outcome_.promotions;
    trace(5, static_cast<std::uint64_t>(index), 0);
}

}  // namespace signalbox::sim
