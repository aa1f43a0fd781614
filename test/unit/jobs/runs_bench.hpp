#pragma once
// Runs at every point of their life, for the tests of the lifecycle.

#include <algorithm>
#include <string>
#include <vector>

#include "domain/jobs/attempts.hpp"
#include "domain/jobs/lifecycle.hpp"

namespace signalbox::jobs {

inline const base::WallTime t0{std::chrono::hours(24 * 365 * 50)};

inline Run waiting_run(int workers = 2) {
    Run run;
    run.id = run_id(std::string(32, '\x5a'));
    run.job.name = "load";
    run.job.strategy = Strategy::Ordered;
    run.job.workers = workers;
    run.job.workers_min = std::min(2, workers);
    run.job.command = {"/bin/true"};
    run.job.timeout = std::chrono::minutes(10);
    run.job.retry.attempts_max = 3;
    run.directory = "/runs/" + run.id;
    run.first_submitted_at = run.submitted_at = t0;
    return run;
}

inline Decision decision_for(const Run& run, std::uint64_t available = 100) {
    Candidate candidate;
    candidate.connection.name = "via-a";
    candidate.connection.subnet = "data-a";
    candidate.zone = "a";
    candidate.free_addresses = candidate.available = available;
    DecisionInput input;
    input.job = run.job;
    input.candidates = {candidate};
    input.at = input.facts_at = input.deciding_since = t0;
    return decide(input);
}

inline Run starting_run(int workers = 2) {
    const Run run = waiting_run(workers);
    return apply_decision(run, decision_for(run), t0).run;
}

inline NodeProcess process_of(const Run& run, int rank, bool running = true) {
    NodeProcess process;
    process.token = node_token(run, rank);
    process.id = "p" + std::to_string(rank);
    process.address = "10.0.1." + std::to_string(10 + rank);
    process.running = running;
    if (!running) process.exit = Exit{ExitHow::Exited, 0, 0};
    return process;
}

inline NodeProcess failed_process(const Run& run, int rank, int code = 7) {
    NodeProcess process = process_of(run, rank, false);
    process.exit = Exit{ExitHow::Exited, code, 0};
    return process;
}

inline Step next(Run run, const Observation& observation, base::WallTime now, Rules rules = {}) {
    Limits limits;
    limits.rules = rules;
    return step(std::move(run), observation, now, limits);
}

inline Run running_run(int workers = 2) {
    Run run = starting_run(workers);
    std::vector<NodeProcess> processes;
    for (int rank = 0; rank < workers; ++rank) processes.push_back(process_of(run, rank));
    return next(std::move(run), processes, t0).run;
}

inline bool has(const Step& step, Action::Kind kind) {
    return std::any_of(step.actions.begin(), step.actions.end(),
                       [&](const Action& action) { return action.kind == kind; });
}

}  // namespace signalbox::jobs
