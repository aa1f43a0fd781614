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
constexpr int rows_max = 16;                           // fired by one input
constexpr Duration sessions_every = milliseconds(10);  // while draining

}  // namespace

Machine::Machine(ClusterConfig config, Rules rules) : config_(std::move(config)), rules_(rules) {
    for (const MemberConfig& member : config_.members) members_.emplace_back().config = member;
    verdict_.members.resize(members_.size());
}

std::vector<Action> Machine::start(MonoTime now) {
    now_ = due_ = attentive_since_ = held_since_ = now;
    held_ = true;
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
    discover();
    judge();
    fire();
    // A wish that could not begin at once is none.
    if (switchover_ && !switching_over() && state_ != State::Committing) end_switchover({});
    keep_position();
    update_alarms();
    plan_tick();
    return std::move(actions_);
}

std::vector<Action> Machine::reconfigure(ClusterConfig config, MonoTime now) {
    actions_.clear();
    now_ = std::max(now_, now);
    const auto clashes = [&](const MemberConfig& found) {
        return config.members.size() >= members_max ||
               std::any_of(config.members.begin(), config.members.end(), [&](const MemberConfig& wanted) {
                   return wanted.name == found.name || wanted.address == found.address;
               });
    };
    for (const MemberView& known : members_) {
        if (!discovered_.contains(known.config.name)) continue;
        if (config.discover && !clashes(known.config)) {
            config.members.push_back(known.config);
        } else {
            discovered_.erase(known.config.name);
        }
    }
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
    if (config.engine != config_.engine) {
        continuity_ = {};
        cluster_uid_.clear();
        own_seen_.clear();
        strays_.clear();
        epoch_base_ = {};
    }
    const std::vector<MemberView> former = std::exchange(members_, std::move(members));
    config_ = std::move(config);
    verdict_ = {};
    judge();
    for (const MemberView& gone : former) {
        if (!index_of(gone.config.name)) forget_member(gone.config.name);
    }
    const bool moved = !active_name_.empty() && before != at(active_name_);
    record("reconfigured", epoch_, {{"members", members_.size()}, {"writer_moved", moved}});
    actions_.push_back(action::Configure{});
    if (moved) {
        active_name_.clear();
        resumable_.reset();
        if (epoch_goes_on()) {
            state_ = State::NoWriter;
            end_switchover({});
        }
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

void Machine::judge() {
    const BeliefContext context{continuity_,   epoch_goes_on() || before_hook() ? active() : std::nullopt,
                                config_.probe, rules_,
                                not_before_,   undoubted()};
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
        case Condition::SwitchoverAsked:
            return m.switchover_.has_value();
        case Condition::TargetUnfit:
            return m.target_unfit();
        case Condition::Drained:
            return m.switchover_->drained || m.now_ >= m.switchover_->deadline;
        case Condition::CaughtUp:
            return m.caught_up() || !m.on(Guard::CaughtUpBeforePromote);
        case Condition::CatchUpLate:
        case Condition::PromoteLate:
            return m.now_ >= m.switchover_->deadline;
        case Condition::CandidateProven:
            return m.candidate_proven() || (!m.on(Guard::HookIsNoProof) && m.switchover_->hook_ok == true);
        case Condition::NewcomerProven:
            return m.newcomer_proven();
        case Condition::HookFailed:
            return m.switchover_->hook_ok == false;
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
            backoff_ = std::clamp(backoff_ * 2, backoff_min, backoff_max);
            retry_at_ = now_ + backoff_;
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
            SB_ASSERT(proven(), "a switch has a candidate");
            return store_intent(members_[*proven()].config.name);
        case Step::StoreTargetIntent:
            switchover_step("caught-up");
            return store_intent(switchover_->to);
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
            return store_active();
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
        case Step::BeginSwitchover:
            return begin_switchover();
        case Step::AskPositions:
            return ask_positions();
        case Step::Promote:
            return promote();
        case Step::EndSwitchover:
            return end_switchover(row);
    }
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

std::string Machine::why() const {
    if (verdict_.writer) {
        const MemberView& writer = members_[*verdict_.writer];
        return fmt::format("'{}' passes every check: {}", writer.config.name,
                           base::join(reasons(*verdict_.writer), "; "));
    }
    std::string text = verdict_.contested ? "several claim and none is strictly newer" : "nobody passes every check";
    for (std::size_t i = 0; i < members_.size(); ++i) {
        std::vector<std::string> failed;
        for (const Finding& finding : verdict_.members[i].findings) {
            if (!finding.passed) failed.push_back(explain(finding, members_[i], members_));
        }
        if (!failed.empty()) text += fmt::format("; '{}' {}", members_[i].config.name, base::join(failed, ", "));
    }
    return text;
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
    return state_ == State::Following || state_ == State::Unclear || state_ == State::Holding ||
           state_ == State::Draining || state_ == State::CatchingUp;
}

// No doubt of the active writer has begun: what it said last stands until something else is told.
bool Machine::undoubted() const {
    return state_ == State::Following || state_ == State::Draining || state_ == State::CatchingUp;
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
    const MonoTime until = proves_until(member, config_.probe, rules_);
    return now_ > std::max(until, attentive_since_ + silence_told_within(config_.probe));
}

void Machine::plan_tick() {
    MonoTime due = now_ + std::chrono::seconds(1);
    const auto consider = [&](MonoTime time) {
        if (time > now_) due = std::min(due, time);
    };
    if (state_ == State::Starting && retry_at_ != MonoTime{}) consider(retry_at_);
    if (state_ == State::Killing || state_ == State::PlannedKilling) consider(kill_deadline_);
    if (switchover_) consider(switchover_->deadline);
    if (wants_sessions()) consider(now_ + sessions_every);
    if (const auto writer = active(); writer && (epoch_goes_on() || before_hook())) {
        const ProbeConfig& probe = config_.probe;
        const MonoTime until = proves_until(members_[*writer], probe, rules_) + Duration(1);  // past it, not at it
        consider(until);
        consider(until + own_lag_max(probe, rules_));
        consider(std::max(until, attentive_since_ + silence_told_within(probe) + Duration(1)));
    }
    if (contested_since_) consider(*contested_since_ + config_.probe.deadline);
    if (unproven_claim_since_) consider(*unproven_claim_since_ + config_.probe.deadline);
    due_ = due;
}

}  // namespace signalbox::clusters
