#include "domain/clusters/belief.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace signalbox::clusters {
namespace {

std::optional<std::size_t> member_at(const std::vector<MemberView>& members, const base::HostPort& address) {
    for (std::size_t i = 0; i < members.size(); ++i) {
        if (members[i].config.address == address) return i;
    }
    return std::nullopt;
}

std::string_view product(Engine engine) {
    switch (engine) {
        case Engine::MariaDb:
            return "MariaDB";
        case Engine::MySql:
            return "MySQL";
        case Engine::PostgreSql:
            return "PostgreSQL";
    }
    return "?";
}

// The facts of a whole answer, or why it is none.
base::Status read_answer(MemberView& view, const std::vector<MemberView>& members, const Evidence& evidence,
                         const ClusterConfig& config, const Rules& rules) {
    if (evidence.engine != config.engine) {
        return base::fail(base::ErrorKind::CorruptData, "it is a {} server, and the cluster is configured as {}",
                          product(evidence.engine), product(config.engine));
    }
    if (!config.topology.query.empty() && evidence.topology.empty() && rules.on(Guard::EmptyAnswerIsUnknown)) {
        return base::fail(base::ErrorKind::CorruptData,
                          "its topology has no row: expected one per member from the topology query");
    }
    SB_TRY(auto history, Position::parse(config.engine, evidence.binlog_state));
    SB_TRY(auto applied, Position::parse(config.engine, evidence.applied));
    std::vector<SourceView> sources;
    for (const ReplicationSource& source : evidence.sources) {
        SB_TRY(auto received, Position::parse(config.engine, source.received));
        sources.push_back({member_at(members, source.address), source.io_running, std::move(received)});
    }
    // A server that does not log what it replicates has applied more than its own log shows.
    history.join(applied);
    view.history = std::move(history);
    view.applied = std::move(applied);
    view.sources = std::move(sources);
    return {};
}

void take_failure(MemberView& view, ProbeFailure failure) {
    const bool missed = failure.kind == ProbeFailureKind::TimedOut;
    view.misses = missed ? view.misses + 1 : 0;
    view.only_missed = view.only_missed && missed;
    view.failure = std::move(failure);
}

bool is_fresh(const MemberView& member, const BeliefContext& context, bool undoubted, base::MonoTime now) {
    if (member.sent_at < context.not_before) return false;
    if (!context.rules.on(Guard::Freshness)) return true;
    const auto lag = undoubted ? own_lag_max(context.probe, context.rules) : base::Duration(0);
    return now <= proves_until(member, context.probe, context.rules) + lag;
}

// One process under two names. The uid alone is too weak: machines cloned from one image may share it.
bool same_server(const MemberView& a, const MemberView& b) {
    return !a.evidence->server_uid.empty() && a.evidence->server_uid == b.evidence->server_uid &&
           a.evidence->server_id == b.evidence->server_id;
}

class Judge {
  public:
    Judge(const std::vector<MemberView>& members, const BeliefContext& context, base::MonoTime now)
        : members_(members), context_(context), now_(now), answering_(members.size()) {
        for (std::size_t i = 0; i < members.size(); ++i) {
            answering_[i] = answers(members[i], context.probe.misses) && fresh(i);
        }
        read_topology();
    }

    Verdict verdict() const {
        Verdict verdict;
        verdict.members.resize(members_.size());
        std::vector<std::size_t> eligible;
        for (std::size_t i = 0; i < members_.size(); ++i) {
            own_checks(i, verdict.members[i]);
            if (verdict.members[i].all()) eligible.push_back(i);
        }
        for (std::size_t i = 0; i < members_.size(); ++i) {
            if (!answering_[i]) continue;
            contradictions(i, verdict.members[i]);
            topology_agrees(i, verdict.members[i]);
        }
        contest(eligible, verdict);
        for (const std::size_t i : eligible) {
            if (!verdict.members[i].all()) continue;
            // With the guard of the contest in place at most one passes.
            if (!verdict.writer) verdict.writer = i;
        }
        return verdict;
    }

