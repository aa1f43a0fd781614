#include "engine/job_simulation.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <queue>
#include <set>

#include "base/assert.hpp"
#include "domain/jobs/breakers.hpp"
#include "domain/jobs/decision.hpp"
#include "domain/jobs/retry.hpp"
#include "domain/network/check.hpp"
#include "engine/job_simulation_failure.hpp"
#include "engine/job_simulation_plan.hpp"

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
    std::size_t index = 0;  // Submit: the run; Up and End: the attempt; Release: the subnet
    std::uint64_t count = 0;  // Release: so many addresses
};

struct Later {
    bool operator()(const Event& a, const Event& b) const {
        return a.at != b.at ? a.at > b.at : a.sequence > b.sequence;
    }
};

struct Attempt {
    std::size_t run = 0;
    std::size_t number = 0;
    std::optional<Duration> deciding_since;
    std::optional<jobs::Connection> connection;
    std::size_t subnet = 0;
    std::uint64_t planned = 0;  // nodes
    std::uint64_t taken = 0;    // addresses
    std::optional<SimFailure> failure;  // how its End is going to be
};

struct Pool {
    std::uint64_t free = 0;
    std::uint64_t promised = 0;
    std::multimap<Duration, std::uint64_t> lingering;  // by when they come back
};

class World {
  public:
    World(const SimScenario& scenario, const SimStrategy& strategy, std::uint64_t seed);
    base::Result<SimHistory> go();

  private:
    void push(Duration at, EventKind kind, std::size_t index = 0, std::uint64_t count = 0);
    void handle(const Event& event);
    void submit(std::size_t run);
    void look_by(Duration at);
    void look();
    void consider(std::size_t attempt);
    void begin(std::size_t attempt, const jobs::Ranked& choice);
    void up(std::size_t attempt);
    void end(std::size_t attempt);
    void over(std::size_t attempt, std::optional<SimFailure> failure, const std::string& detail = {});
    void again_as_provider(const Attempt& attempt);
    void again(const Attempt& attempt, const jobs::Run& ended, SimFailure failure);

    void observe();
    jobs::DecisionInput input(std::size_t attempt);
    jobs::Candidate candidate(const jobs::Job& job, const jobs::Connection& connection,
                              const std::vector<jobs::PlaceUse>& in_use) const;
    jobs::PlaceOutcome outcome_of(const Attempt& attempt, std::optional<jobs::RetryClass> failure) const;
    jobs::Run as_run(const Attempt& attempt, SimFailure failure, const std::string& detail) const;
    jobs::RetryHistory retry_history(std::size_t job);

    SimAttempt& record_of(const Attempt& attempt) { return history_.runs[attempt.run].attempts[attempt.number]; }
    const jobs::Job& job_of(const Attempt& attempt) const { return jobs_[plan_[attempt.run].job]; }

    const SimScenario& scenario_;
    const SimStrategy& strategy_;
    const std::uint64_t seed_;
    std::vector<jobs::Job> jobs_;
    std::vector<SimPlannedRun> plan_;
    network::Facts facts_;
    std::vector<Pool> pools_;
    jobs::Breakers breakers_;
    std::vector<std::vector<jobs::Tried>> tried_;  // by run

