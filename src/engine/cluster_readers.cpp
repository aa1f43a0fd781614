// Reader endpoints: the members' views become facts, the pools decide, whole sets go to the data planes.

#include "engine/cluster_loop.hpp"

namespace signalbox::engine {
namespace {

using base::MonoTime;
using clusters::MemberView;
using clusters::ProbeFailureKind;
using routing::Presence;

Presence presence_of(const MemberView& member, int misses) {
    if (clusters::answers(member, misses)) return Presence::Answers;
    if (!member.failure || !member.evidence) return Presence::Away;
    const ProbeFailureKind kind = member.failure->kind;
    const bool asked = kind == ProbeFailureKind::LoginDenied || kind == ProbeFailureKind::ServerError ||
                       kind == ProbeFailureKind::Incomplete || kind == ProbeFailureKind::OurOwnDelay;
    const bool missed = kind == ProbeFailureKind::TimedOut && member.misses < misses;  // after an error
    return asked || missed ? Presence::Unsure : Presence::Away;
}

// By its evidence: it can't be written to, and it is fed by somebody. The writer is the one that is routed.
std::optional<routing::Role> role_of(const MemberView& member, const std::string& writer) {
    if (!member.evidence || member.foreign) return std::nullopt;
    if (member.config.name == writer) return routing::Role::Writer;
    const clusters::Evidence& evidence = *member.evidence;
    const bool writable = !evidence.read_only && !evidence.innodb_read_only;
    const bool fed = !evidence.sources.empty() || !evidence.topology.empty();
    return !writable && fed ? std::optional(routing::Role::Reader) : std::nullopt;
}

std::optional<base::Duration> lag_of(const MemberView& member) {
    if (!member.evidence || member.evidence->lag) return member.evidence ? member.evidence->lag : std::nullopt;
    for (const clusters::TopologyRow& row : member.evidence->topology) {
        if (clusters::names(row, member)) return row.lag;
    }
    return std::nullopt;
}

}  // namespace

void ClusterLoop::set_endpoints(const std::vector<routing::EndpointConfig>& endpoints, MonoTime now) {
    std::map<std::string, Readers> kept;
    for (const routing::EndpointConfig& endpoint : endpoints) {
        if (endpoint.cluster != config().name || endpoint.role != routing::Role::Reader) continue;
        const auto known = readers_.find(endpoint.name);
        if (known != readers_.end()) {
            Readers readers = std::move(known->second);
            readers.pool.configure(endpoint.reader);
            // The endpoint may be served by another plane now.
            readers.sent.reset();
            kept.emplace(endpoint.name, std::move(readers));
        } else {
            kept.emplace(endpoint.name, Readers{routing::ReaderPool(endpoint.reader), std::nullopt});
        }
    }
    readers_ = std::move(kept);
    update_readers(now);
}

void ClusterLoop::update_readers(MonoTime now) {
    if (readers_.empty()) return;
    // Only the writer of an epoch that goes on may stand in for readers.
    const std::string& writer = machine_.writer();
    std::vector<routing::ReaderFact> facts;
    for (const MemberView& member : machine_.members()) {
        facts.push_back({member.config.name, member.config.address, presence_of(member, config().probe.misses),
                         role_of(member, writer), lag_of(member)});
    }
    for (auto& [name, readers] : readers_) {
        std::vector<routing::ReaderTarget> targets = readers.pool.update(facts, now);
        if (readers.sent == targets) continue;
        ports_.routes.set_readers(config().name, name, targets);
        readers.sent = std::move(targets);
    }
}

}  // namespace signalbox::engine
