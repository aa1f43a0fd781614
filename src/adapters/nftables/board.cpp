#include "adapters/nftables/board.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <future>

namespace signalbox::kernel {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::size_t asked_at_once = 100;  // so that a route never waits for questions
constexpr std::size_t to_ask_max = 50'000;  // questions that wait; who is not asked is reset when it next sends

Door* find_door(std::vector<Door>& doors, const Address& listen) {
    const auto found =
        std::find_if(doors.begin(), doors.end(), [&](const Door& door) { return door.listen == listen; });
    return found == doors.end() ? nullptr : &*found;
}

// Same but for what change_text can change.
bool same_settings(Door a, const Door& b) {
    a.targets = b.targets;
    a.admitted = b.admitted;
    a.counts = b.counts;
    return a == b;
}

// A rule that resets a packet marks the flow as reset too, so what a client reset just before can't be told from it.
bool ended_by_us(const Flow& flow) { return flow.life == Life::Running || flow.life == Life::Reset; }

// Targets in `before` that `after` has no more, by stamp.
template <typename Each>
void each_gone(const std::vector<Door>& before, const std::vector<Door>& after, Each each) {
    std::set<Stamp> kept;
    for (const Door& door : after) {
        for (const Target& target : door.targets) kept.insert(target.stamp);
    }
    for (const Door& door : before) {
        for (const Target& target : door.targets) {
            if (!kept.contains(target.stamp)) each(door, target);
        }
    }
}

}  // namespace

Board::Board(std::string_view instance, Nft nft, Conntrack conntrack, Report report)
    : nft_(std::move(nft)),
      conntrack_(std::move(conntrack)),
      report_(std::move(report)),
      host_(host_facts()),
      stamps_(owner_of(instance)) {
    table_.name = table_name(instance);
    table_.owner = owner_of(instance);
    table_.drop_invalid = host_.picks_up;
}

base::Result<std::unique_ptr<Board>> Board::open(std::string_view instance, Report report) {
    SB_TRY(Nft nft, Nft::open());
    SB_TRY(Conntrack conntrack, Conntrack::open());
    std::unique_ptr<Board> board(new Board(instance, std::move(nft), std::move(conntrack), std::move(report)));
    SB_CHECK(board->adopt());
    if (auto questions = Questions::open(question_mark(board->table_))) {
        board->questions_.emplace(std::move(*questions));
    } else {
        board->report_(questions.error().text());
    }
    return board;
}

base::Status Board::adopt() {
    // A process that died within a fence may have left flows whose stamps no table shows any more.
    SB_TRY(const std::vector<Flow> flows, conntrack_.flows(table_.owner, stamp_owner_mask));
    for (const Flow& flow : flows) stamps_.keep(flow.mark);
    const auto listed = nft_.list("list table inet " + table_.name);
    if (!listed && listed.error().kind == ErrorKind::NotFound) return {};
    if (!listed) return tl::unexpected<base::Error>(listed.error());
    auto doors = parse_table(*listed);
    if (!doors) {
        report_(
            fmt::format("the table that an earlier process left can't be read and is written anew; running flows "
                        "end: {}",
                        doors.error().text()));
        return {};
    }
    for (Door& door : *doors) {
        strangers_.push_back(door.listen);
        for (const Target& target : door.targets) stamps_.keep(target.stamp);
        door = held(std::move(door));
    }
    return commit(std::move(*doors), true);
}

bool Board::barred(const Door& door) const {
    if (door.listen.v6 ? host_.forwards6 : host_.forwards4) return false;
    return std::any_of(door.targets.begin(), door.targets.end(),
                       [](const Target& target) { return !is_local(target.address); });
}

base::Status Board::read_counts() {
    SB_TRY(const std::string listed, nft_.list("list counters table inet " + table_.name));
    SB_TRY(const auto counts, parse_counts(listed));
    for (Door& door : table_.doors) {
        if (const auto found = counts.find(door.id()); found != counts.end()) door.counts = found->second;
    }
    return {};
}

