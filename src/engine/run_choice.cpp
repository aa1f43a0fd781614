#include "engine/run_choice.hpp"

#include <algorithm>
#include <map>

#include "domain/network/check.hpp"

namespace signalbox::engine {
namespace {

using base::ErrorKind;
using base::fail;

base::WallTime whole_ms(base::WallTime time) { return std::chrono::floor<std::chrono::milliseconds>(time); }

// FNV-1a: a run's draws differ from another's, and are the same when they are made again.
std::uint64_t seed_of(const std::string& text) {
    std::uint64_t seed = 0xcbf29ce484222325U;
    for (const char letter : text) seed = (seed ^ static_cast<unsigned char>(letter)) * 0x100000001b3U;
    return seed;
}

// What all connections of a job must bear alike.
network::Demand demand_of(const jobs::Job& job) {
    network::Demand demand;
    demand.nodes = static_cast<std::uint64_t>(job.workers);
    for (const jobs::Source& source : job.sources) demand.sources.push_back({source.name, source.addresses});
    return demand;
}

// The demand is one value for all connections, filled with what is each one's own: a decision is about many.
jobs::Candidate candidate_of(const jobs::Connection& connection, network::Demand& demand, const Surroundings& around,
                             const network::Index& index, jobs::Breakers::Moment& moment, base::WallTime now) {
    jobs::Candidate candidate;
    candidate.connection = connection;
    if (!connection.managed) return candidate;
    demand.subnet = connection.subnet;
    demand.security_groups = connection.security_groups;
    demand.data_source = connection.data_source;
    demand.promised = around.ledger.reserved(connection.subnet);
    network::Report report = network::check(index, demand, now);
    candidate.network = std::move(report.network);
    candidate.zone = std::move(report.zone);
    candidate.way_out = std::move(report.way_out);
    candidate.free_addresses = report.free_addresses;
    candidate.available = report.available;
    candidate.faults = std::move(report.faults);
    const jobs::ComingBack back = around.ledger.coming_back(connection.subnet, now);
    candidate.coming_back = back.addresses;
    if (back.at) candidate.back_at = whole_ms(*back.at);
    if (const network::Place* place = index.place(connection.subnet))
        candidate.size = (std::uint64_t{1} << static_cast<unsigned>(32 - place->subnet->range.prefix_bits)) - 1;
    candidate.health = moment.health(connection, candidate.zone);
    return candidate;
}

bool lacks_addresses_only(const jobs::Candidate& candidate) {
    bool lacks = false;
    for (const base::Fault& fault : candidate.faults) {
        if (fault.severity != base::Severity::Unusable) continue;
        if (fault.name != "no-free-addresses") return false;
        lacks = true;
    }
    return lacks;
}

base::Result<std::optional<ports::JournalEntry>> first_of(ports::Journal& journal, ports::JournalQuery query) {
    query.limit = 1;
    SB_TRY(auto entries, journal.read(query));
    if (entries.empty()) return std::optional<ports::JournalEntry>();
    return std::optional<ports::JournalEntry>(std::move(entries.front()));
}

}  // namespace

jobs::DecisionInput decision_input(const jobs::Job& job, const Surroundings& around, base::WallTime now) {
    return decision_input(job, around, network::Index(around.facts), now);
}

jobs::DecisionInput decision_input(const jobs::Job& job, const Surroundings& around, const network::Index& index,
                                   base::WallTime now) {
    jobs::DecisionInput input;
    input.job = job;
    input.at = whole_ms(now);
    input.facts_at = whole_ms(around.facts.read_at);
    input.deciding_since = input.at;
    input.candidates.reserve(job.connections.size());
    network::Demand demand = demand_of(job);
    jobs::Breakers::Moment moment(around.breakers, around.uses, input.at);
    for (const jobs::Connection& connection : job.connections)
        input.candidates.push_back(candidate_of(connection, demand, around, index, moment, input.at));
    return input;
}

jobs::DecisionInput decision_input(const jobs::Run& run, const Surroundings& around, base::WallTime now) {
    jobs::DecisionInput input = decision_input(run.job, around, now);
    input.seed = seed_of(run.id);
    input.tried = run.tried;
    if (run.deciding_since) input.deciding_since = std::min(whole_ms(*run.deciding_since), input.at);
    return input;
}

std::string waits_for_addresses(const jobs::Decision& decision, const jobs::AddressLedger& ledger) {
    for (const jobs::Ranked& ranked : decision.candidates) {
        const std::string& subnet = ranked.candidate.connection.subnet;
        const auto ours = std::count_if(ledger.rows().begin(), ledger.rows().end(),
                                        [&](const jobs::AddressRow& row) { return row.subnet == subnet; });
        if (ours > 0 && lacks_addresses_only(ranked.candidate))
            return fmt::format("waiting for addresses of subnet {}, which other runs hold", subnet);
    }
    return {};
}

jobs::AddressLedger settled_ledger(const ports::LedgerState& stored, const network::Facts& facts) {
    std::vector<jobs::InterfaceSeen> interfaces;
    for (const network::Interface& one : facts.interfaces)
        interfaces.push_back({one.token, network::address_text(one.address), one.subnet});
    if (!facts.interfaces_known) {
        // A provider that does not tell of interfaces has counted those of nodes that have started.
        std::map<std::string_view, std::string_view> subnets;
        for (const jobs::AddressRow& row : stored.rows) subnets.emplace(row.token, row.subnet);
        for (const jobs::NodeSeen& node : stored.nodes)
            if (node.started_at && !node.ended_at && !node.address.empty())
                interfaces.push_back({node.token, node.address, std::string(subnets.at(node.token))});
    }
    jobs::AddressLedger ledger(stored.rows, stored.memory);
    ledger.settle(stored.nodes, interfaces, facts.read_at);
    return ledger;
}

ports::LedgerChange ledger_change(const ports::LedgerState& stored, const jobs::AddressLedger& ledger) {
    std::map<std::string_view, const jobs::AddressRow*> before;
    for (const jobs::AddressRow& row : stored.rows) before.emplace(row.token, &row);
    ports::LedgerChange change;
    for (const jobs::AddressRow& row : ledger.rows()) {
        const auto found = before.find(row.token);
        if (found == before.end() || *found->second != row) change.put.push_back(row);
        if (found != before.end()) before.erase(found);
    }
    for (const auto& [token, row] : before) change.gone.emplace_back(token);
    if (stored.memory != ledger.memory()) change.memory = ledger.memory();
    return change;
}

base::Result<Replayed> replay_decision(ports::Journal& journal, const std::string& job, base::WallTime at) {
    ports::JournalQuery query;
    query.subject = job;
    query.kind = "run-decision";
    query.newest_first = true;
    // Times are shown in whole milliseconds, which stand for all that they hold.
    query.until = whole_ms(at) + std::chrono::milliseconds(1) - base::Duration(1);
    SB_TRY(const auto recorded, first_of(journal, query));
    if (!recorded) {
        return fail(ErrorKind::NotFound, "no decision of job '{}' is recorded at {} or before", job,
                    base::format_time(at));
    }
    // Its input was stored just before it, in the same transaction.
    ports::JournalQuery before;
    before.kind = "run-decision-input";
    before.run = recorded->run;
    before.after = recorded->sequence - 2;
    SB_TRY(const auto input, first_of(journal, before));
    if (!input || input->sequence != recorded->sequence - 1) {
        return fail(ErrorKind::NotFound, "the decision of job '{}' at {} was recorded without its input", job,
                    base::format_time(recorded->at));
    }
    SB_TRY(const auto parsed, jobs::parse_decision_input(input->data));
    base::json::object again = jobs::to_json(jobs::decide(parsed));
    if (base::json::serialize(again) != base::json::serialize(recorded->data)) {
        return fail(ErrorKind::CorruptData,
                    "the decision of job '{}' at {} comes out differently when it is taken again from its recorded "
                    "input: the record was changed, or another version took it (journal entries {} and {})",
                    job, base::format_time(recorded->at), input->sequence, recorded->sequence);
    }
    return Replayed{std::move(again), recorded->at, recorded->run};
}

}  // namespace signalbox::engine
