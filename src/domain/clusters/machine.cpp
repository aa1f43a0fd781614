#include "domain/clusters/machine.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace signalbox::clusters {
namespace {

using base::Duration;
using base::MonoTime;
using std::chrono::milliseconds;

constexpr Duration backoff_min = milliseconds(100);
constexpr Duration backoff_max = std::chrono::seconds(5);
// A tick that comes later than this was held up by ourselves.
constexpr Duration own_delay_min = milliseconds(30);
constexpr int rows_max = 16;  // fired by one input

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

Machine::Machine(ClusterConfig config, Rules rules) : config_(std::move(config)), rules_(rules) {
    for (const MemberConfig& member : config_.members) members_.emplace_back().config = member;
    verdict_.members.resize(members_.size());
    // The newest answer of a member that answers each probe is never older than a calm interval and one probe.
    age_max_ = config_.probe.calm + config_.probe.deadline * config_.probe.misses;
}

std::vector<Action> Machine::start(MonoTime now) {
    now_ = due_ = attentive_since_ = held_since_ = now;
    held_ = true;
    backoff_ = backoff_min;
    actions_.clear();
    actions_.push_back(action::Hold{0});
    for (const MemberView& member : members_) actions_.push_back(action::SetCadence{member.config.name, true});
    actions_.push_back(action::LoadRecord{});
    plan_tick();
    return std::move(actions_);
}

std::vector<Action> Machine::step(const Input& input, MonoTime now) {
    actions_.clear();
    if (now > due_ + own_delay_min) attentive_since_ = now;
    now_ = std::max(now_, now);
    absorb(input);
    judge();
    fire();
    keep_position();
    update_alarms();
    plan_tick();
    return std::move(actions_);
}

std::vector<Action> Machine::reconfigure(ClusterConfig config, MonoTime now) {
    actions_.clear();
    now_ = std::max(now_, now);
    std::vector<MemberView> members;
    for (const MemberConfig& wanted : config.members) {
        MemberView view;
        view.config = wanted;
        for (const MemberView& known : members_) {
            if (known.config.name == wanted.name && known.config.address == wanted.address) view = known;
        }
        // Which member a source is may have changed: an answer to the new list of addresses decides again.
        view.evidence.reset();
        view.sources.clear();
        members.push_back(std::move(view));
    }
    const auto at = [&](const std::string& name) {
        const auto index = index_of(name);
        return index ? members_[*index].config.address : base::HostPort{};
    };
    const base::HostPort before = at(active_name_);
    if (config.engine != config_.engine) continuity_ = {};
    members_ = std::move(members);
    config_ = std::move(config);
    judge();
    std::erase_if(alarms_, [&](const auto& alarm) {
        const std::size_t colon = alarm.first.find(':');
        return colon != std::string::npos && !index_of(alarm.first.substr(colon + 1));
    });
    age_max_ = config_.probe.calm + config_.probe.deadline * config_.probe.misses;
    const bool moved = !active_name_.empty() && before != at(active_name_);
    record("reconfigured", epoch_, {{"members", members_.size()}, {"writer_moved", moved}});
    if (moved) {
        active_name_.clear();
        resumable_.reset();
        if (epoch_goes_on()) state_ = State::NoWriter;
        hold();
    }
    const bool fast = state_ != State::Following;
    for (const MemberView& member : members_) actions_.push_back(action::SetCadence{member.config.name, fast});
    // Everything was asked anew just now: an answer that is still under way is no gap in the proof.
    attentive_since_ = now_;
    update_alarms();
    plan_tick();
    return std::move(actions_);
}

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
    if (barrier.epoch != pending_ && on(Guard::BarrierOfThisEpoch)) return;
    if (state_ != State::Barrier || barrier_done_) return;
    barrier_done_ = true;
    record("fenced", pending_, {{"sessions_closed", sessions_closed_}});
}

void Machine::absorb_kill(const input::SessionsKilled& killed) {
    if (killed.epoch != pending_ || kills_open_.erase(killed.member) == 0) return;
    killed_ += killed.killed;
    if (killed.failed > 0) traffic_fenced_only_ = true;
    record("sessions-killed", pending_,
           {{"member", killed.member}, {"killed", killed.killed}, {"failed", killed.failed}});
}

void Machine::judge() {
    const BeliefContext context{continuity_, epoch_goes_on() ? active() : std::nullopt, age_max_, config_.probe.misses,
                                rules_};
    verdict_ = believe(members_, context, now_);
}

