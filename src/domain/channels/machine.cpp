#include "domain/channels/machine.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace signalbox::channels {
namespace {

using base::Duration;
using base::MonoTime;
namespace json = base::json;

constexpr int firings_max = 16;  // rows fired for one input
constexpr Duration tick_fast = std::chrono::milliseconds(100);
constexpr Duration tick_calm = std::chrono::seconds(1);

}  // namespace

std::string lsn_text(std::uint64_t lsn) { return fmt::format("{:X}/{:X}", lsn >> 32U, lsn & 0xFFFFFFFFU); }

Machine::Machine(ChannelConfig config, Memory memory) : config_(std::move(config)), memory_(std::move(memory)) {}

std::vector<Action> Machine::start(MonoTime now) {
    now_ = now;
    state_since_ = attentive_since_ = unseen_since_ = now;
    actions_.clear();
    fire();
    update_alarms();
    plan();
    return std::exchange(actions_, {});
}

std::vector<Action> Machine::step(const Input& input, MonoTime now) {
    now_ = std::max(now, now_);
    actions_.clear();
    absorb(input);
    fire();
    update_alarms();
    plan();
    return std::exchange(actions_, {});
}

std::string Machine::position() const {
    if (config_.kind == Kind::Slot)
        return former_ ? fmt::format("{}@{}", former_->timeline, lsn_text(former_->confirmed_lsn)) : std::string();
    return replica_ && !failure_ ? replica_->position : std::string();
}

void Machine::absorb(const Input& input) {
    if (const auto* facts = std::get_if<input::Facts>(&input)) {
        verdict_ = facts->verdict;
        absorb_facts(facts->facts);
        settle_former();
    } else if (const auto* observed = std::get_if<input::Observed>(&input)) {
        verdict_ = observed->verdict;
        absorb_observation(*observed->observation);
    } else if (const auto* ended = std::get_if<input::RestartEnded>(&input)) {
        absorb_restart(*ended);
    } else if (std::holds_alternative<input::Acknowledged>(input) && !memory_.findings.empty()) {
        record("channel-acknowledged", {{"findings", memory_.findings.size()}});
        memory_.findings.clear();
        keep(true);
    }
}

void Machine::absorb_facts(const ClusterFacts& facts) {
    const bool moved = facts.epoch != facts_.epoch || facts.writer != facts_.writer;
    const bool unclear = facts.routed != facts_.routed;
    if (facts.epoch < facts_.epoch) return;  // overtaken
    facts_ = facts;
    if (first_epoch_ == 0) first_epoch_ = facts.epoch;
    if (moved) {
        backoff_ = backoff_min;
        retry_at_ = now_;
        // What was seen of a slot was another server's.
        slot_.reset();
        if (config_.kind == Kind::Slot) unseen_since_ = now_;
    }
    if (moved || unclear) {
        attentive_since_ = now_;
        actions_.emplace_back(action::Wake{});
    }
}

void Machine::absorb_observation(const Observation& observation) {
    if (observation.sent_at < sent_at_) return;
    // A slot is the present writer's: what the former one still says is of no use.
    if (config_.kind == Kind::Slot && (!facts_.routed || observation.member != facts_.writer)) return;
    if (const auto* failure = std::get_if<Failure>(&observation.result)) {
        if (!failure_) unseen_since_ = now_;
        failure_ = *failure;
        sent_at_ = observation.sent_at;
        return;
    }
    failure_.reset();
    if (const auto* replica = std::get_if<ReplicaStatus>(&observation.result)) {
        absorb_replica(*replica, observation);
    } else {
        absorb_slot(std::get<SlotStatus>(observation.result), observation);
    }
    sent_at_ = observation.sent_at;
    seen_at_ = observation.completed_at;
}

void Machine::note_life(MonoTime not_before, MonoTime seen) {
    life_not_before_ = not_before;
    life_seen_at_ = seen;
    lags_since_.reset();
}

void Machine::find(Finding finding) {
    for (const Finding& known : memory_.findings) {
        if (known.kind == finding.kind && known.from_lsn == finding.from_lsn && known.to_lsn == finding.to_lsn) return;
    }
    record(finding.kind, to_json(finding));
    if (memory_.findings.size() >= Memory::findings_max) memory_.findings.erase(memory_.findings.begin());
    memory_.findings.push_back(std::move(finding));
    keep(true);
}

void Machine::keep(bool durable) {
    unstored_ = true;
    if (!durable && now_ - stored_at_ < store_interval && stored_at_ != MonoTime{}) return;
    unstored_ = false;
    stored_at_ = now_;
    actions_.emplace_back(action::Store{memory_, durable});
}

