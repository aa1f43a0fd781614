#pragma once
// What would have happened with another strategy: a discrete-event world of zones, subnets, address pools, arrivals,
// run times and outages, in which the same check(), decide(), Breakers, classify() and plan_retry() choose as in the
// daemon. Beside our strategies stand models of what users have without us. Pure: one seed, one history.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"
#include "domain/jobs/job.hpp"

namespace signalbox::engine {

// A length of time that varies: one of the samples if there are any, else lognormal around the median.
struct SimSpread {
    base::Duration median{};
    double sigma = 0;                             // of the logarithm; 0: always the median
    base::Duration max = std::chrono::hours(24);  // longer ones are cut to this
    std::vector<base::Duration> samples{};
};

struct SimSubnet {
    std::string id;
    std::string zone;
    std::uint64_t addresses = 0;  // that runs can have
};

struct SimBurst {
    base::Duration at{};
    std::int64_t runs = 0;
    base::Duration over{};  // spread evenly over this time
};

// A run that is known to have been submitted: from history.
struct SimArrival {
    base::Duration at{};
    std::optional<base::Duration> run_time;  // at full size; nothing: drawn from the job's
    bool fails = false;                      // wherever it runs
};

struct SimJob {
    jobs::Job job;                      // its strategy is set by the simulation
    std::vector<double> runs_per_hour;  // of the first, second … hour; begins anew after the last
    std::vector<SimBurst> bursts;
    std::vector<SimArrival> arrivals;
    SimSpread run_time;        // at full size; with fewer nodes it takes longer in proportion
    double failure_share = 0;  // of runs that fail wherever they run, at the end of their run time
    int failure_exit_code = 1;
};

enum class SimOutageKind {
    Hard,  // runs there die when it begins, and nothing starts
    Gray,  // runs that start or run there fail after a while
};
// How a failed run looks from outside.
enum class SimSymptom {
    Network,  // the driver exits with 1; its last words are of the network
    Plain,    // the driver exits with 1 and no word of use
    Lost,     // its nodes are gone without a trace
};

struct SimOutage {
    std::string zone;
    base::Duration at{};
    base::Duration length{};
    SimOutageKind kind = SimOutageKind::Gray;
    SimSymptom symptom = SimSymptom::Network;
    SimSpread fails_after;                          // Gray: from the outage's begin or the run's start
    std::optional<base::Duration> announced_after;  // from its begin until the provider says so; nothing: never
    base::Duration announced_longer{};              // from its end until the provider takes it back

    base::Duration end() const { return at + length; }
};

struct SimScenario {
    std::string name;
    std::string about;
    base::Duration length = std::chrono::hours(1);  // no run is submitted later; the world goes on until all have ended
    std::vector<std::string> zones;
    std::vector<SimSubnet> subnets;
    std::vector<SimJob> jobs;
    std::vector<SimOutage> outages;
    SimSpread start_time{std::chrono::seconds(45), 0.3};  // from the decision until the nodes have their addresses
    SimSpread linger{std::chrono::seconds(60), 0};        // an ended run's interfaces keep their addresses for this
    bool count_outages_only = false;                      // metrics count only runs submitted during an outage
    base::Duration model_retry_delay =
        std::chrono::minutes(1);           // the models have no backoff: they try again after this
    std::uint64_t events_max = 1'000'000;  // of one world
};

// What is compared: one of our strategies, or a model of what users have: the provider's own choice or the published
// recipe, with the free addresses as the provider says, and no reservations, breakers or memory of what was tried.
struct SimStrategy {
    std::string name;
    jobs::Strategy strategy = jobs::Strategy::Ordered;
    bool model = false;
};
// resilient, ordered, random, capacity, aws-ordered, aws-random, aws-capacity
const std::vector<SimStrategy>& sim_strategies();

struct SimAttempt {
    std::string connection;  // empty: none was usable
    std::string subnet;
    std::string zone;
    std::uint64_t nodes = 0;  // it started with so many; 0: it did not start
    base::Duration submitted_at{};
    std::optional<base::Duration> started_at;  // its nodes have their addresses
    base::Duration ended_at{};
    std::optional<base::Duration> released_at;  // its addresses are free again
    bool succeeded = false;
    std::string why;  // it failed, and what was made of it
};

struct SimRun {
    std::size_t job = 0;
    base::Duration submitted_at{};
    std::vector<SimAttempt> attempts;
    bool succeeded = false;
    int ends = 0;  // how often it became final: once
};

// One world's course.
struct SimHistory {
    std::vector<SimRun> runs;  // in the order of submission
    std::uint64_t events = 0;
    std::vector<std::uint64_t> free_at_end;  // by subnet, when all has ended and no interface lingers
};

// Errors: InvalidArgument if the world needs more than events_max events.
base::Result<SimHistory> simulate_once(const SimScenario& scenario, const SimStrategy& strategy, std::uint64_t seed);

// Shares are of the counted runs; nothing where none was counted.
struct SimMetrics {
    std::uint64_t runs = 0;
    std::optional<double> success;            // ended as succeeded, at whichever attempt
    std::optional<double> first;              // succeeded at the first attempt
    std::optional<double> full_size;          // the last attempt started, and with all nodes
    std::optional<double> wait_p50_s;         // from submission to the first start, of the runs that started
    std::optional<double> wait_p99_s;         // of fewer than 100 the longest
    std::optional<double> retries_per_run;    // further attempts
    std::optional<double> retries_in_outage;  // further attempts begun during outages, per run submitted during them
};

// Adds up histories of one scenario and strategy.
class SimTally {
  public:
    explicit SimTally(const SimScenario& scenario) : scenario_(&scenario) {}
    void add(const SimHistory& history);
    SimMetrics metrics() const;

  private:
    const SimScenario* scenario_;
    std::uint64_t runs_ = 0;
    std::uint64_t succeeded_ = 0;
    std::uint64_t first_ = 0;
    std::uint64_t full_size_ = 0;
    std::uint64_t retries_ = 0;
    std::uint64_t runs_in_outage_ = 0;
    std::uint64_t retries_in_outage_ = 0;
    std::vector<double> waits_s_;
};

struct SimResult {
    SimStrategy strategy;
    SimMetrics all;                    // over all seeds together
    std::vector<SimMetrics> per_seed;  // in the order of the seeds
    std::uint64_t events = 0;
};

struct SimRequest {
    std::vector<SimStrategy> strategies;
    std::uint64_t seed = 1;  // the first one
    int seeds = 1;           // seed, seed + 1, …
};

// Every strategy on the same worlds. `progress` is told how many of how many worlds are done. Errors: simulate_once's.
base::Result<std::vector<SimResult>> simulate(const SimScenario& scenario, const SimRequest& request,
                                              const std::function<void(std::size_t done, std::size_t of)>& progress);

}  // namespace signalbox::engine