bool holds(Condition condition, const Machine& m) {
    using StoreState = Machine::StoreState;
    switch (condition) {
        case Condition::RecordLoaded:
            return m.record_loaded_;
        case Condition::RetryDue:
            return m.now_ >= m.retry_at_ && m.retry_at_ != MonoTime{};
        case Condition::RecordedWriterProven: {
            if (!m.resumable_ || !m.index_of(m.resumable_->member)) return false;
            return !m.on(Guard::StartFenced) || m.proven() == m.index_of(m.resumable_->member);
        }
        case Condition::WriterProven:
            return m.proven().has_value();
        case Condition::OtherProven:
            return m.other_proven();
        case Condition::ActiveProven:
            return m.active_proven();
        case Condition::ActiveWithdrew:
            return m.on(Guard::WithdrawnNeedsEpoch) && m.active_withdrew();
        case Condition::ActiveClaimGone:
            return m.claim_gone();
        case Condition::ActiveUnproven:
            return !m.active_proven();
        case Condition::CandidateUnproven:
            return m.on(Guard::CandidateRechecked) && !m.candidate_proven();
        case Condition::IntentStored:
        case Condition::EpochStored:
            return m.stored_ == StoreState::Ok;
        case Condition::BarrierAcked:
            return m.barrier_done_ || !m.on(Guard::FenceBarrier);
        case Condition::KillsDone:
            return m.kills_done();
        case Condition::StoreFailed:
            return m.stored_ == StoreState::Failed;
    }
    return false;
}

void Machine::fire() {
    for (int fired = 0; fired < rows_max; ++fired) {
        const Transition* taken = nullptr;
        for (const Transition& row : transitions()) {
            if (row.from == state_ && holds(row.when, *this)) {
                taken = &row;
                break;
            }
        }
        if (taken == nullptr) return;
        state_ = taken->to;
        for (const Step step : taken->steps) perform(step, *taken);
        // The proof of the active writer is judged differently once the epoch no longer goes on, and the reverse.
        judge();
    }
    SB_ASSERT(false, "the transition table comes to rest");
}

void Machine::perform(Step step, const Transition& row) {
    switch (step) {
        case Step::Load:
            retry_at_ = {};
            actions_.push_back(action::LoadRecord{});
            return;
        case Step::Backoff:
            retry_at_ = now_ + backoff_;
            backoff_ = std::min(backoff_ * 2, backoff_max);
            record_loaded_ = false;
            return;
        case Step::ProbeFast:
        case Step::ProbeCalm:
            for (const MemberView& member : members_) {
                actions_.push_back(action::SetCadence{member.config.name, step == Step::ProbeFast});
            }
            return;
        case Step::Hold:
            return hold();
        case Step::Resume:
            epoch_ = resumable_->epoch;
            active_name_ = resumable_->member;
            position_stored_ = resumable_->position;
            resumable_.reset();
            active_since_ = now_;
            know_cluster();
            return;
        case Step::StoreIntent:
            return store(false);
        case Step::Fence:
            stored_ = StoreState::None;
            barrier_done_ = false;
            fence_at_ = now_;
            routes_epoch_ = pending_;
            held_ = true;
            fences_open_.insert(pending_);
            actions_.push_back(action::Fence{pending_});
            return;
        case Step::KillSessions:
            return kill_leftovers();
        case Step::StoreActive:
            return store(true);
        case Step::EnterEpoch:
            return enter_epoch();
        case Step::Route:
        case Step::RouteAgain:
            return route_active();
        case Step::Abandon:
            record("epoch-abandoned", pending_,
                   {{"member", candidate_},
                    {"why", stored_ == StoreState::Failed ? store_error_ : row.why},
                    {"reasons", all_reasons()}});
            if (!on(Guard::EpochNeverReused)) --highest_;
            stored_ = StoreState::None;
            kills_open_.clear();
            return;
        case Step::RecordUnclear:
            return record("writer-unclear", epoch_, {{"member", active_name_}, {"reasons", all_reasons()}});
        case Step::RecordLost:
            return record("writer-lost", epoch_,
                          {{"member", active_name_}, {"why", row.why}, {"reasons", all_reasons()}});
        case Step::RecordAgain:
            return record("writer-again", epoch_, {{"member", active_name_}});
    }
}

void Machine::hold() {
    if (!held_) held_since_ = now_;
    if (!on(Guard::HoldWhenUnclear)) return;
    held_ = true;
    actions_.push_back(action::Hold{routes_epoch_});
}