bool Machine::holds(Condition condition) const {
    switch (condition) {
        case Condition::WriterKnown:
            return facts_.routed;
        case Condition::NoWriter:
            return !facts_.routed;
        case Condition::WriterMoved:
            return facts_.routed && facts_.epoch != proven_epoch_;
        case Condition::Reads:
            return reads();
        case Condition::ReadsNot:
            return seen() && !running();
        case Condition::Silent:
            return seen() && running() && silent();
        case Condition::Alive:
            return seen() && running() && !silent();
        case Condition::OperatorStopped:
            return stopped_by_operator();
        case Condition::StoppedNoMore:
            return seen() && !stopped_by_operator();
        case Condition::PositionMissing:
            return position_missing();
        case Condition::PositionContained:
            return seen() && verdict_.is == Verdict::Is::Contained;
        case Condition::UnfitAsConfigured:
            return seen() && unfit();
        case Condition::FitAgain:
            return seen() && !unfit();
        case Condition::RestartDue:
            return restart_due();
        case Condition::RestartEnded:
            return restart_ended_ >= state_since_ && serial_ended_ == serial_;
        case Condition::SlotMissing:
            return !failure_ && slot_ && !slot_->exists;
        case Condition::SlotExists:
            return !failure_ && slot_ && slot_->exists;
    }
    return false;
}

bool Machine::running() const {
    if (config_.kind == Kind::Slot) return slot_ && slot_->exists && slot_->active;
    return replica_ && replica_->io == Thread::Running;
}

bool Machine::reads() const {
    return facts_.routed && seen() && running() && life_not_before_ >= facts_.ended_at &&
           life_not_before_ != MonoTime{} && !silent();
}

void Machine::fire() {
    for (int count = 0; count < firings_max; ++count) {
        const Transition* taken = nullptr;
        for (const Transition& row : transitions(config_.kind)) {
            if (row.from != state_ || !holds(row.when)) continue;
            taken = &row;
            break;
        }
        if (taken == nullptr) return;
        for (const Step step : taken->steps) perform(step);
        enter(taken->to);
    }
    SB_ASSERT(false, "the rows of one input come to an end");
}

void Machine::enter(State state) {
    if (state == State::Checking && (state_ == State::Following || state_ == State::HalfDead)) attentive_since_ = now_;
    state_ = state;
    state_since_ = now_;
    if (state != State::Following) return;
    proven_epoch_ = facts_.epoch;
    broken_ = half_dead_ = false;
    backoff_ = backoff_min;
    retry_at_ = now_;
    restart_text_.clear();
}

void Machine::perform(Step step) {
    switch (step) {
        case Step::Restart: {
            const bool resume = memory_.restarting;
            memory_.restarting = true;
            keep(true);
            ++restarts_;
            if (replica_->io == Thread::Stopped) fatal_epoch_ = facts_.epoch;
            record("channel-restart", {{"position", replica_->position},
                                       {"io_error", replica_->io_error},
                                       {"io_error_text", replica_->io_error_text},
                                       {"retry_ms", base::to_ms(replica_->retry)}});
            actions_.emplace_back(action::Restart{++serial_, resume});
            break;
        }
        case Step::RecordResumed:
            if (proven_epoch_ == facts_.epoch && !broken_ && !half_dead_) break;
            if (proven_epoch_ != facts_.epoch && !first_epoch()) last_resume_ = now_ - facts_.routed_at;
            ++resumes_;
            record("channel-resumed", {{"writer", facts_.writer},
                                       {"after_ms", base::to_ms(now_ - facts_.routed_at)},
                                       {"again", proven_epoch_ == facts_.epoch}});
            break;
        case Step::RecordBroken:
            broken_ = true;
            record("channel-broken", {{"io_error", replica_ ? replica_->io_error : 0},
                                      {"io_error_text", replica_ ? replica_->io_error_text : std::string()}});
            break;
        case Step::RecordHalfDead:
            half_dead_ = true;
            record("channel-half-dead", {{"silent_ms", base::to_ms(seen_at_ - life_seen_at_)}});
            break;
        case Step::RecordStopped:
            record("channel-stopped", {{"io_error", replica_->io_error}, {"sql_running", replica_->sql_running}});
            break;
        case Step::RecordDiverged:
            record("channel-diverged", {{"position", replica_->position}, {"missing", verdict_.missing}});
            break;
        case Step::RecordMissing:
            record("slot-missing", {{"slot", config_.slot},
                                    {"from_lsn", lsn_text(memory_.confirmed_lsn)},
                                    {"to_lsn", lsn_text(slot_->current_lsn)},
                                    {"last_seen_epoch", memory_.epoch}});
            break;
        case Step::RecordBack:
            record("slot-back", {{"slot", config_.slot}, {"restart_lsn", lsn_text(slot_->restart_lsn)}});
            break;
    }
}

void Machine::record(std::string kind, json::object data) {
    data["cluster"] = config_.cluster;
    actions_.emplace_back(action::Record{std::move(kind), std::move(data)});
}

void Machine::plan() {
    const bool unclear =
        state_ != State::Following && state_ != State::Stopped && state_ != State::Diverged && state_ != State::Unfit;
    const bool fast = unclear && now_ - attentive_since_ < fast_for;
    if (fast_ != fast) {
        fast_ = fast;
        actions_.emplace_back(action::SetCadence{fast});
    }
    if (unstored_) keep(false);
    due_ = now_ + (fast ? tick_fast : tick_calm);
}

}  // namespace signalbox::channels
