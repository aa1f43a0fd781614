#pragma once
// The items of the describe calls (docs/reference/lab-api.md) as facts: what the lab answers, and what a file of facts
// holds.

#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "domain/network/facts.hpp"

namespace signalbox::netfacts {

struct Kind {
    std::string_view key;   // "route_tables", as a file of facts names them
    std::string_view call;  // "/v1/route-tables"; empty: the lab has none
    bool needed;            // in a file
};

// Every kind of item, in the order in which they are read.
const std::vector<Kind>& kinds();

// Adds a list of items of that kind to the facts, all or nothing. Errors: CorruptData with the item's number, its id
// and the field, and what was expected there.
base::Result<network::Facts> add_items(const Kind& kind, const base::json::value& items, network::Facts facts);

}  // namespace signalbox::netfacts