  private:
    bool on(Guard guard) const { return context_.rules.on(guard); }
    bool fresh(std::size_t index) const {
        return is_fresh(members_[index], context_, context_.undoubted && context_.active == index, now_);
    }

    void own_checks(std::size_t index, MemberFindings& out) const {
        const MemberView& member = members_[index];
        const auto add = [&](Check check, bool passed, std::optional<std::size_t> other = {}) {
            out.findings.push_back({check, passed, other, {}});
        };
        add(Check::Answers, answers(member, context_.probe.misses));
        if (!member.evidence) return;
        const Evidence& evidence = *member.evidence;
        add(Check::Fresh, fresh(index));
        add(Check::Writable, !on(Guard::Writable) || !evidence.read_only);
        add(Check::InnodbWritable, !on(Guard::Writable) || !evidence.innodb_read_only);
        add(Check::ReplicatesFromNobody, !on(Guard::ReplicatesFromNobody) || evidence.sources.empty());
        std::optional<std::size_t> twin;
        for (std::size_t j = 0; j < members_.size() && on(Guard::Identity); ++j) {
            if (j != index && answering_[j] && same_server(member, members_[j])) twin = j;
        }
        add(Check::Identity, !twin, twin);
        same_cluster(index, out);
        history(index, out);
        add(Check::OldClaimEnds, !member.old_claim || !on(Guard::OldClaimEnds));
        others_asked(index, out);
    }

    void same_cluster(std::size_t index, MemberFindings& out) const {
        if (members_[index].evidence->cluster_uid.empty()) return;
        std::optional<std::size_t> other;
        for (std::size_t j = 0; j < members_.size() && members_[index].foreign; ++j) {
            const bool differs = members_[j].evidence && !members_[j].evidence->cluster_uid.empty() &&
                                 members_[j].evidence->cluster_uid != members_[index].evidence->cluster_uid;
            if (differs) other = j;
        }
        out.findings.push_back({Check::SameCluster, !members_[index].foreign, other, {}});
    }

    void history(std::size_t index, MemberFindings& out) const {
        const MemberView& member = members_[index];
        std::optional<Position> missing;
        if (on(Guard::HistoryContained)) missing = member.history.first_missing(context_.continuity.position);
        // The active writer's answer may be older than what a reader has just confirmed of it: no contradiction.
        if (context_.active == index && member.sent_at <= context_.continuity.updated_at) missing.reset();
        out.findings.push_back({Check::History, !missing, std::nullopt, missing ? missing->text() : std::string()});
    }

    // Of all rows that name a writer only those of the newest stamp count: a reader that lags shows an old writer with
    // the stamp that it had then.
    void read_topology() {
        for (std::size_t i = 0; i < members_.size(); ++i) {
            // Whose claim is the old one shows its old topology, perhaps with new stamps.
            if (!answering_[i] || members_[i].foreign || members_[i].old_claim) continue;
            for (const TopologyRow& row : members_[i].evidence->topology) {
                if (!row.writer) continue;
                if (!named_.empty() && row.updated_us < named_.front()->updated_us) continue;
                if (!named_.empty() && row.updated_us > named_.front()->updated_us) named_.clear();
                named_.push_back(&row);
            }
        }
    }

    void topology_agrees(std::size_t index, MemberFindings& out) const {
        if (members_[index].evidence->topology.empty()) return;
        const bool named = std::any_of(named_.begin(), named_.end(),
                                       [&](const TopologyRow* row) { return names(*row, members_[index]); });
        // Rows that name nobody contradict nobody: who is up is not kept waiting for more of them.
        const bool passed = named_.empty() || named || !on(Guard::TopologyAgrees);
        out.findings.push_back({Check::TopologyAgrees, passed, {}, passed ? std::string() : named_.front()->name});
    }

