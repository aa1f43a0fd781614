#pragma once
// What the user says of connections and jobs, as values.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.hpp"
#include "base/time.hpp"

namespace signalbox::jobs {

// A named network attachment.
struct Connection {
    std::string name;
    std::string subnet;
    std::vector<std::string> security_groups;
    std::optional<base::HostPort> data_source;  // what the job must reach through it
    friend bool operator==(const Connection&, const Connection&) = default;
};

// How usable connections are ordered.
enum class Strategy { Ordered };  // as listed: AWS Glue's own rule
std::string_view to_string(Strategy strategy);

struct Job {
    std::string name;
    std::vector<Connection> connections;  // in the user's order, at least one
    Strategy strategy = Strategy::Ordered;
    int workers = 2;                   // nodes at full size, driver included (as in Glue)
    std::vector<std::string> command;  // program and arguments, at least the program
    std::vector<std::pair<std::string, std::string>> environment;
    std::string directory = "/";                             // where the command runs
    base::Duration timeout = std::chrono::hours(48);         // from the start to the end of a run
    int max_concurrent_runs = 1;                             // further runs wait in a queue
    base::Duration queue_time_max = std::chrono::hours(24);  // then a waiting run expires
    friend bool operator==(const Job&, const Job&) = default;
};

}  // namespace signalbox::jobs