void Machine::store(bool active) {
    if (!active) {
        SB_ASSERT(proven(), "a switch has a candidate");
        if (!held_) held_since_ = now_;
        pending_ = ++highest_;
        candidate_ = members_[*proven()].config.name;
        resumable_.reset();
        traffic_fenced_only_ = false;
        killed_ = 0;
    }
    stored_ = StoreState::None;
    const EpochFacts facts{pending_, candidate_, active, continuity_.position.text()};
    Record entry{active ? "epoch-active" : "epoch-intent",
                 pending_,
                 {{"member", candidate_}, {"former", active_name_}, {"position", facts.position}}};
    if (active) {
        if (former_unknown_ || !kills_open_.empty()) traffic_fenced_only_ = true;
        entry.data["fence"] = traffic_fenced_only_ ? "traffic-fenced only" : "complete";
        entry.data["sessions_closed"] = sessions_closed_;
        entry.data["sessions_killed"] = killed_;
    } else {
        entry.data["reasons"] = all_reasons();
    }
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
    backoff_ = backoff_min;
    own_seen_.clear();
    strays_.clear();
    leftovers_.clear();
    fences_open_.clear();
    kills_open_.clear();
    sessions_closed_ = 0;
    pending_ = 0;
    candidate_.clear();
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

void Machine::record(std::string kind, std::uint64_t epoch, base::json::object data) {
    actions_.push_back(Record{std::move(kind), epoch, std::move(data)});
}

base::json::array Machine::all_reasons() const {
    base::json::array all;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        base::json::array texts;
        for (const std::string& text : reasons(i)) texts.emplace_back(text);
        all.push_back(base::json::object{{"member", members_[i].config.name}, {"reasons", std::move(texts)}});
    }
    return all;
}

std::vector<std::string> Machine::reasons(std::size_t member) const {
    std::vector<std::string> texts;
    for (const Finding& finding : verdict_.members[member].findings) {
        texts.push_back(explain(finding, members_[member], members_));
    }
    return texts;
}

// The store learns the position at most once per calm interval: it is a floor for the next process.
void Machine::keep_position() {
    if (!epoch_goes_on() && state_ != State::NoWriter) return;
    if (now_ < position_stored_at_ + config_.probe.calm) return;
    std::string position = continuity_.position.text();
    if (position == position_stored_) return;
    position_stored_ = position;
    position_stored_at_ = now_;
    actions_.push_back(action::StorePosition{epoch_, std::move(position)});
}

std::optional<std::size_t> Machine::index_of(const std::string& name) const {
    for (std::size_t i = 0; i < members_.size(); ++i) {
        if (members_[i].config.name == name) return i;
    }
    return std::nullopt;
}

const std::string& Machine::writer() const {
    static const std::string nobody;
    return epoch_goes_on() ? active_name_ : nobody;
}

bool Machine::epoch_goes_on() const {
    return state_ == State::Following || state_ == State::Unclear || state_ == State::Holding;
}

bool Machine::active_proven() const { return proven() && proven() == active(); }
bool Machine::other_proven() const { return proven() && proven() != active(); }
bool Machine::candidate_proven() const { return proven() && proven() == index_of(candidate_); }

bool Machine::active_withdrew() const {
    const auto writer = active();
    if (!writer) return true;
    const MemberView& member = members_[*writer];
    return answers(member, config_.probe.misses) && !member.claims_writer(rules_);
}

// Gone: it is refused, was reset, stayed silent, or somebody stands against it. An error of another kind is unknown,
// and its last answer counts until it is too old.
bool Machine::claim_gone() const {
    const auto writer = active();
    if (!writer) return true;
    if (active_proven()) return false;
    const MemberView& member = members_[*writer];
    if (answers(member, config_.probe.misses)) {
        const MemberFindings& findings = verdict_.members[*writer];
        const bool only_age = std::all_of(findings.findings.begin(), findings.findings.end(),
                                          [](const Finding& f) { return f.passed || f.check == Check::Fresh; });
        if (!only_age) return true;
    } else if (member.failure) {
        const ProbeFailureKind kind = member.failure->kind;
        if (kind == ProbeFailureKind::Refused || kind == ProbeFailureKind::Reset) return true;
        if (kind == ProbeFailureKind::TimedOut && member.misses >= config_.probe.misses) return true;
        if (kind == ProbeFailureKind::OurOwnDelay) return true;  // reached only without the guard
    }
    // Our own delay is not the member's age.
    return now_ - std::max(member.sent_at, attentive_since_) > age_max_;
}

bool Machine::former_answers(const std::string& name) const {
    const auto index = index_of(name);
    return index && answers(members_[*index], config_.probe.misses);
}

void Machine::plan_tick() {
    MonoTime due = now_ + std::chrono::seconds(1);
    const auto consider = [&](MonoTime time) {
        if (time > now_) due = std::min(due, time);
    };
    if (state_ == State::Starting && retry_at_ != MonoTime{}) consider(retry_at_);
    if (state_ == State::Killing) consider(kill_deadline_);
    if (const auto writer = active(); writer && epoch_goes_on()) {
        const Duration past = age_max_ + Duration(1);  // older than, not as old as
        consider(members_[*writer].sent_at + past);
        consider(std::max(members_[*writer].sent_at, attentive_since_) + past);
    }
    if (contested_since_) consider(*contested_since_ + config_.probe.deadline);
    if (unproven_claim_since_) consider(*unproven_claim_since_ + config_.probe.deadline);
    due_ = due;
}

}  // namespace signalbox::clusters
