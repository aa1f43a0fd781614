// The follower's alarms: level-triggered, compared with what should be after each input.

#include "domain/clusters/machine.hpp"

namespace signalbox::clusters {
namespace {
constexpr base::Duration no_writer_after = std::chrono::seconds(1);
constexpr base::Duration fence_late_after = std::chrono::seconds(1);
}  // namespace

void Machine::raise(const std::string& kind, bool wanted, const std::string& text) {
    const auto known = alarms_.find(kind);
    if (wanted && known == alarms_.end()) {
        alarms_[kind] = text;
        record("alarm", epoch_, {{"alarm", kind}, {"text", text}});
    } else if (!wanted && known != alarms_.end()) {
        record("alarm-cleared", epoch_, {{"alarm", kind}, {"text", known->second}});
        alarms_.erase(known);
    }
}

void Machine::update_alarms() {
    // While a planned switchover waits for sessions and positions there is a writer.
    const bool no_writer = held_ && now_ - held_since_ >= no_writer_after && !switching_over();
    if (no_writer != alarms_.contains("no-writer")) {
        raise("no-writer", no_writer,
              fmt::format(
                  "cluster '{}' has had no proven writer for {}; new connections are held", config_.name,
                  base::format_duration(std::chrono::duration_cast<std::chrono::milliseconds>(now_ - held_since_))));
    }
    if (!store_error_.empty() || alarms_.contains("store")) {
        const bool failing = !store_error_.empty() && state_ != State::Following;
        raise("store", failing,
              fmt::format("the store refused: {}; no epoch can be committed, so nothing is switched", store_error_));
    }
    if (position_error_.empty() == alarms_.contains("stored-position")) {
        raise("stored-position", !position_error_.empty(),
              fmt::format("what the store holds as confirmed in cluster '{}' can't be read, and is not asked for: {}",
                          config_.name, position_error_));
    }
    if (unfenced_.empty() == alarms_.contains("unfenced")) {
        raise("unfenced", !unfenced_.empty(),
              fmt::format("the fence of epoch {} is traffic-fenced only: {}", pending_ != 0 ? pending_ : epoch_,
                          base::join(unfenced_, "; ")));
    }
    const bool fencing = state_ == State::Barrier || state_ == State::PlannedBarrier;
    const bool late = fencing && now_ - fence_at_ >= fence_late_after;
    if (late != alarms_.contains("fence-late")) {
        raise("fence-late", late,
              fmt::format("the fence of epoch {} is not acknowledged by every shard; the switch waits", pending_));
    }
    alarm_verdict();
    alarm_members();
}

void Machine::alarm_verdict() {
    if (!verdict_.contested) contested_since_.reset();
    if (verdict_.contested && !contested_since_) contested_since_ = now_;
    const bool contested = contested_since_ && now_ - *contested_since_ >= config_.probe.deadline;
    if (contested != alarms_.contains("contested")) {
        std::string who;
        for (const MemberView& member : members_) {
            if (!member.claims_writer(rules_) || member.failure) continue;
            who += fmt::format("{}'{}' has {}", who.empty() ? "" : ", ", member.config.name, member.history.text());
        }
        raise(
            "contested", contested,
            fmt::format("several members claim to be the writer and none is strictly newer: {}; traffic is held until "
                        "one of them withdraws",
                        who));
    }
    bool lacking = false;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const MemberView& member = members_[i];
        if (!member.claims_writer(rules_) || member.failure || verdict_.members[i].passed(Check::History)) continue;
        lacking = lacking || member.sent_at > continuity_.updated_at;
    }
    if (verdict_.writer || !lacking) unproven_claim_since_.reset();
    if (!verdict_.writer && lacking && !unproven_claim_since_) unproven_claim_since_ = now_;
    const bool history = unproven_claim_since_ && now_ - *unproven_claim_since_ >= config_.probe.deadline;
    if (history == alarms_.contains("history")) return;
    std::string text;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        for (const Finding& finding : verdict_.members[i].findings) {
            if (finding.check != Check::History || finding.passed || !members_[i].claims_writer(rules_)) continue;
            text += fmt::format("{}'{}' {}", text.empty() ? "" : ", ", members_[i].config.name,
                                explain(finding, members_[i], members_));
        }
    }
    raise("history", history,
          fmt::format("no member that claims to be the writer has the position {}: {}; acknowledged writes would be "
                      "lost, so traffic is held",
                      continuity_.position.text(), text));
}

