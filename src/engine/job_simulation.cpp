#include "engine/job_simulation.hpp"

#include <algorithm>
#include <deque>
#include <queue>
#include <set>
#include <utility>

#include "base/assert.hpp"
#include "domain/jobs/attempts.hpp"
#include "engine/job_simulation_failure.hpp"
#include "engine/job_simulation_plan.hpp"
#include "engine/run_choice.hpp"

namespace signalbox::engine {
namespace {

using base::Duration;
using namespace std::chrono_literals;

// The daemon looks each second, and what changes by time alone (a breaker that opens halfway) is not waited for longer.
constexpr Duration look_after_change = 1s;
constexpr Duration look_at_least_each = 30s;
// Simulated time 0: Monday, 2026-01-05, midnight.
constexpr base::WallTime epoch{std::chrono::sys_days{std::chrono::year{2026} / 1 / 5}.time_since_epoch()};

base::WallTime wall(Duration at) { return epoch + at; }

enum class EventKind { Submit, Up, End, Release, Look };

struct Event {
    Duration at{};
    std::uint64_t sequence = 0;  // of the same time, what was planned first happens first
    EventKind kind = EventKind::Look;
    std::size_t index = 0;  // Submit: the run; the others but Look: the attempt
};

struct Later {
    bool operator()(const Event& a, const Event& b) const {
        return a.at != b.at ? a.at > b.at : a.sequence > b.sequence;
    }
};

struct Attempt {
    std::size_t run = 0;  // of the plan
    jobs::Run value;      // as the daemon would store it
    std::size_t subnet = 0;
    std::uint64_t taken = 0;            // addresses
    std::optional<SimFailure> failure;  // how its End is going to be
};

class World {
  public:
    World(const SimScenario& scenario, const SimStrategy& strategy, std::uint64_t seed);
    base::Result<SimHistory> go();

  private:
    void push(Duration at, EventKind kind, std::size_t index = 0) { events_.push({at, sequence_++, kind, index}); }
    void handle(const Event& event);
    void submit(std::size_t run);
    void look_by(Duration at);
    void look();
    void consider(std::size_t index);
    void wait(std::size_t index, Duration until);
    void begin(std::size_t index, const jobs::Ranked& choice);
    void up(std::size_t index);
    void end(std::size_t index);
    void release(std::size_t index);
    void over(std::size_t index, std::optional<SimFailure> failure, const std::string& detail = {});
    void again(Attempt& attempt, std::optional<SimFailure> failure);
    void again_as_provider(const Attempt& attempt);

    void observe();
    void settle_ledger();
    jobs::RetryHistory retry_history(std::size_t job);

    SimRun& run_of(const Attempt& attempt) { return history_.runs[attempt.run]; }
    SimAttempt& record_of(const Attempt& attempt) {
        return history_.runs[attempt.run].attempts[static_cast<std::size_t>(attempt.value.attempt)];
    }

    const SimScenario& scenario_;
    const SimStrategy& strategy_;
    const std::uint64_t seed_;
    std::vector<jobs::Job> jobs_;
    std::vector<SimPlannedRun> plan_;
    std::vector<std::uint64_t> free_;  // addresses, by subnet
    Surroundings around_;              // what the daemon knows; of a model's world, the facts alone
    bool ledger_stale_ = false;

