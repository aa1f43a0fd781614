// Members that the configuration does not name: found in the newest topology, or in what the proven writer says of its
// replicas, and forgotten when nobody has listed them for a while.

#include <algorithm>

#include "domain/clusters/address.hpp"
#include "domain/clusters/machine.hpp"

namespace signalbox::clusters {
namespace {

constexpr base::Duration unlisted_max = std::chrono::seconds(60);

std::int64_t newest_stamp(const MemberView& member) {
    std::int64_t stamp = 0;
    for (const TopologyRow& row : member.evidence->topology) stamp = std::max(stamp, row.updated_us);
    return stamp;
}

}  // namespace

void Machine::discover() {
    if (!config_.discover) return;
    const MemberView* newest = nullptr;
    for (const MemberView& member : members_) {
        if (!member.evidence || member.failure || member.foreign || member.old_claim ||
            member.evidence->topology.empty())
            continue;
        if (newest == nullptr || newest_stamp(member) > newest_stamp(*newest)) newest = &member;
    }
    struct Found {
        std::string name;
        base::HostPort address;
        std::string_view in;
    };
    std::vector<Found> found;
    if (newest != nullptr) {
        for (const TopologyRow& row : newest->evidence->topology) found.push_back({row.name, row.address, "topology"});
    }
    const auto writer = active();
    const bool proven_writer = state_ == State::Following && active_proven();
    if (proven_writer && members_[*writer].evidence) {
        for (const AttachedReplica& replica : members_[*writer].evidence->replicas) {
            found.push_back({replica.name, replica.address, "the writer's replicas"});
        }
    }
    // The writer may have been found by a process that is gone, or be new: those who receive from it say where it is.
    // Once a writer is proven, what else members read from is nobody's business.
    for (const MemberView& member : members_) {
        for (std::size_t i = 0; i < member.sources.size() && !verdict_.writer; ++i) {
            const SourceView& source = member.sources[i];
            if (member.failure || member.foreign || source.member || !source.io_running) continue;
            found.push_back({lost_writer(), member.evidence->sources[i].address, "a reader's source"});
        }
    }
    bool added = false;
    for (Found& one : found) {
        const auto listed = std::find_if(members_.begin(), members_.end(), [&](const MemberView& member) {
            return (one.in == "topology" && member.config.name == one.name) || member.config.address == one.address ||
                   (one.address.port == 0 && member.config.address.host == one.address.host);
        });
        if (listed == members_.end()) {
            added = add_member(one.name, std::move(one.address), one.in) || added;
        } else if (const auto known = discovered_.find(listed->config.name); known != discovered_.end()) {
            known->second = now_;
        }
    }
    bool removed = false;
    for (std::size_t i = members_.size(); i-- > 0;) {
        const auto known = discovered_.find(members_[i].config.name);
        if (known == discovered_.end()) continue;
        // Without a proven writer nobody can say that it left.
        if (!proven_writer || known->first == active_name_) known->second = now_;
        if (now_ - known->second < unlisted_max) continue;
        remove_member(i);
        removed = true;
    }
    if (!added && !removed) return;
    actions_.push_back(action::Configure{});
    for (const MemberView& member : members_) {
        actions_.push_back(action::SetCadence{member.config.name, state_ != State::Following});
    }
}

// The recorded writer, if it is no member that is known.
const std::string& Machine::lost_writer() const {
    static const std::string none;
    return index_of(recorded_member_) ? none : recorded_member_;
}

bool Machine::add_member(const std::string& name, base::HostPort address, std::string_view found_in) {
    if (on(Guard::DiscoveredByAddress)) {
        if (members_.size() >= members_max || !is_member_address(address.host)) return false;
    }
    if (address.port == 0) address.port = config_.members.front().address.port;
    std::string called = name;
    if (!base::is_name(called) || index_of(called)) {
        called = address.host;
        std::replace(called.begin(), called.end(), ':', '-');
        if (!base::is_name(called)) called = "m" + called;
        if (index_of(called)) called += fmt::format("-{}", address.port);
    }
    if (!base::is_name(called) || index_of(called)) return false;
    MemberView view;
    view.config = {called, std::move(address)};
    record("member-added", epoch_,
           {{"member", called}, {"address", view.config.address.text()}, {"found_in", found_in}});
    config_.members.push_back(view.config);
    members_.push_back(std::move(view));
    discovered_[called] = now_;
    return true;
}

void Machine::remove_member(std::size_t index) {
    const std::string name = members_[index].config.name;
    record("member-removed", epoch_, {{"member", name}, {"address", members_[index].config.address.text()}});
    members_.erase(members_.begin() + static_cast<std::ptrdiff_t>(index));
    std::erase_if(config_.members, [&](const MemberConfig& member) { return member.name == name; });
    for (MemberView& member : members_) {
        for (SourceView& source : member.sources) {
            if (source.member == index) source.member.reset();
            if (source.member && *source.member > index) --*source.member;
        }
    }
    discovered_.erase(name);
    forget_member(name);
    judge();
}

// What is kept by a member's name.
void Machine::forget_member(const std::string& name) {
    own_seen_.erase(name);
    strays_.erase(name);
    gone_.erase(name);
    std::vector<std::string> kinds;
    for (const auto& [kind, text] : alarms_) {
        const std::size_t colon = kind.find(':');
        if (colon != std::string::npos && kind.substr(colon + 1) == name) kinds.push_back(kind);
    }
    for (const std::string& kind : kinds) raise(kind, false, {});
}

}  // namespace signalbox::clusters