void Machine::alarm_members() {
    const auto writer = active();
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const MemberView& member = members_[i];
        const std::string& name = member.config.name;
        const auto set = [&](const char* kind, bool wanted, auto&& text) {
            if (!wanted && alarms_.empty()) return;
            std::string key = fmt::format("{}:{}", kind, name);
            if (wanted != alarms_.contains(key)) raise(key, wanted, wanted ? text() : std::string());
        };
        const bool asked = member.failure && (member.failure->kind == ProbeFailureKind::LoginDenied ||
                                              member.failure->kind == ProbeFailureKind::ServerError ||
                                              member.failure->kind == ProbeFailureKind::Incomplete);
        set("probe", asked, [&] {
            return fmt::format("member '{}' at {} answers user '{}' with {} (code {}): {}; it counts as unknown", name,
                               member.config.address.text(), config_.user, to_string(member.failure->kind),
                               member.failure->code, member.failure->text);
        });
        set("stray-writes", strays_.contains(name), [&] {
            return fmt::format("'{}' wrote {} although '{}' is the writer of epoch {}: some client reaches it directly",
                               name, strays_.at(name).text(), active_name_, epoch_);
        });
        if (!member.evidence) continue;
        const bool stray_claim = !member.failure && member.claims_writer(rules_) && state_ == State::Following &&
                                 writer && *writer != i && now_ - active_since_ >= config_.probe.deadline;
        set("stray-claim", stray_claim, [&] {
            return fmt::format("'{}' claims to be the writer beside '{}' of epoch {}, and is not believed", name,
                               active_name_, epoch_);
        });
        const MemberView* twin = nullptr;
        for (const MemberView& other : members_) {
            if (&other == &member || !other.evidence) continue;
            const bool uid =
                !member.evidence->server_uid.empty() && member.evidence->server_uid == other.evidence->server_uid;
            // PostgreSQL's is the timeline, the same for all.
            const bool id =
                config_.engine != Engine::PostgreSql && member.evidence->server_id == other.evidence->server_id;
            if (uid || id) twin = &other;
        }
        set("identity", twin != nullptr, [&] {
            return fmt::format("'{}' and '{}' have the same server_id {} or server_uid {}: give each server its own",
                               name, twin->config.name, member.evidence->server_id, member.evidence->server_uid);
        });
        set("other-cluster", member.foreign, [&] {
            std::string text =
                fmt::format("'{}' at {} belongs to another cluster and is not believed: its system identifier is {}",
                            name, member.config.address.text(), member.evidence->cluster_uid);
            if (!cluster_uid_.empty()) return fmt::format("{}, that of '{}' is {}", text, config_.name, cluster_uid_);
            for (const MemberView& other : members_) {
                const bool differs = other.evidence && other.evidence->cluster_uid != member.evidence->cluster_uid;
                if (!differs) continue;
                return fmt::format("{}, that of '{}' is {}", text, other.config.name, other.evidence->cluster_uid);
            }
            return text;
        });
        set("uid-changed", member.evidence->server_uid != member.uid_first, [&] {
            return fmt::format("'{}' at {} is another installation than before: server_uid {}, was {}", name,
                               member.config.address.text(), member.evidence->server_uid, member.uid_first);
        });
        const ReplicationSource* unmatched = nullptr;
        for (std::size_t s = 0; s < member.sources.size(); ++s) {
            if (!member.sources[s].member && member.sources[s].io_running) unmatched = &member.evidence->sources[s];
        }
        set("unmatched-source", unmatched != nullptr, [&] {
            return fmt::format(
                "'{}' replicates from {}, which is no member's address: write members' addresses as "
                "replication knows them",
                name, unmatched->address.text());
        });
    }
}

}  // namespace signalbox::clusters