    Duration now_{};
    std::uint64_t sequence_ = 0;
    std::priority_queue<Event, std::vector<Event>, Later> events_;
    std::optional<Duration> next_look_;
    std::vector<Attempt> attempts_;
    std::deque<std::size_t> waiting_;  // attempts, in the order of submission
    std::set<std::size_t> active_;     // attempts that start or run
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
      facts_(sim_facts(scenario)),
      tried_(plan_.size()),
      active_of_job_(scenario.jobs.size()),
      submitted_of_job_(scenario.jobs.size()),
      retries_of_job_(scenario.jobs.size()) {
    for (const SimSubnet& subnet : scenario.subnets) pools_.push_back({subnet.addresses, 0, {}});
    for (const SimJob& from : scenario.jobs) {
        jobs::Job& job = jobs_.emplace_back(from.job);
        job.strategy = strategy.strategy;
        for (jobs::Connection& connection : job.connections) connection.security_groups = {sim_group};
        if (!strategy.model) continue;
        // What the provider does by itself: it starts with what there is, and waits for nothing.
        job.workers_min = std::min(2, job.workers);
        job.full_size_wait = Duration::zero();
    }
    for (std::size_t i = 0; i < plan_.size(); ++i) {
        SimRun run;
        run.job = plan_[i].job;
        run.submitted_at = plan_[i].at;
        history_.runs.push_back(run);
        push(plan_[i].at, EventKind::Submit, i);
    }
}

void World::push(Duration at, EventKind kind, std::size_t index, std::uint64_t count) {
    events_.push({at, sequence_++, kind, index, count});
}

base::Result<SimHistory> World::go() {
    while (!events_.empty()) {
        if (++history_.events > scenario_.events_max)
            return base::fail(base::ErrorKind::InvalidArgument,
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
    for (const Pool& pool : pools_) history_.free_at_end.push_back(pool.free);
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
        case EventKind::Release: {
            Pool& pool = pools_[event.index];
            pool.lingering.erase(pool.lingering.find(event.at));
            pool.free += event.count;
            SB_ASSERT(pool.free <= scenario_.subnets[event.index].addresses, "an address comes back once");
            if (!waiting_.empty()) look_by(now_ + look_after_change);
            return;
        }
        case EventKind::Look:
            if (next_look_ != event.at) return;  // an earlier one took its place
            next_look_.reset();
            return look();
    }
}

void World::submit(std::size_t run) {
    SimRun& history = history_.runs[run];
    Attempt attempt;
    attempt.run = run;
    attempt.number = history.attempts.size();
    history.attempts.emplace_back().submitted_at = now_;
    (attempt.number == 0 ? submitted_of_job_ : retries_of_job_)[history.job].push_back(now_);
    attempts_.push_back(std::move(attempt));
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

// Starts it, ends it, or leaves it waiting.
void World::consider(std::size_t index) {
    const jobs::Job& job = job_of(attempts_[index]);
    const Duration since = record_of(attempts_[index]).submitted_at;
    if (active_of_job_[plan_[attempts_[index].run].job] >= job.max_concurrent_runs) {
        const Duration expires = since + job.queue_time_max;
        if (now_ >= expires) return over(index, SimFailure::Expired, "it waited in the queue for too long");
        waiting_.push_back(index);
        return look_by(std::min(expires, now_ + look_at_least_each));
    }
    if (!attempts_[index].deciding_since) attempts_[index].deciding_since = now_;
    const jobs::Decision decision = jobs::decide(input(index));
    if (const jobs::Ranked* choice = decision.choice()) return begin(index, *choice);
    if (decision.wait_until && *decision.wait_until > wall(now_)) {
        waiting_.push_back(index);
        return look_by(std::min(*decision.wait_until - epoch, now_ + look_at_least_each));
    }
    over(index, SimFailure::NoConnection, decision.reason);
}

void World::begin(std::size_t index, const jobs::Ranked& choice) {
    Attempt& attempt = attempts_[index];
    SimAttempt& record = record_of(attempt);
    attempt.connection = choice.candidate.connection;
    attempt.planned = choice.nodes;
    const auto subnet = std::find_if(scenario_.subnets.begin(), scenario_.subnets.end(),
                                     [&](const SimSubnet& known) { return known.id == attempt.connection->subnet; });
    SB_ASSERT(subnet != scenario_.subnets.end(), "a connection without a subnet is never chosen");
    attempt.subnet = static_cast<std::size_t>(subnet - scenario_.subnets.begin());
    record.connection = attempt.connection->name;
    record.subnet = subnet->id;
    record.zone = subnet->zone;
    if (!strategy_.model) pools_[attempt.subnet].promised += attempt.planned;
    active_.insert(index);
    ++active_of_job_[plan_[attempt.run].job];
    base::Prng prng = sim_prng(seed_, SimDraw::StartTime, attempt.run, attempt.number);
    push(now_ + sim_draw(scenario_.start_time, prng), EventKind::Up, index);
}

// The nodes' interfaces are made. The provider gives a model's run what there is by now; ours is started with the nodes
// that were planned, or not at all.
void World::up(std::size_t index) {
    Attempt& attempt = attempts_[index];
    Pool& pool = pools_[attempt.subnet];
    const jobs::Job& job = job_of(attempt);
    if (!strategy_.model) pool.promised -= attempt.planned;
    if (sim_down(scenario_, record_of(attempt).zone, now_)) return over(index, SimFailure::Refused);
    const auto wanted = strategy_.model ? static_cast<std::uint64_t>(job.workers) : attempt.planned;
    const auto least = strategy_.model ? static_cast<std::uint64_t>(job.workers_min) : attempt.planned;
    const std::uint64_t nodes = std::min(wanted, pool.free);
    if (nodes < least) return over(index, SimFailure::NoAddresses);
    pool.free -= nodes;
    attempt.taken = nodes;
    SimAttempt& record = record_of(attempt);
    record.nodes = nodes;
    record.started_at = now_;
    const SimPlannedRun& planned = plan_[attempt.run];
    const Duration good = now_ + planned.run_time * job.workers / static_cast<std::int64_t>(nodes);
    if (planned.fails) attempt.failure = SimFailure::Own;
    const auto strike = sim_strike(scenario_, record.zone, now_, good, seed_, attempt.run, attempt.number);
    if (strike) attempt.failure = sim_failure(strike->symptom);
    push(strike ? strike->at : good, EventKind::End, index);
}

void World::end(std::size_t index) {
    const Attempt& attempt = attempts_[index];
    base::Prng prng = sim_prng(seed_, SimDraw::Linger, attempt.run, attempt.number);
    const Duration back = now_ + sim_draw(scenario_.linger, prng);
    record_of(attempt).released_at = back;
    pools_[attempt.subnet].lingering.emplace(back, attempt.taken);
    push(back, EventKind::Release, attempt.subnet, attempt.taken);
    over(index, attempt.failure);
}

void World::over(std::size_t index, std::optional<SimFailure> failure, const std::string& detail) {
    const Attempt& attempt = attempts_[index];
    SimAttempt& record = record_of(attempt);
    SimRun& run = history_.runs[attempt.run];
    record.ended_at = now_;
    if (active_.erase(index) > 0) --active_of_job_[run.job];
    if (!waiting_.empty()) look_by(now_ + look_after_change);
    if (!failure) {
        record.succeeded = run.succeeded = true;
        ++run.ends;
        if (!strategy_.model) breakers_.record(outcome_of(attempt, std::nullopt));
        return;
    }
    const jobs::Run ended = as_run(attempt, *failure, detail);
    record.why = ended.reason;
    if (*failure == SimFailure::Expired) {
        ++run.ends;
        return;
    }
    strategy_.model ? again_as_provider(attempt) : again(attempt, ended, *failure);
}

// A model's runs are tried again whatever they ended of, as the provider and workflows do.
void World::again_as_provider(const Attempt& attempt) {
    SimRun& run = history_.runs[attempt.run];
    if (static_cast<int>(attempt.number) + 1 >= job_of(attempt).retry.attempts_max) {
        ++run.ends;
        return;
    }
    push(now_ + scenario_.model_retry_delay, EventKind::Submit, attempt.run);
}

void World::again(const Attempt& attempt, const jobs::Run& ended, SimFailure failure) {
    SimRun& run = history_.runs[attempt.run];
    const jobs::FailureFacts facts{sim_last_words(failure), sim_announced(scenario_, ended.zone, now_),
                                   !ended.zone.empty() && breakers_.zone(ended.zone, wall(now_)).state ==
                                                              jobs::BreakerState::Open};
    const jobs::Verdict verdict = jobs::classify(ended, facts);
    record_of(attempt).why += fmt::format("; {}: {}", jobs::to_string(verdict.retry), verdict.reason);
    if (attempt.connection) {
        breakers_.record(outcome_of(attempt, verdict.retry));
        tried_[attempt.run].push_back({attempt.connection->name, attempt.connection->subnet, ended.zone, verdict.retry});
    }
    const jobs::RetryPlan plan = jobs::plan_retry(ended, verdict, retry_history(run.job), wall(now_));
    if (!plan.again) {
        record_of(attempt).why += "; " + plan.reason;
        ++run.ends;
        return;
    }
    push(std::max(plan.not_before - epoch, now_), EventKind::Submit, attempt.run);
}

jobs::RetryHistory World::retry_history(std::size_t job) {
    const Duration since = now_ - jobs_[job].retry.budget_window;
    for (auto* times : {&submitted_of_job_[job], &retries_of_job_[job]})
        while (!times->empty() && times->front() < since) times->pop_front();
    return {static_cast<int>(submitted_of_job_[job].size()), static_cast<int>(retries_of_job_[job].size())};
}

jobs::PlaceOutcome World::outcome_of(const Attempt& attempt, std::optional<jobs::RetryClass> failure) const {
    const SimAttempt& record = history_.runs[attempt.run].attempts[attempt.number];
    return {wall(now_),       sim_run_id(seed_, attempt.run), record.connection,
            record.subnet, record.zone,                    failure};
}

// The provider's answer at this moment.
void World::observe() {
    facts_.read_at = wall(now_);
    for (network::Zone& zone : facts_.zones) zone.state = sim_announced(scenario_, zone.id, now_) ? "impaired" : "available";
    for (std::size_t i = 0; i < pools_.size(); ++i) facts_.subnets[i].free_addresses = pools_[i].free;
}

jobs::Candidate World::candidate(const jobs::Job& job, const jobs::Connection& connection,
                                 const std::vector<jobs::PlaceUse>& in_use) const {
    jobs::Candidate candidate;
    candidate.connection = connection;
    const auto subnet = std::find_if(facts_.subnets.begin(), facts_.subnets.end(),
                                     [&](const network::Subnet& known) { return known.id == connection.subnet; });
    SB_ASSERT(subnet != facts_.subnets.end(), "a scenario's connections lie in its subnets");
    const Pool& pool = pools_[static_cast<std::size_t>(subnet - facts_.subnets.begin())];
    network::Demand demand;
    demand.subnet = connection.subnet;
    demand.security_groups = connection.security_groups;
    demand.nodes = static_cast<std::uint64_t>(job.workers);
    demand.promised = strategy_.model ? 0 : pool.promised;
    network::Report report = network::check(facts_, demand, wall(now_));
    candidate.network = std::move(report.network);
    candidate.zone = std::move(report.zone);
    candidate.way_out = std::move(report.way_out);
    candidate.free_addresses = report.free_addresses;
    candidate.available = report.available;
    candidate.faults = std::move(report.faults);
    if (strategy_.model) return candidate;
    for (const auto& [back, count] : pool.lingering) candidate.coming_back += count;
    if (!pool.lingering.empty()) candidate.back_at = wall(pool.lingering.begin()->first);
    candidate.health = breakers_.health(connection, candidate.zone, in_use, wall(now_));
    return candidate;
}

jobs::DecisionInput World::input(std::size_t index) {
    const Attempt& attempt = attempts_[index];
    observe();
    jobs::DecisionInput input;
    input.job = job_of(attempt);
    std::vector<jobs::PlaceUse> in_use;
    for (const std::size_t other : strategy_.model ? std::set<std::size_t>{} : active_) {
        const SimAttempt& record = record_of(attempts_[other]);
        in_use.push_back({record.connection, record.subnet, record.zone});
    }
    for (const jobs::Connection& connection : input.job.connections)
        input.candidates.push_back(candidate(input.job, connection, in_use));
    input.at = wall(now_);
    input.facts_at = facts_.read_at;
    input.seed = sim_prng(seed_, SimDraw::Decision, attempt.run, attempt.number).next();
    if (!strategy_.model) input.tried = tried_[attempt.run];
    input.deciding_since = wall(*attempt.deciding_since);
    return input;
}

// The attempt as the daemon would have stored it.
jobs::Run World::as_run(const Attempt& attempt, SimFailure failure, const std::string& detail) const {
    const SimAttempt& record = history_.runs[attempt.run].attempts[attempt.number];
    jobs::Run run;
    run.attempt = static_cast<int>(attempt.number);
    run.id = jobs::attempt_id(sim_run_id(seed_, attempt.run), run.attempt);
    run.job = job_of(attempt);
    run.submitted_at = wall(record.submitted_at);
    run.ended_at = wall(now_);
    run.connection = attempt.connection;
    run.zone = record.zone;
    if (attempt.connection) run.nodes.emplace_back();
    return sim_fail(std::move(run), failure, detail, scenario_.jobs[plan_[attempt.run].job].failure_exit_code);
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
        return base::fail(base::ErrorKind::InvalidArgument,
                          "scenario '{}' submits about {:.0f} runs, but its world may have no more than {} events: submit "
                          "fewer runs, or set a higher events_max",
                          scenario.name, expected, scenario.events_max);
    return World(scenario, strategy, seed).go();
}

}  // namespace signalbox::engine
