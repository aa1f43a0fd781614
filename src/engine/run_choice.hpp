#pragma once
// Joins what a decision depends on: facts of networks, the ledger of addresses, outcomes and places in use become the
// one value that `jobs::decide` takes; and, from the journal, takes a recorded one again.

#include <optional>
#include <string>
#include <vector>

#include "domain/jobs/addresses.hpp"
#include "domain/jobs/breakers.hpp"
#include "domain/jobs/decision.hpp"
#include "domain/network/facts.hpp"
#include "domain/network/index.hpp"
#include "ports/journal.hpp"
#include "ports/run_store.hpp"

namespace signalbox::engine {

// What all decisions of one moment share.
struct Surroundings {
    network::Facts facts;
    jobs::AddressLedger ledger;  // brought up to date with the facts
    jobs::Breakers breakers;     // by the last outcomes
    std::vector<jobs::PlaceUse> uses;
};

// The candidates and times of a decision; the caller adds what its run has tried. Times are whole milliseconds, as the
// journal keeps them.
jobs::DecisionInput decision_input(const jobs::Job& job, const Surroundings& around, base::WallTime now);
// The same with an index of these facts that was made before, for many decisions over the same facts.
jobs::DecisionInput decision_input(const jobs::Job& job, const Surroundings& around, const network::Index& index,
                                   base::WallTime now);
// The same for an attempt: its seed, what it has tried, since when it could be decided.
jobs::DecisionInput decision_input(const jobs::Run& run, const Surroundings& around, base::WallTime now);

// Why a run that found nothing usable waits for addresses and does not fail: all that it lacks somewhere are addresses,
// and nodes of ours hold them, will take them, or have just given them up. Empty: nothing of ours is in its way.
std::string waits_for_addresses(const jobs::Decision& decision, const jobs::AddressLedger& ledger);

// The stored ledger brought up to date with the facts; what differs from the stored one then is a change to be stored.
jobs::AddressLedger settled_ledger(const ports::LedgerState& stored, const network::Facts& facts);
ports::LedgerChange ledger_change(const ports::LedgerState& stored, const jobs::AddressLedger& ledger);

struct Replayed {
    base::json::object decision;  // as it was recorded, and as it comes out again
    base::WallTime at{};
    std::string run;
};
// The job's latest recorded decision at that time or before, taken again from its recorded input. NotFound; CorruptData
// if what comes out differs from what was recorded.
base::Result<Replayed> replay_decision(ports::Journal& journal, const std::string& job, base::WallTime at);

}  // namespace signalbox::engine
