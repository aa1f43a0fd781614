#pragma once
// What `signalbox network` is asked, as values: FROM and TO as people write them, resolved by the configuration, and
// the answers as text and JSON.

#include <optional>
#include <string>
#include <vector>

#include "app/config.hpp"
#include "base/json.hpp"
#include "domain/network/check.hpp"

namespace signalbox::app {

struct Origin {
    std::string connection;  // empty: given as a subnet
    network::From from;
};

struct Destination {
    std::string name;  // of a cluster or endpoint; empty: given as an address
    std::vector<base::HostPort> addresses;
};

// A connection's name, else SUBNET[+GROUP,GROUP]. config may be nullptr: there is no file. Errors: InvalidArgument.
base::Result<Origin> parse_origin(const std::string& text, const Config* config);
// ADDRESS:PORT, else the name of a cluster (all its members) or of an endpoint. Errors: InvalidArgument, NotFound.
base::Result<Destination> parse_destination(const std::string& text, const Config* config);

// One address of a destination and the answer for it.
struct Answer {
    base::HostPort address;
    network::Reach reach;
};
// The path, or every reason with its remedy; `stale`: the fault that the facts are old, if they are.
std::string reach_text(const Origin& origin, const std::vector<Answer>& answers,
                       const std::optional<base::Fault>& stale);
base::json::object reach_json(const Origin& origin, const Destination& to, const std::vector<Answer>& answers,
                              const std::optional<base::Fault>& stale, base::WallTime facts_at);

// A connection and all that its checks found.
struct Checked {
    jobs::Connection connection;
    network::Report report;
};
// What a connection must bear: the most workers of the jobs that use it, and all their sources.
network::Demand demand_of(const jobs::Connection& connection, const JobsConfig& config);
std::string faults_text(const std::vector<Checked>& connections);
base::json::object faults_json(const std::vector<Checked>& connections, base::WallTime facts_at);

}  // namespace signalbox::app
