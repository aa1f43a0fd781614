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
    std::string subnet;  // empty for one that is not managed
    std::vector<std::string> security_groups;
    std::optional<base::HostPort> data_source;  // what the job must reach through it
    bool managed = true;                        // false: known by name alone; it is never chosen, and kept last
    friend bool operator==(const Connection&, const Connection&) = default;
};

// Something that a job must reach, whatever connection it uses: all addresses of it.
struct Source {
    std::string name;  // a cluster's or endpoint's name, or the address as text
    std::vector<base::HostPort> addresses;
    friend bool operator==(const Source&, const Source&) = default;
};

// How usable connections are ordered. The first three are AWS Glue's own rule and its published recipe's.
enum class Strategy {
    Ordered,    // as listed
    Random,     // shuffled within good (full size), then within usable
    Capacity,   // most free addresses first
    Resilient,  // full size, health by own outcomes, not what this run has tried; waits or shrinks by the deadline
    Program,    // a user's own
};
std::string_view to_string(Strategy strategy);  // "ordered"
std::optional<Strategy> parse_strategy(std::string_view text);

// A user's own strategy: candidates as JSON on its standard input, names in order on its output, a line each.
struct StrategyProgram {
    std::vector<std::string> command;
    base::Duration deadline = std::chrono::seconds(5);
    friend bool operator==(const StrategyProgram&, const StrategyProgram&) = default;
};

// What a failed attempt calls for.
enum class RetryClass {
    Transient,   // the same connection again
    Connection,  // another connection
    Zone,        // another zone
    Permanent,   // no retry
};
std::string_view to_string(RetryClass retry);  // "transient"
std::optional<RetryClass> parse_retry_class(std::string_view text);

// The first rule that matches says what a failure is. A rule matches if all that it names does; it names at least one.
struct RetryRule {
    std::vector<int> exit_codes;  // any of them
    std::string log_pattern;      // a part of the driver's last output, letters' case ignored
    RetryClass retry = RetryClass::Connection;
    friend bool operator==(const RetryRule&, const RetryRule&) = default;
};

struct RetryPolicy {
    int attempts_max = 1;  // 1–20; 1: no retry
    base::Duration backoff_base = std::chrono::seconds(10);
    base::Duration backoff_max = std::chrono::minutes(5);
    // At most so many retries of the job begin within the window: the larger of the two.
    int budget_min = 10;
    double budget_ratio = 0.5;  // of the runs submitted in the window
    base::Duration budget_window = std::chrono::hours(1);
    std::vector<RetryRule> rules;                   // before the built-in ones (retry.hpp)
    RetryClass otherwise = RetryClass::Connection;  // what no rule knows: going elsewhere costs nothing
    friend bool operator==(const RetryPolicy&, const RetryPolicy&) = default;
};

// A Spark application in place of a command: a standalone cluster of the run's own nodes, with the driver on the first.
struct SparkApplication {
    std::string application;             // the path of a program in Python, or of a jar
    std::vector<std::string> arguments;  // for it
    std::string home;                    // a Spark distribution; empty: the pyspark that `python` has
    std::string python;                  // the interpreter of driver and executors; empty: Spark's own choice
    std::vector<std::pair<std::string, std::string>> conf;  // "spark.…"; may hold secrets
    int worker_cores = 1;
    int worker_memory_mib = 1024;
    friend bool operator==(const SparkApplication&, const SparkApplication&) = default;
};

struct Job {
    std::string name;
    std::vector<Connection> connections;  // in the user's order, at least one managed
    std::vector<Source> sources;          // each must be reachable from the connection that is used
    Strategy strategy = Strategy::Resilient;
    StrategyProgram program;  // for Strategy::Program
    int workers = 2;          // nodes at full size, driver included (as in Glue)
    int workers_min = 2;      // starts with fewer than `workers`, but not with fewer than these (never > workers)
    std::vector<std::string> command;  // program and arguments, at least the program; none for a Spark application
    std::optional<SparkApplication> spark;
    std::vector<std::pair<std::string, std::string>> environment;
    std::string directory = "/";                             // where the command runs
    base::Duration timeout = std::chrono::hours(48);         // from the start to the end of an attempt
    int max_concurrent_runs = 1;                             // further runs wait in a queue
    base::Duration queue_time_max = std::chrono::hours(24);  // then a waiting run expires
    // `resilient` alone: how long a run waits for full size (or for any usable connection) before it starts smaller
    // (or fails). Counted from when it could first be decided.
    base::Duration full_size_wait = std::chrono::minutes(5);
    bool low_risk = false;  // its runs may be the first to try what a breaker has closed off
    RetryPolicy retry;
    friend bool operator==(const Job&, const Job&) = default;
};

}  // namespace signalbox::jobs