    // Silence is no contradiction, but a member that was not asked yet is not silent.
    void others_asked(std::size_t index, MemberFindings& out) const {
        std::optional<std::size_t> unasked;
        for (std::size_t j = 0; j < members_.size() && on(Guard::OthersAsked); ++j) {
            if (j != index && !members_[j].evidence && !members_[j].failure) unasked = j;
        }
        if (context_.active == index) unasked.reset();  // a member that was added does not shake who is proven
        out.findings.push_back({Check::OthersAsked, !unasked, unasked, {}});
    }

    // A member that receives from X knows that X lives. If X itself is silent to us, X may be the writer. If X
    // answers, its own word decides (and, when it claims too, the contest).
    void contradictions(std::size_t index, MemberFindings& out) const {
        std::optional<std::size_t> witness;
        for (std::size_t j = 0; j < members_.size() && on(Guard::ReaderContradicts); ++j) {
            if (j == index || !answering_[j] || members_[j].foreign) continue;
            for (const SourceView& source : members_[j].sources) {
                const bool of_another = source.io_running && source.member && *source.member != index;
                if (of_another && *source.member != j && !answering_[*source.member]) witness = j;
            }
        }
        // PostgreSQL: who answers on a timeline that branched off the candidate's knows of a later promotion.
        std::string detail;
        for (std::size_t j = 0; j < members_.size() && on(Guard::ReaderContradicts) && !witness; ++j) {
            if (j == index || !answering_[j] || members_[j].foreign) continue;
            if (members_[j].evidence->engine != Engine::PostgreSql) continue;
            if (!members_[j].history.newer_than(members_[index].history)) continue;
            witness = j;
            detail = members_[j].history.text();
        }
        out.findings.push_back({Check::NotContradicted, !witness, witness, std::move(detail)});
    }

    bool strictly_newer(std::size_t a, std::size_t b) const {
        return members_[a].history.newer_than(members_[b].history);
    }

    void contest(const std::vector<std::size_t>& eligible, Verdict& verdict) const {
        if (!on(Guard::NewestClaimWins)) return;
        bool won = eligible.size() <= 1;
        for (const std::size_t i : eligible) {
            std::optional<std::size_t> rival;
            for (const std::size_t j : eligible) {
                if (j != i && !strictly_newer(i, j)) rival = j;
            }
            won = won || !rival;
            verdict.members[i].findings.push_back({Check::Newest, !rival, rival, {}});
        }
        verdict.contested = !won;
    }

    const std::vector<MemberView>& members_;
    const BeliefContext& context_;
    base::MonoTime now_;
    std::vector<bool> answering_;
    std::vector<const TopologyRow*> named_;  // rows that name a writer, those of the newest stamp
};

}  // namespace

std::string_view to_string(Guard guard) {
    static constexpr std::string_view names[guard_count] = {"intent-before-fence",
                                                            "fence-barrier",
                                                            "barrier-of-this-epoch",
                                                            "kill-before-commit",
                                                            "commit-before-route",
                                                            "store-failure-stops",
                                                            "epoch-never-reused",
                                                            "candidate-rechecked",
                                                            "start-fenced",
                                                            "withdrawn-needs-epoch",
                                                            "hold-when-unclear",
                                                            "freshness",
                                                            "stale-sequence",
                                                            "empty-answer-is-unknown",
                                                            "own-delay-is-no-miss",
                                                            "writable",
                                                            "replicates-from-nobody",
                                                            "history-contained",
                                                            "others-confirm-position",
                                                            "newest-claim-wins",
                                                            "reader-contradicts",
                                                            "old-claim-ends",
                                                            "others-asked",
                                                            "identity",
                                                            "same-cluster",
                                                            "topology-agrees",
                                                            "caught-up-before-promote",
                                                            "hook-is-no-proof",
                                                            "answers-since-hook",
                                                            "discovered-by-address",
                                                            "doubt-needs-a-miss"};
    return names[static_cast<std::size_t>(guard)];
}

