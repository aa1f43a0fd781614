#pragma once
// A measurement as a table for people and as JSON. Pure.

#include <string>

#include "base/json.hpp"
#include "domain/meter/analysis.hpp"
#include "domain/meter/ledger.hpp"

namespace signalbox::app {

struct Measurement {
    meter::Recording recording;
    meter::Analysis analysis;
    meter::LedgerCheck ledger;
};

// "123.4 ms"; "none" without an outage; "not recovered"; "never good".
std::string outage_text(meter::Recovery state, const std::optional<meter::Outage>& outage);
// Milliseconds since the fault, with one decimal: "+12.3".
std::string offset_text(base::MonoTime at, base::MonoTime fault);
// One or two sentences for people: what happened to acknowledged writes.
std::string ledger_verdict(const meter::LedgerCheck& ledger);

std::string measurement_table(const Measurement& measurement);
base::json::object measurement_json(const Measurement& measurement);

}  // namespace signalbox::app