base::Status Board::commit(std::vector<Door> after, bool whole) {
    std::string text;
    for (Door& door : after) {
        door.barred = barred(door);
        const Door* before = find_door(table_.doors, door.listen);
        if (before == nullptr || !same_settings(door, *before)) {
            whole = true;
        } else if (!(door == *before)) {
            text += change_text(table_, *before, door);
        }
    }
    whole = whole || after.size() != table_.doors.size();
    base::Status done;
    if (!whole) done = nft_.run(text);
    if (whole || !done) {
        // Also the way back after somebody else removed the table.
        Table next = table_;
        next.doors = after;
        done = nft_.run(whole_text(next));
    }
    if (!done) return done;
    each_gone(table_.doors, after, [&](const Door& door, const Target& target) {
        former_[target.stamp] = {door.cluster, target.member};
    });
    table_.doors = std::move(after);
    return {};
}

base::Status Board::open_door(Door door) {
    (void)read_counts();
    std::vector<Door> after = table_.doors;
    Door* known = find_door(after, door.listen);
    const bool other = known != nullptr && (known->role != door.role || known->cluster != door.cluster);
    if (other) {
        SB_CHECK(close_door(door.listen));
        after = table_.doors;
        known = nullptr;
    }
    if (known == nullptr) {
        after.push_back(std::move(door));
    } else {
        door.targets = known->targets;
        door.counts = known->counts;
        *known = std::move(door);
    }
    const Address listen = known == nullptr ? after.back().listen : known->listen;
    SB_CHECK(commit(std::move(after), true));
    std::erase(strangers_, listen);
    return {};
}

base::Status Board::update_door(const Door& settings) {
    (void)read_counts();
    std::vector<Door> after = table_.doors;
    Door* door = find_door(after, settings.listen);
    if (door == nullptr) return fail(ErrorKind::NotFound, "no endpoint on {}", settings.listen.text());
    door->masquerade = settings.masquerade;
    door->lease = settings.lease;
    door->flows_max = settings.flows_max;
    return commit(std::move(after), true);
}

base::Status Board::close_door(const Address& listen) {
    std::vector<Door> after = table_.doors;
    Door* door = find_door(after, listen);
    if (door == nullptr) return {};
    // First its flows end, while the rules still reset them; then the rules go.
    if (std::find(strangers_.begin(), strangers_.end(), listen) == strangers_.end()) strangers_.push_back(listen);
    const std::string cluster = door->cluster;
    *door = held(std::move(*door));
    door->targets.clear();
    SB_CHECK(commit_and_end(cluster, after));
    (void)read_counts();
    after = table_.doors;
    std::erase_if(after, [&](const Door& one) { return one.listen == listen; });
    if (!after.empty()) {
        SB_CHECK(commit(std::move(after), true));
    } else {
        SB_CHECK(nft_.run(fmt::format("delete table inet {}\n", table_.name)));
        table_.doors.clear();
    }
    std::erase(strangers_, listen);
    return {};
}

base::Status Board::close_strangers() {
    const std::vector<Address> strangers = strangers_;
    for (const Address& listen : strangers) SB_CHECK(close_door(listen));
    return {};
}

void Board::leave() {
    std::vector<Door> after = table_.doors;
    for (Door& door : after) {
        if (door.lease != base::Duration::zero()) door = held(std::move(door));
    }
    // Without it the leases run out by themselves.
    (void)commit(std::move(after), false);
}

base::Status Board::hold(const std::string& cluster) {
    std::vector<Door> after = table_.doors;
    for (Door& door : after) {
        if (door.cluster == cluster && door.role == routing::Role::Writer) door = held(std::move(door));
    }
    return commit(std::move(after), false);
}

base::Result<ports::BarrierResult> Board::fence(const std::string& cluster, std::uint64_t epoch,
                                                const std::optional<Address>& also) {
    std::set<Address> former = former_writers(table_.doors, cluster, epoch);
    if (also) former.insert(*also);
    std::vector<Door> after = table_.doors;
    for (Door& door : after) {
        if (door.cluster == cluster) door = fenced(std::move(door), epoch, former, stamps_);
    }
    SB_CHECK(commit(std::move(after), false));
    // Both take milliseconds, and neither needs the other: a packet that is under way now can at most confirm the entry
    // of a SYN, whose answer meets the fence. The grace period is this thread's: the walk holds its processor all the
    // while, and a thread that was still to be scheduled there would begin to wait only after it.
    std::future<base::Status> ending = std::async(std::launch::async, [&] { return end_flows(cluster); });
    const bool passed = wait_for_packets_under_way();
    const base::Status ended = ending.get();
    if (!passed && !told_no_barrier_) {
        told_no_barrier_ = true;
        report_("this kernel has no membarrier: a fence does not wait for packets under way");
    }
    SB_CHECK(ended);
    ports::BarrierResult result;
    std::map<std::string, std::vector<clusters::ServerSession>> sessions;
    for (const Flow& flow : ended_flows_[cluster]) {
        if (ended_by_us(flow)) ++result.sessions_closed;
        const auto known = former_.find(flow.mark);
        if (flow.life == Life::Over || known == former_.end() || known->second.member.empty()) continue;
        sessions[known->second.member].push_back({0, flow.seen_as.text()});
    }
    for (auto& [member, list] : sessions) result.server_sessions.push_back({member, std::move(list)});
    forget(cluster);
    return result;
}

