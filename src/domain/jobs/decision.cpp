#include "domain/jobs/decision.hpp"

#include <algorithm>

namespace signalbox::jobs {
namespace {

using base::Severity;
namespace json = base::json;

bool has_unusable(const Candidate& candidate, bool signal) {
    return std::any_of(candidate.faults.begin(), candidate.faults.end(), [&](const base::Fault& fault) {
        return fault.severity == Severity::Unusable && fault.signal == signal;
    });
}

void rank(Ranked& ranked, std::uint64_t nodes_wanted) {
    ranked.nodes = std::min(nodes_wanted, ranked.candidate.available);
    ranked.usability = ranked.nodes < nodes_wanted ? Usability::UnderCapacity : Usability::FullSize;
}

json::object to_json(const base::Fault& fault) {
    return {{"code", fault.code},       {"name", fault.name},     {"severity", base::to_string(fault.severity)},
            {"message", fault.message}, {"remedy", fault.remedy}, {"signal", fault.signal}};
}

std::string reason_of(const Decision& decision) {
    const Ranked* choice = decision.choice();
    const std::size_t count = decision.candidates.size();
    if (choice == nullptr) {
        return fmt::format("none of {} connection{} is usable", count, count == 1 ? "" : "s");
    }
    std::string reason = fmt::format("'{}' is the first usable of {} connection{}", choice->candidate.connection.name,
                                     count, count == 1 ? "" : "s");
    if (choice->usability == Usability::UnderCapacity)
        reason += fmt::format(", with {} of {} nodes", choice->nodes, decision.nodes_wanted);
    if (choice->despite_signals) reason += ", although its zone is reported impaired: no other is left";
    return reason;
}

}  // namespace

std::string_view to_string(Strategy) { return "ordered"; }

std::string_view to_string(Usability usability) {
    switch (usability) {
        case Usability::FullSize:
            return "usable";
        case Usability::UnderCapacity:
            return "under capacity";
        case Usability::Unusable:
            break;
    }
    return "unusable";
}

Decision decide(const Job& job, std::vector<Candidate> candidates, base::WallTime facts_at, base::WallTime now) {
    Decision decision;
    decision.strategy = job.strategy;
    decision.at = now;
    decision.facts_at = facts_at;
    decision.nodes_wanted = static_cast<std::uint64_t>(job.workers);
    bool any = false;
    for (Candidate& candidate : candidates) {
        Ranked& ranked = decision.candidates.emplace_back();
        ranked.candidate = std::move(candidate);
        if (has_unusable(ranked.candidate, false) || has_unusable(ranked.candidate, true)) continue;
        rank(ranked, decision.nodes_wanted);
        any = true;
    }
    for (Ranked& ranked : decision.candidates) {
        if (any || has_unusable(ranked.candidate, false)) continue;
        rank(ranked, decision.nodes_wanted);
        ranked.despite_signals = true;
    }
    for (std::size_t i = 0; i < decision.candidates.size() && !decision.chosen; ++i) {
        if (decision.candidates[i].usability != Usability::Unusable) decision.chosen = i;
    }
    decision.reason = reason_of(decision);
    return decision;
}

json::object to_json(const Decision& decision) {
    json::array candidates;
    for (std::size_t i = 0; i < decision.candidates.size(); ++i) {
        const Ranked& ranked = decision.candidates[i];
        const Candidate& candidate = ranked.candidate;
        json::array faults;
        for (const base::Fault& fault : candidate.faults) faults.push_back(to_json(fault));
        candidates.push_back(json::object{{"connection", candidate.connection.name},
                                          {"subnet", candidate.connection.subnet},
                                          {"network", candidate.network},
                                          {"zone", candidate.zone},
                                          {"result", to_string(ranked.usability)},
                                          {"chosen", decision.chosen == i},
                                          {"despite_signals", ranked.despite_signals},
                                          {"nodes", ranked.nodes},
                                          {"free_addresses", candidate.free_addresses},
                                          {"available_addresses", candidate.available},
                                          {"way_out", candidate.way_out},
                                          {"faults", std::move(faults)}});
    }
    const Ranked* choice = decision.choice();
    return {{"strategy", to_string(decision.strategy)},
            {"at", base::format_time(decision.at)},
            {"facts_at", base::format_time(decision.facts_at)},
            {"nodes_wanted", decision.nodes_wanted},
            {"connection", choice ? json::value(choice->candidate.connection.name) : json::value()},
            {"reason", decision.reason},
            {"candidates", std::move(candidates)}};
}

}  // namespace signalbox::jobs