bool MemberView::claims_writer(const Rules& rules) const {
    if (!evidence) return false;
    return (!rules.on(Guard::Writable) || (!evidence->read_only && !evidence->innodb_read_only)) &&
           (!rules.on(Guard::ReplicatesFromNobody) || evidence->sources.empty());
}

bool MemberFindings::passed(Check check) const {
    return std::any_of(findings.begin(), findings.end(),
                       [&](const Finding& finding) { return finding.check == check && finding.passed; });
}

bool MemberFindings::all() const {
    // Without an answer there are no further findings, and Answers itself has failed.
    return !findings.empty() &&
           std::all_of(findings.begin(), findings.end(), [](const Finding& finding) { return finding.passed; });
}

bool observe(std::vector<MemberView>& members, std::size_t index, const Observation& observation,
             const ClusterConfig& config, const Rules& rules) {
    SB_ASSERT(index < members.size(), "an observation is of a known member");
    MemberView& view = members[index];
    if (rules.on(Guard::StaleSequence) && observation.sequence <= view.sequence) return false;
    view.sequence = observation.sequence;
    if (const auto* failure = std::get_if<ProbeFailure>(&observation.result)) {
        if (failure->kind == ProbeFailureKind::OurOwnDelay && rules.on(Guard::OwnDelayIsNoMiss)) return true;
        if (failure->kind == ProbeFailureKind::Incomplete && !rules.on(Guard::EmptyAnswerIsUnknown)) {
            // What a follower does that reads an empty answer as "not read-only".
            Evidence empty = view.evidence.value_or(Evidence{});
            empty.read_only = empty.innodb_read_only = false;
            empty.sources.clear();
            view.sources.clear();
            view.evidence = std::move(empty);
            view.sent_at = observation.sent_at;
            view.completed_at = observation.completed_at;
            view.failure.reset();
            view.only_missed = true;
            return true;
        }
        take_failure(view, *failure);
        return true;
    }
    const Evidence& evidence = std::get<Evidence>(observation.result);
    if (const auto read = read_answer(view, members, evidence, config, rules); !read) {
        take_failure(view, {ProbeFailureKind::Incomplete, 0, read.error().text()});
        return true;
    }
    if (view.uid_first.empty()) view.uid_first = evidence.server_uid;
    view.evidence = evidence;
    view.sent_at = observation.sent_at;
    view.completed_at = observation.completed_at;
    view.failure.reset();
    view.only_missed = true;
    view.misses = 0;
    return true;
}

void mark_foreign(std::vector<MemberView>& members, const std::string& cluster_uid, const Rules& rules) {
    const auto uid_of = [](const MemberView& member) -> const std::string& {
        static const std::string none;
        return member.evidence && !member.failure ? member.evidence->cluster_uid : none;
    };
    std::string expected = cluster_uid;
    std::ptrdiff_t most = 0;
    bool tie = false;
    for (std::size_t i = 0; i < members.size() && cluster_uid.empty(); ++i) {
        const std::string& uid = uid_of(members[i]);
        if (uid.empty() || uid == expected) continue;
        const auto count = std::count_if(members.begin(), members.end(),
                                         [&](const MemberView& other) { return uid_of(other) == uid; });
        tie = count == most;
        if (count > most) {
            most = count;
            expected = uid;
        }
    }
    for (MemberView& member : members) {
        if (!member.evidence) continue;
        const std::string& uid = member.evidence->cluster_uid;
        member.foreign = rules.on(Guard::SameCluster) && !uid.empty() && !expected.empty() && (tie || uid != expected);
    }
}

bool names(const TopologyRow& row, const MemberView& member) {
    return row.name == member.config.name || (!row.address.host.empty() && row.address == member.config.address);
}

bool answers(const MemberView& member, int misses) {
    if (!member.evidence) return false;
    if (!member.failure) return true;
    return member.only_missed && member.misses < misses;
}

