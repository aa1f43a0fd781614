// A planned switchover: who may be its target, when it is caught up, and how it ends.

#include "domain/clusters/machine.hpp"

namespace signalbox::clusters {

using base::ErrorKind;
using base::fail;

base::Status Machine::may_switch_over(const std::string& to) const {
    if (config_.switchover.hook.empty()) {
        return fail(ErrorKind::NotSupported,
                    "cluster '{}' has no switchover.hook: without a program that promotes a member none can be made "
                    "the writer",
                    config_.name);
    }
    if (switchover_) {
        return fail(ErrorKind::Conflict, "a switchover of cluster '{}' to '{}' is under way", config_.name,
                    switchover_->to);
    }
    const auto index = index_of(to);
    if (!index) {
        std::vector<std::string> known;
        for (const MemberView& member : members_) known.push_back(member.config.name);
        return fail(ErrorKind::NotFound, "cluster '{}' has no member '{}': its members are {}", config_.name, to,
                    base::join(known, ", "));
    }
    if (state_ != State::Following || !active_proven()) {
        return fail(ErrorKind::Conflict,
                    "no switchover of cluster '{}' begins while it is {}: it must be following a proven writer",
                    config_.name, to_string(state_));
    }
    if (index == active()) {
        return fail(ErrorKind::AlreadyExists, "'{}' is the writer of cluster '{}' already", to, config_.name);
    }
    SB_CHECK(target_fit(*index));
    const auto& lag = members_[*index].evidence->lag;
    if (lag && *lag > config_.switchover.catch_up) {
        const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(*lag);
        return fail(ErrorKind::Unavailable, "'{}' lags {} behind, more than switchover.catch_up of {}", to,
                    base::format_duration(ms), base::format_duration(config_.switchover.catch_up));
    }
    return {};
}

base::Status Machine::target_fit(std::size_t index) const {
    const MemberView& member = members_[index];
    const std::string& name = member.config.name;
    if (!answers(member, config_.probe.misses)) return fail(ErrorKind::Unavailable, "'{}' does not answer", name);
    if (member.foreign) return fail(ErrorKind::Unavailable, "'{}' belongs to another cluster", name);
    if (member.claims_writer(rules_))
        return fail(ErrorKind::Unavailable, "'{}' is no reader: it claims to write", name);
    for (const SourceView& source : member.sources) {
        if (source.member == active() && source.io_running) return {};
    }
    // Where the storage replicates, the topology lists the readers.
    for (const TopologyRow& row : member.evidence->topology) {
        if (names(row, member)) return {};
    }
    return fail(ErrorKind::Unavailable, "'{}' does not receive from the writer '{}'", name, active_name_);
}

bool Machine::before_hook() const {
    return state_ == State::PlannedIntent || state_ == State::PlannedBarrier || state_ == State::PlannedKilling ||
           state_ == State::Checking;
}

bool Machine::switching_over() const {
    return state_ == State::Draining || state_ == State::CatchingUp || before_hook() || hook_open();
}

bool Machine::target_unfit() const {
    const auto index = index_of(switchover_->to);
    // Where the former writer may still get traffic through us, promoting another one would make two.
    const bool open = before_hook() && !unfenced_.empty();
    return !index || open || !target_fit(*index);
}

bool Machine::caught_up() const {
    const auto index = index_of(switchover_->to);
    return index && switchover_->goal && answers(members_[*index], config_.probe.misses) &&
           members_[*index].history.contains(*switchover_->goal);
}

bool Machine::newcomer_proven() const { return other_proven() && !candidate_proven(); }

void Machine::switchover_step(std::string_view step, base::json::object data) {
    data["step"] = step;
    data["from"] = switchover_->from;
    data["to"] = switchover_->to;
    record("switchover", pending_ != 0 ? pending_ : epoch_, std::move(data));
}

void Machine::begin_switchover() {
    switchover_->from = active_name_;
    switchover_->since = now_;
    switchover_->deadline = now_ + config_.switchover.drain;
    switchover_step("asked");
}

void Machine::ask_positions() {
    if (state_ == State::CatchingUp) switchover_step("drained", {{"all", switchover_->drained}});
    switchover_->asked_at = now_;
    switchover_->goal.reset();
    switchover_->deadline = now_ + config_.switchover.catch_up;
    actions_.push_back(action::Wake{});
}

// The goal stays where it was set: clients that reach the writer directly must not move it away for ever.
void Machine::note_goal(std::size_t index) {
    if (state_ != State::CatchingUp && state_ != State::Checking) return;
    if (switchover_->goal || active() != index || members_[index].sent_at <= switchover_->asked_at) return;
    switchover_->goal = members_[index].history.newest();
}

void Machine::promote() {
    const auto target = index_of(switchover_->to);
    switchover_->hook_started = true;
    switchover_->deadline = now_ + config_.switchover.promote;
    switchover_step("promoting");
    const base::HostPort address = target ? members_[*target].config.address : base::HostPort{};
    actions_.push_back(
        action::Promote{pending_, switchover_->from, switchover_->to, address, config_.switchover.promote});
}

void Machine::absorb_promoted(const input::PromoteDone& promoted) {
    actions_.push_back(action::Wake{});
    if (!hook_open() || promoted.epoch != pending_ || switchover_->hook_ok) {
        // A hook that was given up may have done its work after all: what was answered before proves nothing.
        if (promoted.epoch == pending_ && pending_ != 0 && on(Guard::AnswersSinceHook)) not_before_ = now_;
        return;
    }
    switchover_->hook_ok = promoted.ok;
    switchover_->text = promoted.text;
    switchover_step("promoted", {{"ok", promoted.ok}, {"text", promoted.text}});
}

void Machine::end_switchover(const Transition& row) {
    if (!switchover_) return;
    if (switchover_->hook_started && on(Guard::AnswersSinceHook)) not_before_ = now_;
    if (switchover_->since != base::MonoTime{}) {
        base::json::object data{{"why", row.why.empty() ? "the cluster's members or state changed" : row.why}};
        if (!row.why.empty()) data["when"] = to_string(row.when);
        const auto target = index_of(switchover_->to);
        if (target) {
            if (const auto fit = target_fit(*target); !fit) data["target"] = fit.error().text();
            if (switchover_->goal) {
                const auto missing = members_[*target].history.first_missing(*switchover_->goal);
                if (missing) data["missing"] = missing->text();
            }
        }
        if (!unfenced_.empty()) data["unfenced"] = base::join(unfenced_, "; ");
        if (!switchover_->text.empty()) data["hook"] = switchover_->text;
        switchover_step("given-up", std::move(data));
    }
    switchover_.reset();
}

}  // namespace signalbox::clusters
