// The steps of a switch: the intent, what still runs on the former writer, the new epoch and its route.

#include <algorithm>

#include "base/assert.hpp"
#include "domain/clusters/machine.hpp"

namespace signalbox::clusters {

void Machine::hold() {
    if (!held_) held_since_ = now_;
    if (!on(Guard::HoldWhenUnclear)) return;
    held_ = true;
    actions_.push_back(action::Hold{routes_epoch_});
}

void Machine::store_intent(const std::string& candidate) {
    if (!held_) held_since_ = now_;
    pending_ = ++highest_;
    candidate_ = candidate;
    resumable_.reset();
    traffic_fenced_only_ = false;
    killed_ = 0;
    unfenced_.clear();
    store(false, {"epoch-intent", pending_, {{"reasons", all_reasons()}}});
}

void Machine::store_active() {
    if (former_unknown_ || !kills_open_.empty()) traffic_fenced_only_ = true;
    Record entry{"epoch-active",
                 pending_,
                 {{"fence", traffic_fenced_only_ ? "traffic-fenced only" : "complete"},
                  {"sessions_closed", sessions_closed_},
                  {"sessions_killed", killed_}}};
    store(true, std::move(entry));
}

void Machine::store(bool active, Record entry) {
    stored_ = StoreState::None;
    EpochFacts facts{pending_, candidate_, active, continuity_.position.text(), cluster_uid_};
    const auto candidate = index_of(candidate_);
    if (candidate && members_[*candidate].evidence && !members_[*candidate].evidence->cluster_uid.empty()) {
        facts.cluster_uid = members_[*candidate].evidence->cluster_uid;
    }
    entry.data["member"] = candidate_;
    entry.data["former"] = active_name_;
    entry.data["position"] = facts.position;
    const bool skip = !on(active ? Guard::CommitBeforeRoute : Guard::IntentBeforeFence);
    if (skip) {
        stored_ = StoreState::Ok;
    } else {
        actions_.push_back(action::Store{facts, std::move(entry)});
    }
}

// A proven writer's identity is the cluster's from then on.
void Machine::know_cluster() {
    const auto writer = active();
    if (!writer || !members_[*writer].evidence || members_[*writer].evidence->cluster_uid.empty()) return;
    cluster_uid_ = members_[*writer].evidence->cluster_uid;
    mark_foreign(members_, cluster_uid_, rules_);
}

void Machine::kill_leftovers() {
    kills_open_.clear();
    kill_deadline_ = now_ + config_.kill_deadline;
    if (!on(Guard::KillBeforeCommit)) return;
    // What an abandoned fence closed, and has not told us of yet, can't be killed.
    if (!fences_open_.empty()) traffic_fenced_only_ = true;
    for (const auto& [member, ids] : leftovers_) {
        if (ids.empty()) continue;
        if (!former_answers(member) || gone_.contains(member)) {
            traffic_fenced_only_ = true;
            continue;
        }
        kills_open_.insert(member);
        actions_.push_back(action::KillSessions{pending_, member, {ids.begin(), ids.end()}});
    }
}

bool Machine::kills_done() const {
    if (now_ >= kill_deadline_) return true;
    return std::none_of(kills_open_.begin(), kills_open_.end(),
                        [&](const std::string& member) { return former_answers(member); });
}

void Machine::enter_epoch() {
    stored_ = StoreState::None;
    epoch_ = pending_;
    active_name_ = candidate_;
    for (MemberView& member : members_) {
        member.old_claim = member.config.name != candidate_ && (member.old_claim || member.claims_writer(rules_));
    }
    active_since_ = now_;
    know_cluster();
    position_stored_ = continuity_.position.text();
    const auto writer = active();
    epoch_base_ = writer ? members_[*writer].history : Position{};
    former_unknown_ = false;
    backoff_ = {};
    own_seen_.clear();
    strays_.clear();
    leftovers_.clear();
    fences_open_.clear();
    kills_open_.clear();
    sessions_closed_ = 0;
    pending_ = 0;
    candidate_.clear();
    not_before_ = {};
    if (!switchover_) return;
    switchover_step("done");
    switchover_.reset();
}

void Machine::route_active() {
    const auto writer = active();
    SB_ASSERT(writer, "the active member is configured");
    actions_.push_back(action::Route{epoch_, active_name_, members_[*writer].config.address});
    routes_epoch_ = epoch_;
    gone_.clear();
    record("routed", epoch_, {{"member", active_name_}, {"held_ms", held_ ? base::to_ms(now_ - held_since_) : 0.0}});
    held_ = false;
}

bool Machine::former_answers(const std::string& name) const {
    const auto index = index_of(name);
    return index && answers(members_[*index], config_.probe.misses);
}

}  // namespace signalbox::clusters
