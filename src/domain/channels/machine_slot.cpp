#include <algorithm>

#include "domain/channels/machine.hpp"

namespace signalbox::channels {

using base::MonoTime;

void Machine::absorb_slot(const SlotStatus& status, const Observation& observation) {
    if (status.exists && status.active) {
        if (!slot_ || !slot_->active) {
            // Whoever reads from this writer has connected to it as the writer.
            note_life(std::max(facts_.ended_at, slot_ ? seen_at_ : MonoTime{}), observation.completed_at);
        } else if (status.reply_time != slot_->reply_time || status.confirmed_lsn != slot_->confirmed_lsn) {
            note_life(seen_at_, observation.completed_at);
        }
    }
    slot_ = status;
    compare_with_memory(status);
}

void Machine::compare_with_memory(const SlotStatus& status) {
    const bool moved = memory_.epoch != 0 && status.timeline != memory_.timeline;
    if (moved && compared_timeline_ != status.timeline) {
        compared_timeline_ = status.timeline;
        former_ = Former{memory_.timeline, memory_.confirmed_lsn};
    }
    if (!status.exists) {
        if (memory_.missing) return;
        memory_.missing = true;
        keep(true);
        return;
    }
    const bool gap = memory_.epoch != 0 && ((moved && status.restart_lsn > memory_.confirmed_lsn) ||
                                            (memory_.missing && status.confirmed_lsn > memory_.confirmed_lsn));
    if (gap) {
        find({"slot-recreated", facts_.epoch, memory_.confirmed_lsn, status.confirmed_lsn,
              fmt::format(
                  "slot '{}' on writer '{}' was recreated: changes from {} (the last that was confirmed on '{}', epoch "
                  "{}) up to {} (where it begins) may never be delivered; take a new snapshot of what they "
                  "concern, then acknowledge",
                  config_.slot, facts_.writer, lsn_text(memory_.confirmed_lsn), memory_.member, memory_.epoch,
                  lsn_text(status.confirmed_lsn))});
    }
    Memory next = memory_;
    next.epoch = facts_.epoch;
    next.member = facts_.writer;
    next.timeline = status.timeline;
    next.restart_lsn = status.restart_lsn;
    next.confirmed_lsn = status.confirmed_lsn;
    next.missing = false;
    if (next == memory_) return;
    const bool durable = next.epoch != memory_.epoch || gap || memory_.missing;
    memory_ = std::move(next);
    keep(durable);
}

void Machine::settle_former() {
    if (!former_ || verdict_.is == Verdict::Is::Unknown || !facts_.routed) return;
    const Former former = *std::exchange(former_, std::nullopt);
    if (verdict_.is == Verdict::Is::Contained) return;
    find({"channel-diverged", facts_.epoch, former.confirmed_lsn, former.confirmed_lsn,
          fmt::format("the reader of slot '{}' has confirmed {} on timeline {}, which writer '{}' lacks ({}): what it "
                      "read at the "
                      "end was rolled back; compare its data with the cluster's, then acknowledge",
                      config_.slot, lsn_text(former.confirmed_lsn), former.timeline, facts_.writer, verdict_.missing)});
}

void Machine::alarm_slot() {
    if (facts_.routed) {
        std::optional<std::string> text;
        if (state_ == State::Missing && slot_) {
            text = memory_.epoch == 0
                       ? fmt::format(
                             "slot '{}' does not exist on writer '{}' and was never seen: create it, or mend its "
                             "name in the configuration",
                             config_.slot, facts_.writer)
                       : fmt::format(
                             "slot '{}' does not exist on writer '{}': changes from {} (the last that was "
                             "confirmed on '{}', epoch {}) on are not kept for its reader; the writer is at {}",
                             config_.slot, facts_.writer, lsn_text(memory_.confirmed_lsn), memory_.member,
                             memory_.epoch, lsn_text(slot_->current_lsn));
        }
        raise("slot-missing", text);
        text.reset();
        if (slot_ && slot_->exists && (slot_->wal_status == "lost" || slot_->wal_status == "unreserved")) {
            text = slot_->wal_status == "lost"
                       ? fmt::format(
                             "slot '{}' on '{}' has lost WAL that its reader needs, from {} on: it can't be read "
                             "from any more",
                             config_.slot, facts_.writer, lsn_text(slot_->confirmed_lsn))
                       : fmt::format(
                             "slot '{}' on '{}' is about to lose WAL that its reader needs, from {} on: let it "
                             "read, or raise max_slot_wal_keep_size",
                             config_.slot, facts_.writer, lsn_text(slot_->restart_lsn));
        }
        raise("slot-lost", text);
        text.reset();
        const MonoTime since = std::max({state_since_, facts_.routed_at, attentive_since_});
        if (state_ == State::Checking && slot_ && slot_->exists && !slot_->active &&
            now_ - since >= config_.heartbeat) {
            text = fmt::format("nobody reads from slot '{}' on '{}': it is at {}, the writer at {}", config_.slot,
                               facts_.writer, lsn_text(slot_->confirmed_lsn), lsn_text(slot_->current_lsn));
        }
        raise("channel-stopped", text);
    }
    std::optional<std::string> text;
    if (state_ == State::HalfDead) {
        text = fmt::format("the reader of slot '{}' on '{}' is connected and has replied nothing for more than {}",
                           config_.slot, facts_.writer, base::format_duration(config_.heartbeat));
    }
    raise("channel-half-dead", text);
    for (const char* kind : {"slot-recreated", "channel-diverged"}) {
        text.reset();
        for (const Finding& finding : memory_.findings) {
            if (finding.kind == kind) text = finding.text;
        }
        raise(kind, text);
    }
}

void Machine::raise(const std::string& kind, const std::optional<std::string>& text) {
    const auto known = alarms_.find(kind);
    if (text && known == alarms_.end()) {
        alarms_[kind] = *text;
        record("alarm", {{"alarm", kind}, {"text", *text}});
    } else if (!text && known != alarms_.end()) {
        record("alarm-cleared", {{"alarm", kind}, {"text", known->second}});
        alarms_.erase(known);
    }
}

void Machine::update_alarms() {
    std::optional<std::string> text;
    const bool asked = config_.kind == Kind::Replica || facts_.routed;
    if (asked && failure_ && now_ - unseen_since_ >= unseen_after) {
        text = fmt::format("channel '{}' can't be seen: {}", config_.name, failure_->text);
    }
    raise("channel-unseen", text);
    config_.kind == Kind::Slot ? alarm_slot() : alarm_replica();
}

}  // namespace signalbox::channels
