#pragma once
// The second, slow and plain evaluation: one packet walks to its destination and its answer walks back, over the facts
// as they are, and the first thing that stops either is the outcome.

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "domain/network/facts.hpp"

namespace signalbox::network::testing_world {

struct Walk {
    std::string subnet;
    std::vector<std::string> groups;
    std::uint32_t source = 0;
    int source_port = 0;
    std::uint32_t destination = 0;
    int port = 0;
};

// Empty: it came, and its answer came back. Else the names of the faults that may be told for what stopped it.
std::set<std::string> walk(const Facts& facts, const Walk& packet);

}  // namespace signalbox::network::testing_world