    Duration now_{};
    std::uint64_t sequence_ = 0;
    std::priority_queue<Event, std::vector<Event>, Later> events_;
    std::optional<Duration> next_look_;
    std::deque<Attempt> attempts_;
    std::vector<std::optional<jobs::Run>> next_;  // by run: the attempt that its next Submit begins
    std::deque<std::size_t> waiting_;             // in the order of submission
    std::set<std::size_t> active_;                // those that start or run
    std::set<std::size_t> tracked_;               // those that the ledger may have rows of
    std::vector<int> active_of_job_;
    std::vector<std::deque<Duration>> submitted_of_job_;  // lately, for the retry budget
    std::vector<std::deque<Duration>> retries_of_job_;
    SimHistory history_;
};

World::World(const SimScenario& scenario, const SimStrategy& strategy, std::uint64_t seed)
    : scenario_(scenario),
      strategy_(strategy),
      seed_(seed),
      plan_(sim_plan(scenario, seed)),
      next_(plan_.size()),
      active_of_job_(scenario.jobs.size()),
      submitted_of_job_(scenario.jobs.size()),
      retries_of_job_(scenario.jobs.size()) {
    around_.facts = sim_facts(scenario);
    for (const SimSubnet& subnet : scenario.subnets) free_.push_back(subnet.addresses);
    for (const SimJob& from : scenario.jobs) {
        jobs::Job& job = jobs_.emplace_back(from.job);
        job.strategy = strategy.strategy;
        for (jobs::Connection& connection : job.connections) connection.security_groups = {sim_group};
        // The provider by itself starts with what there is.
        if (strategy.model) job.workers_min = std::min(2, job.workers);
    }
    for (std::size_t i = 0; i < plan_.size(); ++i) {
        SimRun& run = history_.runs.emplace_back();
        run.job = plan_[i].job;
        run.submitted_at = plan_[i].at;
        push(plan_[i].at, EventKind::Submit, i);
    }
}

base::Result<SimHistory> World::go() {
    while (!events_.empty()) {
        if (++history_.events > scenario_.events_max)
            return base::fail(
                base::ErrorKind::InvalidArgument,
                "scenario '{}' with {} and seed {} needs more than {} events (it had got to {} with {} runs "
                "waiting): submit fewer runs, or set a higher events_max",
                scenario_.name, strategy_.name, seed_, scenario_.events_max,
                base::format_duration(std::chrono::floor<std::chrono::seconds>(now_)), waiting_.size());
        const Event event = events_.top();
        events_.pop();
        SB_ASSERT(event.at >= now_, "simulated time never goes back");
        now_ = event.at;
        handle(event);
    }
    SB_ASSERT(waiting_.empty() && active_.empty(), "every run of a simulated world ends");
    history_.free_at_end = free_;
    return std::move(history_);
}

void World::handle(const Event& event) {
    switch (event.kind) {
        case EventKind::Submit:
            return submit(event.index);
        case EventKind::Up:
            return up(event.index);
        case EventKind::End:
            return end(event.index);
        case EventKind::Release:
            return release(event.index);
        case EventKind::Look:
            if (next_look_ != event.at) return;  // an earlier one took its place
            next_look_.reset();
            return look();
    }
}

void World::submit(std::size_t run) {
    SimRun& history = history_.runs[run];
    Attempt& attempt = attempts_.emplace_back();
    attempt.run = run;
    if (next_[run]) {
        attempt.value = *std::exchange(next_[run], std::nullopt);
        retries_of_job_[history.job].push_back(now_);
    } else {
        attempt.value.id = sim_run_id(seed_, run);
        attempt.value.job = jobs_[history.job];
        attempt.value.first_submitted_at = attempt.value.submitted_at = wall(now_);
        submitted_of_job_[history.job].push_back(now_);
    }
    history.attempts.emplace_back().submitted_at = now_;
    consider(attempts_.size() - 1);
}

void World::look_by(Duration at) {
    if (next_look_ && *next_look_ <= at) return;
    next_look_ = at;
    push(at, EventKind::Look);
}

void World::look() {
    std::deque<std::size_t> before;
    before.swap(waiting_);
    for (const std::size_t attempt : before) consider(attempt);
}

void World::wait(std::size_t index, Duration until) {
    waiting_.push_back(index);
    look_by(std::min(until, now_ + look_at_least_each));
}

// Starts it, ends it, or leaves it waiting: as one pass of the daemon's loop over a waiting run.
void World::consider(std::size_t index) {
    Attempt& attempt = attempts_[index];
    const jobs::Job& job = attempt.value.job;
    const Duration expires = record_of(attempt).submitted_at + job.queue_time_max;
    if (now_ >= expires) return over(index, SimFailure::Expired, "it waited for longer than its queue time");
    if (active_of_job_[run_of(attempt).job] >= job.max_concurrent_runs) return wait(index, expires);
    if (!attempt.value.deciding_since) attempt.value.deciding_since = wall(now_);
    observe();
    const jobs::Decision decision = jobs::decide(decision_input(attempt.value, around_, wall(now_)));
    if (const jobs::Ranked* choice = decision.choice()) return begin(index, *choice);
    if (decision.wait_until) return wait(index, std::min(expires, std::max(*decision.wait_until - epoch, now_ + 1s)));
    if (!strategy_.model && !waits_for_addresses(decision, around_.ledger).empty()) return wait(index, expires);
    over(index, SimFailure::NoConnection, decision.reason);
}

void World::begin(std::size_t index, const jobs::Ranked& choice) {
    Attempt& attempt = attempts_[index];
    SimAttempt& record = record_of(attempt);
    jobs::Run& run = attempt.value;
    run.connection = choice.candidate.connection;
    run.zone = choice.candidate.zone;
    run.starting_at = wall(now_);
    std::vector<std::string> tokens;
    for (int rank = 0; rank < static_cast<int>(choice.nodes); ++rank) {
        jobs::Node& node = run.nodes.emplace_back();
        node.rank = rank;
        node.token = jobs::node_token(run, rank);
        tokens.push_back(node.token);
    }
    const auto subnet = std::find_if(scenario_.subnets.begin(), scenario_.subnets.end(),
                                     [&](const SimSubnet& known) { return known.id == run.connection->subnet; });
    SB_ASSERT(subnet != scenario_.subnets.end(), "a connection whose subnet is unknown is never chosen");
    attempt.subnet = static_cast<std::size_t>(subnet - scenario_.subnets.begin());
    record.connection = run.connection->name;
    record.subnet = subnet->id;
    record.zone = subnet->zone;
    active_.insert(index);
    ++active_of_job_[run_of(attempt).job];
    if (!strategy_.model) {
        around_.ledger.reserve(run.id, subnet->id, tokens, wall(now_));
        around_.uses.push_back({run.connection->name, subnet->id, run.zone, wall(now_)});
        tracked_.insert(index);
    }
    base::Prng prng = sim_prng(seed_, SimDraw::StartTime, attempt.run, static_cast<std::uint64_t>(run.attempt));
    push(now_ + sim_draw(scenario_.start_time, prng), EventKind::Up, index);
}

// The nodes' interfaces are made. The provider gives a model's run what there is by now; ours is started with the nodes
// that were planned, or not at all.
void World::up(std::size_t index) {
    Attempt& attempt = attempts_[index];
    SimAttempt& record = record_of(attempt);
    const jobs::Job& job = attempt.value.job;
    ledger_stale_ = true;
    if (sim_down(scenario_, record.zone, now_)) return over(index, SimFailure::Refused);
    const std::uint64_t planned = attempt.value.nodes.size();
    const std::uint64_t wanted = strategy_.model ? static_cast<std::uint64_t>(job.workers) : planned;
    const std::uint64_t least = strategy_.model ? static_cast<std::uint64_t>(job.workers_min) : planned;
    const std::uint64_t nodes = std::min(wanted, free_[attempt.subnet]);
    if (nodes < least) return over(index, SimFailure::NoAddresses);
    free_[attempt.subnet] -= nodes;
    attempt.taken = nodes;
    attempt.value.running_at = wall(now_);
    record.nodes = nodes;
    record.started_at = now_;
    const SimPlannedRun& plan = plan_[attempt.run];
    const Duration good = now_ + plan.run_time * job.workers / static_cast<std::int64_t>(nodes);
    if (plan.fails) attempt.failure = SimFailure::Own;
    const auto strike = sim_strike(scenario_, record.zone, now_, good, seed_, attempt.run,
                                   static_cast<std::uint64_t>(attempt.value.attempt));
    if (strike) attempt.failure = sim_failure(strike->symptom);
    push(strike ? strike->at : good, EventKind::End, index);
}

void World::end(std::size_t index) {
    Attempt& attempt = attempts_[index];
    base::Prng prng = sim_prng(seed_, SimDraw::Linger, attempt.run, static_cast<std::uint64_t>(attempt.value.attempt));
    const Duration back = now_ + sim_draw(scenario_.linger, prng);
    record_of(attempt).released_at = back;
    push(back, EventKind::Release, index);
    over(index, attempt.failure);
}

void World::release(std::size_t index) {
    Attempt& attempt = attempts_[index];
    free_[attempt.subnet] += attempt.taken;
    SB_ASSERT(free_[attempt.subnet] <= scenario_.subnets[attempt.subnet].addresses, "an address comes back once");
    attempt.taken = 0;
    ledger_stale_ = true;
    if (!waiting_.empty()) look_by(now_ + look_after_change);
}

void World::over(std::size_t index, std::optional<SimFailure> failure, const std::string& detail) {
    Attempt& attempt = attempts_[index];
    SimRun& run = run_of(attempt);
    attempt.value.ended_at = wall(now_);
    record_of(attempt).ended_at = now_;
    record_of(attempt).succeeded = run.succeeded = !failure;
    if (active_.erase(index) > 0) {
        --active_of_job_[run.job];
        ledger_stale_ = true;
        const auto use = std::find_if(around_.uses.begin(), around_.uses.end(), [&](const jobs::PlaceUse& other) {
            return other.connection == attempt.value.connection->name && other.since == *attempt.value.starting_at;
        });
        if (use != around_.uses.end()) around_.uses.erase(use);
    }
    if (!waiting_.empty()) look_by(now_ + look_after_change);
    attempt.value.state = jobs::RunState::Succeeded;
    if (failure) sim_fail(attempt.value, *failure, detail, scenario_.jobs[run.job].failure_exit_code);
    record_of(attempt).why = attempt.value.reason;
    strategy_.model ? again_as_provider(attempt) : again(attempt, failure);
}

// A model's runs are tried again whatever they failed of, as the provider and workflows do.
void World::again_as_provider(const Attempt& attempt) {
    SimRun& run = run_of(attempt);
    const bool expired = attempt.value.state == jobs::RunState::Expired;
    if (run.succeeded || expired || attempt.value.attempt + 1 >= attempt.value.job.retry.attempts_max) {
        ++run.ends;
        return;
    }
    jobs::Run next;
    next.attempt = attempt.value.attempt + 1;
    next.id = jobs::attempt_id(jobs::first_attempt_id(attempt.value.id), next.attempt);
    next.job = attempt.value.job;
    next_[attempt.run] = std::move(next);
    push(now_ + scenario_.model_retry_delay, EventKind::Submit, attempt.run);
}

// What its end says of its place, and whether it is tried again: by the daemon's own rules.
void World::again(Attempt& attempt, std::optional<SimFailure> failure) {
    SimRun& run = run_of(attempt);
    jobs::FailureFacts facts;
    const std::string zone = attempt.value.zone;
    if (failure && attempt.value.connection) {
        facts.log_tail = sim_last_words(*failure);
        facts.zone_impaired = sim_announced(scenario_, zone, now_);
        facts.zone_open = around_.breakers.zone(zone, wall(now_)).state == jobs::BreakerState::Open;
    }
    jobs::Step step;
    step.run = attempt.value;
    jobs::Conclusion conclusion = jobs::conclude(step, facts, retry_history(run.job), wall(now_));
    if (conclusion.outcome) around_.breakers.record(*conclusion.outcome);
    if (!step.run.retry_reason.empty()) record_of(attempt).why += "; " + step.run.retry_reason;
    if (!conclusion.next) {
        ++run.ends;
        return;
    }
    const Duration due = std::max(conclusion.next->not_before.value_or(wall(now_)) - epoch, now_);
    next_[attempt.run] = std::move(conclusion.next);
    push(due, EventKind::Submit, attempt.run);
}

jobs::RetryHistory World::retry_history(std::size_t job) {
    const Duration since = now_ - jobs_[job].retry.budget_window;
    for (auto* times : {&submitted_of_job_[job], &retries_of_job_[job]})
        while (!times->empty() && times->front() < since) times->pop_front();
    return {static_cast<int>(submitted_of_job_[job].size()), static_cast<int>(retries_of_job_[job].size())};
}

// The provider's answer at this moment, and the ledger by it.
void World::observe() {
    network::Facts& facts = around_.facts;
    facts.read_at = wall(now_);
    for (network::Zone& zone : facts.zones)
        zone.state = sim_announced(scenario_, zone.id, now_) ? "impaired" : "available";
    for (std::size_t i = 0; i < free_.size(); ++i) facts.subnets[i].free_addresses = free_[i];
    if (ledger_stale_ && !strategy_.model) settle_ledger();
    ledger_stale_ = false;
}

void World::settle_ledger() {
    std::vector<jobs::NodeSeen> nodes;
    std::vector<jobs::InterfaceSeen> interfaces;
    for (auto it = tracked_.begin(); it != tracked_.end();) {
        const Attempt& attempt = attempts_[*it];
        const jobs::Run& run = attempt.value;
        for (const jobs::Node& node : run.nodes) {
            nodes.push_back({node.token, node.token, run.ended_at && !run.running_at, run.running_at, run.ended_at});
            if (attempt.taken > 0) interfaces.push_back({node.token, node.token, run.connection->subnet});
        }
        // Once more when it has gone, and no longer.
        it = run.ended_at && attempt.taken == 0 ? tracked_.erase(it) : std::next(it);
    }
    around_.ledger.settle(nodes, interfaces, around_.facts.read_at);
}

}  // namespace

const std::vector<SimStrategy>& sim_strategies() {
    static const std::vector<SimStrategy> strategies = {
        {"resilient", jobs::Strategy::Resilient, false}, {"ordered", jobs::Strategy::Ordered, false},
        {"random", jobs::Strategy::Random, false},       {"capacity", jobs::Strategy::Capacity, false},
        {"aws-ordered", jobs::Strategy::Ordered, true},  {"aws-random", jobs::Strategy::Random, true},
        {"aws-capacity", jobs::Strategy::Capacity, true}};
    return strategies;
}

base::Result<SimHistory> simulate_once(const SimScenario& scenario, const SimStrategy& strategy, std::uint64_t seed) {
    const double expected = sim_expected_runs(scenario);
    if (expected > static_cast<double>(scenario.events_max))
        return base::fail(
            base::ErrorKind::InvalidArgument,
            "scenario '{}' submits about {:.0f} runs, but its world may have no more than {} events: submit "
            "fewer runs, or set a higher events_max",
            scenario.name, expected, scenario.events_max);
    return World(scenario, strategy, seed).go();
}

}  // namespace signalbox::engine
