#pragma once
// All checks of one network attachment for one job. Nothing stops at the first fault.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fault.hpp"
#include "base/text.hpp"
#include "domain/network/reach.hpp"

namespace signalbox::network {

// Something that must be reached: all addresses of it.
struct Source {
    std::string name;  // for faults
    std::vector<base::HostPort> addresses;
};

// What is to be attached, and what it must bear.
struct Demand {
    std::string subnet;
    std::vector<std::string> security_groups;
    std::optional<base::HostPort> data_source;
    std::uint64_t nodes = 1;     // for full size, driver included; at least 1
    std::uint64_t promised = 0;  // free addresses of the subnet that other starting runs will take
    std::vector<Source> sources = {};
};

struct Report {
    std::string network;  // empty if the subnet is unknown
    std::string zone;
    std::uint64_t free_addresses = 0;  // as the provider says
    std::uint64_t available = 0;       // free minus promised
    std::string way_out;               // "nat-a", "endpoint s3"; empty if there is none
    std::vector<base::Fault> faults;   // in the order of the catalogue's subjects
};

// The least free addresses with which a run of so many nodes starts: two (AWS Glue's rule), one for a single node.
std::uint64_t addresses_to_start(std::uint64_t nodes);

// DESIGN "How a connection is chosen": network, subnet and zone; a way out that the route table really uses; free
// addresses; security groups; the data source and every other source, each address by `reach`: what keeps one from
// being reached makes the connection unusable, and its fault names the source.
Report check(const Index& index, const Demand& demand, base::WallTime now);
// The same for a single check.
Report check(const Facts& facts, const Demand& demand, base::WallTime now);

}  // namespace signalbox::network
