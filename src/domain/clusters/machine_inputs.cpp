// What comes in changes facts: the store's record, observations, what a fence and a killer answered.

#include "domain/clusters/machine.hpp"

namespace signalbox::clusters {
namespace {

constexpr std::size_t unfenced_max = 64;  // lines that are kept

// What of an observation matters to decisions; another one is worth a journal entry.
std::string signature(const MemberView& member, const Rules& rules) {
    if (member.failure) return fmt::format("{}", to_string(member.failure->kind));
    std::string text = member.claims_writer(rules) ? "claims to be the writer" : "is a reader";
    if (member.evidence->read_only) text += ", read_only";
    if (member.evidence->innodb_read_only) text += ", innodb_read_only";
    for (const ReplicationSource& source : member.evidence->sources) {
        text += fmt::format(", {} from {}", source.io_running ? "receives" : "would receive", source.address.text());
    }
    return text;
}

}  // namespace

void Machine::absorb(const Input& input) {
    if (const auto* observed = std::get_if<input::Observed>(&input)) {
        absorb_observation(*observed->observation);
    } else if (const auto* loaded = std::get_if<input::Loaded>(&input)) {
        absorb_loaded(*loaded);
    } else if (const auto* stored = std::get_if<input::Stored>(&input)) {
        if (stored->epoch != pending_) return;
        const bool ok = stored->outcome.has_value() || !on(Guard::StoreFailureStops);
        stored_ = ok ? StoreState::Ok : StoreState::Failed;
        if (!ok) store_error_ = stored->outcome.error().text();
    } else if (const auto* barrier = std::get_if<input::BarrierDone>(&input)) {
        absorb_barrier(*barrier);
    } else if (const auto* killed = std::get_if<input::SessionsKilled>(&input)) {
        absorb_kill(*killed);
    } else if (std::holds_alternative<input::TrafficHint>(input)) {
        actions_.push_back(action::Wake{});
    } else if (const auto* asked = std::get_if<input::SwitchoverAsked>(&input)) {
        if (!may_switch_over(asked->to)) return;
        switchover_ = Switchover{};
        switchover_->to = asked->to;
    } else if (const auto* sessions = std::get_if<input::WriterSessions>(&input)) {
        if (wants_sessions()) switchover_->drained = sessions->count == 0;
    } else if (const auto* promoted = std::get_if<input::PromoteDone>(&input)) {
        absorb_promoted(*promoted);
    }
}

void Machine::absorb_loaded(const input::Loaded& loaded) {
    if (state_ != State::Starting) return;
    if (!loaded.record) {
        store_error_ = loaded.record.error().text();
        perform(Step::Backoff, {});
        return;
    }
    record_loaded_ = true;
    store_error_.clear();
    const bool first = highest_ == 0 && routes_epoch_ == 0;
    if (const auto& facts = *loaded.record) {
        highest_ = std::max(highest_, facts->epoch);
        if (first) {
            former_unknown_ = true;
            recorded_member_ = facts->member;
            routes_epoch_ = facts->epoch;
            actions_.push_back(action::Hold{routes_epoch_});
            if (facts->active) {
                resumable_ = *facts;
                active_name_ = facts->member;  // whose replicas go on confirming
            }
        }
        auto position = Position::parse(config_.engine, facts->position);
        if (position) {
            position->join(continuity_.position);
            continuity_.position = position->newest();
        }
        if (cluster_uid_.empty()) cluster_uid_ = facts->cluster_uid;
        position_error_ = position ? std::string() : position.error().text();
    }
    record("start", highest_, {{"epoch", highest_}, {"position", continuity_.position.text()}});
}

void Machine::absorb_observation(const Observation& observation) {
    const auto index = index_of(observation.member);
    if (!index) return;
    const auto* failure = std::get_if<ProbeFailure>(&observation.result);
    if (failure && failure->kind == ProbeFailureKind::OurOwnDelay && on(Guard::OwnDelayIsNoMiss)) {
        attentive_since_ = now_;
    }
    MemberView& member = members_[*index];
    // A silence that ended while we were held up ourselves may be our own.
    const bool late = failure && failure->kind == ProbeFailureKind::TimedOut && on(Guard::OwnDelayIsNoMiss) &&
                      now_ - observation.completed_at > config_.probe.deadline / 2;
    if (late) {
        attentive_since_ = now_;
        return;
    }
    if (!observe(members_, *index, observation, config_, rules_)) return;
    mark_foreign(members_, cluster_uid_, rules_);
    if (member.evidence || member.failure) {
        std::string says = signature(member, rules_);
        if (says != member.said) {
            base::json::object data{{"member", member.config.name}, {"was", member.said}, {"is", says}};
            member.said = std::move(says);
            if (member.failure && !member.failure->text.empty()) data["text"] = member.failure->text;
            if (!member.failure) data["history"] = member.history.text();
            record("member-changed", epoch_, std::move(data));
        }
    }
    if (member.failure && member.failure->kind == ProbeFailureKind::Refused) gone_.insert(member.config.name);
    if (member.failure || !member.evidence) return;
    end_old_claims();
    note_goal(*index);
    if (const auto writer = active()) confirm(continuity_, members_, *index, *writer, rules_);
    watch_strays(*index);
}

// An old claim ends when the member was seen as a reader, when it has something of the newer writer, or when a member
// that answers receives from it: then it was elected since, without our seeing how.
void Machine::end_old_claims() {
    const auto writer = active();
    for (std::size_t i = 0; i < members_.size(); ++i) {
        MemberView& member = members_[i];
        if (!member.old_claim) continue;
        const bool seen = !member.failure && member.sent_at > active_since_;
        if (seen && !member.claims_writer(rules_)) member.old_claim = false;
        for (const MemberView& other : members_) {
            if (other.failure || other.sent_at <= active_since_) continue;
            for (const SourceView& source : other.sources) {
                if (source.member == i && source.io_running) member.old_claim = false;
            }
        }
        if (!seen || !writer || !members_[*writer].evidence) continue;
        if (!epoch_base_.contains(member.history.written_by(*members_[*writer].evidence))) member.old_claim = false;
    }
}

// A member that is not the writer must not grow in its own name. What it had when it was first seen after the epoch
// moved on may be a tail that nobody acknowledged: only growth since then, past what the writer has, is a stray write.
void Machine::watch_strays(std::size_t index) {
    const MemberView& member = members_[index];
    const auto writer = active();
    if (!writer || *writer == index || !epoch_goes_on() || member.sent_at <= active_since_) return;
    const std::string& name = member.config.name;
    // On PostgreSQL a reader's own timeline is the writer's, and grows rightly.
    if (config_.engine == Engine::PostgreSql && !member.evidence->sources.empty()) return;
    Position own = member.history.written_by(*member.evidence);
    const Position& theirs = members_[*writer].history;
    if (const auto seen = own_seen_.find(name); seen != own_seen_.end()) {
        Position rightful = theirs;
        rightful.join(seen->second);
        if (auto stray = rightful.first_missing(own)) strays_[name] = std::move(*stray);
    }
    own_seen_[name] = std::move(own);
    const auto stray = strays_.find(name);
    if (stray == strays_.end()) return;
    if (!member.history.contains(stray->second) || theirs.contains(stray->second)) strays_.erase(stray);
}

void Machine::absorb_barrier(const input::BarrierDone& barrier) {
    if (pending_ == 0 || barrier.epoch > pending_) return;
    // What an abandoned fence closed may run on just as well.
    for (const auto& [member, ids] : barrier.server_sessions) leftovers_[member].insert(ids.begin(), ids.end());
    if (fences_open_.erase(barrier.epoch) != 0) sessions_closed_ += barrier.sessions_closed;
    for (const std::string& line : barrier.unfenced) {
        if (unfenced_.size() < unfenced_max) unfenced_.push_back(line);
        traffic_fenced_only_ = true;
    }
    if (barrier.epoch != pending_ && on(Guard::BarrierOfThisEpoch)) return;
    if ((state_ != State::Barrier && state_ != State::PlannedBarrier) || barrier_done_) return;
    barrier_done_ = true;
    base::json::array unfenced;
    for (const std::string& line : unfenced_) unfenced.emplace_back(line);
    record("fenced", pending_, {{"sessions_closed", sessions_closed_}, {"unfenced", std::move(unfenced)}});
}

void Machine::absorb_kill(const input::SessionsKilled& killed) {
    if (killed.epoch != pending_ || kills_open_.erase(killed.member) == 0) return;
    killed_ += killed.killed;
    if (killed.failed > 0) traffic_fenced_only_ = true;
    record("sessions-killed", pending_,
           {{"member", killed.member}, {"killed", killed.killed}, {"failed", killed.failed}, {"text", killed.text}});
}

}  // namespace signalbox::clusters