base::Duration silence_told_within(const ProbeConfig& probe) { return (probe.calm + probe.deadline) * probe.misses; }

base::MonoTime proves_until(const MemberView& member, const ProbeConfig& probe, const Rules& rules) {
    if (!rules.on(Guard::DoubtNeedsMiss)) return member.sent_at + probe.calm + probe.deadline * probe.misses;
    // The next question waits for this answer's end. What was read past its deadline was late by us: it is no newer by
    // that.
    const base::Duration took = std::min(member.completed_at - member.sent_at, probe.deadline);
    return member.sent_at + took + silence_told_within(probe);
}

base::Duration own_lag_max(const ProbeConfig& probe, const Rules& rules) {
    return rules.on(Guard::DoubtNeedsMiss) ? probe.deadline * 4 : base::Duration(0);
}

Verdict believe(const std::vector<MemberView>& members, const BeliefContext& context, base::MonoTime now) {
    return Judge(members, context, now).verdict();
}

bool confirm(Continuity& continuity, const std::vector<MemberView>& members, std::size_t observed, std::size_t active,
             const Rules& rules) {
    const MemberView& member = members[observed];
    if (member.foreign) return false;
    Position position = continuity.position;
    if (!rules.on(Guard::OthersConfirmPosition) && observed == active) position.join(member.history);
    // A writer that acknowledges alone, by its own word and nobody's contradiction, has nobody else to confirm.
    if (observed == active && member.claims_writer(rules) && !member.evidence->waits_for_replica) {
        bool attached = false;
        for (const MemberView& other : members) {
            for (const SourceView& source : other.sources) {
                attached = attached || (!other.failure && source.io_running && source.member == active);
            }
        }
        if (!attached) position.join(member.history);
    }
    for (const SourceView& source : member.sources) {
        if (observed == active || source.member != active) continue;
        // Until the recorded writer has answered in this process, what was confirmed before says where it was.
        const bool known = !members[active].history.empty();
        const Position& writer = known ? members[active].history : continuity.position;
        // PostgreSQL's received position is the server's, not of the source that it is pointed at now.
        // A later timeline than what was confirmed is the recorded writer's all the same.
        const bool by_source = known || source.io_running || member.evidence->engine != Engine::PostgreSql ||
                               source.received.newer_than(continuity.position);
        if (by_source) position.join(source.received.confirms(*member.evidence, writer));
        if (source.io_running) position.join(member.applied.confirms(*member.evidence, writer));
    }
    position = position.newest();
    if (position == continuity.position) return false;
    continuity.position = std::move(position);
    continuity.updated_at = member.completed_at;
    return true;
}

std::string_view to_string(Check check) {
    switch (check) {
        case Check::Answers:
            return "answers";
        case Check::Fresh:
            return "fresh";
        case Check::Writable:
            return "writable";
        case Check::InnodbWritable:
            return "innodb-writable";
        case Check::ReplicatesFromNobody:
            return "replicates-from-nobody";
        case Check::Identity:
            return "identity";
        case Check::SameCluster:
            return "same-cluster";
        case Check::History:
            return "history";
        case Check::OldClaimEnds:
            return "old-claim-ends";
        case Check::OthersAsked:
            return "others-asked";
        case Check::NotContradicted:
            return "not-contradicted";
        case Check::TopologyAgrees:
            return "topology-agrees";
        case Check::Newest:
            return "newest";
    }
    return "?";
}

std::string_view to_string(ProbeFailureKind kind) {
    switch (kind) {
        case ProbeFailureKind::Refused:
            return "refused";
        case ProbeFailureKind::Reset:
            return "reset";
        case ProbeFailureKind::TimedOut:
            return "timed out";
        case ProbeFailureKind::LoginDenied:
            return "login denied";
        case ProbeFailureKind::ServerError:
            return "server error";
        case ProbeFailureKind::Incomplete:
            return "incomplete answer";
        case ProbeFailureKind::OurOwnDelay:
            return "our own delay";
    }
    return "?";
}