void Board::forget(const std::string& cluster) {
    ended_flows_.erase(cluster);
    std::erase_if(former_, [&](const auto& one) {
        if (one.second.cluster != cluster) return false;
        // Nobody carries it any more, so its number may come again.
        stamps_.free(one.first);
        return true;
    });
}

base::Status Board::end_flows(const std::string& cluster) {
    std::set<Stamp> alive;
    std::set<Address> listens;
    for (const Door& door : table_.doors) {
        if (door.cluster == cluster) listens.insert(door.listen);
        for (const Target& target : door.targets) alive.insert(target.stamp);
    }
    SB_TRY(std::vector<Flow> flows, conntrack_.flows(table_.owner, stamp_owner_mask));
    std::erase_if(flows, [&](const Flow& flow) { return alive.contains(flow.mark) || !listens.contains(flow.listen); });
    SB_CHECK(conntrack_.remove(flows));
    std::vector<Flow>& ended = ended_flows_[cluster];
    for (Flow& flow : flows) {
        if (ended_by_us(flow)) ++ended_[flow.listen];
        if (flow.life != Life::Over && to_ask_.size() < to_ask_max) to_ask_.push_back(flow);
        ended.push_back(std::move(flow));
    }
    return {};
}

// For what is no fence: ends what the change left without a stamp.
base::Status Board::commit_and_end(const std::string& cluster, std::vector<Door> after) {
    SB_CHECK(commit(std::move(after), false));
    if (former_.empty()) return {};
    SB_CHECK(end_flows(cluster));
    forget(cluster);
    return {};
}

base::Status Board::route(const std::string& cluster, std::uint64_t epoch, const std::string& member,
                          const Address& address) {
    std::vector<Door> after = table_.doors;
    for (Door& door : after) {
        if (door.cluster != cluster || door.role != routing::Role::Writer) continue;
        // What the door can't reach, it doesn't send to; its flows of former epochs end all the same.
        door = door.listen.v6 == address.v6 ? routed(std::move(door), epoch, member, address, stamps_)
                                            : fenced(std::move(door), epoch, {}, stamps_);
    }
    return commit_and_end(cluster, std::move(after));
}

base::Status Board::set_readers(const Address& listen, const std::vector<Reader>& readers) {
    std::vector<Door> after = table_.doors;
    Door* door = find_door(after, listen);
    if (door == nullptr || door->role != routing::Role::Reader) return {};
    const std::string cluster = door->cluster;
    *door = with_readers(std::move(*door), readers, stamps_);
    return commit_and_end(cluster, std::move(after));
}

base::Status Board::renew() {
    if (table_.doors.empty()) return {};
    const HostFacts now = host_facts();
    if (!(now == host_)) {
        host_ = now;
        table_.drop_invalid = now.picks_up;
        (void)read_counts();
        return commit(table_.doors, true);
    }
    base::Status done = nft_.run(renewal_text(table_));
    // Shows also whether the table is still there.
    if (done) done = read_counts();
    if (done) return {};
    report_(fmt::format("renewing the leases failed, so the table is written again: {}", done.error().text()));
    return commit(table_.doors, true);
}

bool Board::ask_ended() {
    if (!questions_) to_ask_.clear();
    const auto from = to_ask_.end() - static_cast<std::ptrdiff_t>(std::min(to_ask_.size(), asked_at_once));
    if (questions_) questions_->ask({from, to_ask_.end()});
    to_ask_.erase(from, to_ask_.end());
    return to_ask_.empty();
}

std::uint64_t Board::ended(const Address& listen) const {
    const auto found = ended_.find(listen);
    return found == ended_.end() ? 0 : found->second;
}

}  // namespace signalbox::kernel