namespace {

std::string explain_writable(const Finding& finding, Engine engine) {
    if (finding.check == Check::InnodbWritable) {
        if (engine == Engine::PostgreSql) return "storage is writable";
        return finding.passed ? "innodb_read_only is off" : "says innodb_read_only";
    }
    switch (engine) {
        case Engine::MariaDb:
            return finding.passed ? "read_only is off" : "says read_only";
        case Engine::MySql:
            return finding.passed ? "read_only and super_read_only are off" : "says read_only or super_read_only";
        case Engine::PostgreSql:
            return finding.passed ? "transactions may write" : "transactions are read only";
    }
    return "?";
}

std::string explain_sources(const Finding& finding, const MemberView& member) {
    const bool postgres = member.evidence->engine == Engine::PostgreSql;
    if (finding.passed) return postgres ? "is not in recovery" : "replicates from nobody";
    std::vector<std::string> from;
    for (const ReplicationSource& source : member.evidence->sources) {
        if (!source.address.host.empty()) from.push_back(source.address.text());
    }
    if (from.empty()) return postgres ? "is in recovery" : "replicates from a source without an address";
    return fmt::format("{}replicates from {}", postgres ? "is in recovery and " : "", base::join(from, ", "));
}

}  // namespace

std::string explain(const Finding& finding, const MemberView& member, const std::vector<MemberView>& members) {
    const std::string other = finding.other ? members[*finding.other].config.name : std::string();
    switch (finding.check) {
        case Check::Answers:
            if (finding.passed) return "answers";
            if (!member.failure) return "has not answered yet";
            return fmt::format("does not answer: {}{}{}", to_string(member.failure->kind),
                               member.failure->text.empty() ? "" : ", ", member.failure->text);
        case Check::Fresh:
            return finding.passed ? "its answer is fresh" : "its last answer is too old to prove anything";
        case Check::Writable:
        case Check::InnodbWritable:
            return explain_writable(finding, member.evidence->engine);
        case Check::ReplicatesFromNobody:
            return explain_sources(finding, member);
        case Check::Identity:
            if (finding.passed) return "is a server of its own";
            return fmt::format("is the same server as '{}' (server_uid {})", other, member.evidence->server_uid);
        case Check::SameCluster:
            if (finding.passed) return "is of this cluster";
            return fmt::format("is of another cluster: its system identifier is {}{}", member.evidence->cluster_uid,
                               other.empty() ? std::string()
                                             : fmt::format(", that of '{}' is {}", other,
                                                           members[*finding.other].evidence->cluster_uid));
        case Check::History:
            if (finding.passed) return "its history has what was confirmed before";
            return fmt::format("lacks {}, which was confirmed before; it has {}", finding.detail,
                               member.history.empty() ? "nothing" : member.history.text());
        case Check::OldClaimEnds:
            if (finding.passed) return "its claim is not left over from an older epoch";
            return "still claims as it did before the newest epoch began, and has nothing of it";
        case Check::OthersAsked:
            if (finding.passed) return "every other member was asked";
            return fmt::format("'{}' has neither answered nor failed to yet", other);
        case Check::NotContradicted:
            if (finding.passed) return "nobody who answers contradicts it";
            if (!finding.detail.empty()) {
                return fmt::format("'{}' is on a timeline that branched off this one's: {}", other, finding.detail);
            }
            return fmt::format("'{}' still receives from another member, which is silent", other);
        case Check::TopologyAgrees:
            if (finding.passed) return "the newest topology names no other writer";
            return fmt::format("the newest topology names '{}' as the writer", finding.detail);
        case Check::Newest:
            if (finding.passed) return "nobody else's claim is as new";
            return fmt::format("'{}' claims too, and its history is not contained in this one's", other);
    }
    return "?";
}

}  // namespace signalbox::clusters
