#include "engine/run_loop.hpp"

#include <algorithm>
#include <set>

#include "domain/jobs/attempts.hpp"

namespace signalbox::engine {
namespace {

using base::ErrorKind;
using base::fail;

constexpr const char* decide_lease = "decide";
constexpr const char* tend_lease = "tend";
constexpr std::size_t ahead_shown_max = 5;
// A pass ends when nothing more is to be done at once; more rounds than this would be a loop without progress.
constexpr int rounds_max = 16;
// Ended runs whose late processes are still looked for.
constexpr std::size_t stray_runs_max = 200;
// Names of nodes have at most 63 letters, the rank included.
constexpr std::size_t job_name_shown_max = 56;

}  // namespace

RunLoop::RunLoop(RunPorts ports, RunLoopConfig config, std::function<base::WallTime()> clock)
    : store_(ports.store),
      facts_(ports.facts),
      launcher_(ports.launcher),
      files_(ports.files),
      program_(ports.program),
      config_(std::move(config)),
      clock_(std::move(clock)) {}

base::Result<Submitted> submit_run(ports::RunStore& store, const Submission& submission, base::WallTime now) {
    Submitted submitted;
    jobs::Run& run = submitted.run;
    run.id = submission.id;
    run.job = submission.job;
    run.arguments = submission.arguments;
    run.directory = submission.directory;
    run.reason = "submitted";
    run.submitted_at = now;
    run.first_submitted_at = now;
    base::json::object data{{"workers", run.job.workers}};
    if (!submission.key.empty()) data["idempotency_key"] = submission.key;
    if (submission.force) data["forced"] = true;
    // In any order of the arguments it is the same request.
    auto sorted = submission.arguments;
    std::sort(sorted.begin(), sorted.end());
    base::json::array asked;
    for (const auto& [key, value] : sorted) asked.push_back(base::json::array{key, value});
    SB_TRY(const ports::Inserted inserted,
           store.insert(run, {{0, now, "run-submitted", run.job.name, 0, run.id, std::move(data)}},
                        {submission.key, base::json::serialize(asked)},
                        submission.force ? ports::IfPaused::Insert : ports::IfPaused::Refuse));
    if (inserted.created) return submitted;
    submitted.created = false;
    SB_TRY(run, store.load(inserted.id));
    return submitted;
}

base::Result<jobs::Run> ask_to_stop(ports::RunStore& store, const std::string& id, base::WallTime now) {
    // Others may move the run meanwhile, or make its next attempt.
    std::string last = id;
    for (int tries = 0; tries < rounds_max; ++tries) {
        SB_TRY(jobs::Run run, store.load(last));
        if (!run.next.empty()) {
            last = run.next;
            continue;
        }
        jobs::Step step = jobs::request_stop(std::move(run), now);
        if (!step.changed) return std::move(step.run);
        ports::Beside beside;
        for (const jobs::Note& note : step.notes)
            beside.entries.push_back({0, now, note.kind, step.run.job.name, 0, step.run.id, note.data});
        const auto status = store.save(step.run, beside, ports::Durability::Full);
        if (status) return std::move(step.run);
        if (status.error().kind != ErrorKind::Conflict) return tl::unexpected<base::Error>(status.error());
    }
    return fail(ErrorKind::UnknownOutcome, "run {} moved all the time: whether it will stop is not known; ask again",
                id);
}

base::Result<Submitted> RunLoop::submit(const Submission& submission) {
    return submit_run(store_, submission, clock_());
}

base::Result<jobs::Decision> RunLoop::explain(const jobs::Job& job) {
    SB_TRY(network::Facts facts, current_facts(base::Duration::zero()));
    SB_TRY(const ports::LedgerState stored, store_.ledger());
    SB_TRY(const Surroundings around, surroundings(std::move(facts), stored));
    jobs::DecisionInput input = decision_input(job, around, clock_());
    if (job.strategy == jobs::Strategy::Program) input.program = program_.ask(job.program, jobs::to_json(input));
    return jobs::decide(input);
}

base::Result<jobs::Run> RunLoop::reconcile(const std::string& id) {
    trouble_.clear();
    SB_TRY(jobs::Run run, store_.load(id));
    if (jobs::is_final(run.state)) return run;
    SB_TRY(const bool ours, store_.acquire(id, config_.owner, clock_(), config_.lease_time));
    if (!ours) return run;
    auto driven = drive(std::move(run));
    const auto released = store_.release(id, config_.owner);
    if (!driven && driven.error().kind == ErrorKind::Conflict) return store_.load(id);
    SB_CHECK(released);
    return driven;
}

base::Status RunLoop::reconcile_all() {
    SB_TRY(const auto ids, store_.active());
    base::Status first;
    std::string trouble;
    for (const std::string& id : ids) {
        const auto result = reconcile(id);
        if (!result && first) first = tl::unexpected<base::Error>(result.error());
        if (!trouble_.empty()) trouble = trouble_;
    }
    if (const auto status = tend_ledger(); !status && trouble.empty()) trouble = status.error().text();
    if (const auto status = stop_strays(); !status && trouble.empty()) trouble = status.error().text();
    trouble_ = trouble;
    return first;
}

base::Status RunLoop::reconcile_all_once() {
    SB_TRY(const bool ours, store_.acquire(tend_lease, config_.owner, clock_(), config_.lease_time));
    if (!ours) return {};
    const auto status = reconcile_all();
    const auto released = store_.release(tend_lease, config_.owner);
    return status ? released : status;
}

base::Result<jobs::Run> RunLoop::stop(const std::string& id) {
    SB_TRY(const jobs::Run asked, ask_to_stop(store_, id, clock_()));
    return reconcile(asked.id);
}

// Stores a step that changed something. Only after it succeeds may the step's actions be done.
base::Status RunLoop::keep(jobs::Step& step, base::WallTime now, const ports::LedgerChange* ledger) {
    if (!step.changed) return {};
    if (jobs::is_final(step.run.state)) return keep_final(step, now, ledger);
    return store_.save(step.run, {entries_of(step, now), nullptr, nullptr, ledger},
                       step.durable ? ports::Durability::Full : ports::Durability::Relaxed);
}

// That an attempt is final, what its end says of its place, and the attempt after it: one transaction.
base::Status RunLoop::keep_final(jobs::Step& step, base::WallTime now, const ports::LedgerChange* ledger) {
    jobs::FailureFacts facts;
    jobs::RetryHistory history;
    if (jobs::is_failure(step.run.state)) {
        SB_TRY(facts, failure_facts(step.run));
        SB_TRY(history, store_.retry_history(step.run.job.name, now - step.run.job.retry.budget_window));
    }
    const jobs::Conclusion conclusion = jobs::conclude(step, facts, history, now, config_.limits.rules);
    ports::Beside beside{entries_of(step, now), nullptr, nullptr, ledger};
    if (conclusion.outcome) beside.outcome = &*conclusion.outcome;
    if (conclusion.next) {
        const jobs::Run& next = *conclusion.next;
        beside.next = &next;
        beside.entries.push_back({0,
                                  now,
                                  "run-submitted",
                                  next.job.name,
                                  0,
                                  next.id,
                                  {{"workers", next.job.workers},
                                   {"attempt", next.attempt},
                                   {"previous", next.previous},
                                   {"not_before", base::format_time(*next.not_before)}}});
    }
    return store_.save(step.run, beside, ports::Durability::Full);
}

// What can't be known now is left out: a failure is classified by the rest.
base::Result<jobs::FailureFacts> RunLoop::failure_facts(const jobs::Run& run) {
    jobs::FailureFacts found;
    if (!run.connection) return found;
    found.log_tail = files_.log_tail(run.directory, 0, jobs::log_tail_max);
    const base::WallTime now = clock_();
    SB_TRY(const auto outcomes, store_.outcomes(now - config_.outcomes_time, config_.outcomes_max));
    found.zone_open = jobs::Breakers::of(outcomes).zone(run.zone, now).state == jobs::BreakerState::Open;
    const auto facts = facts_.read(now, config_.facts_timeout);
    if (!facts) return found;
    for (const network::Zone& zone : facts->zones)
        if (zone.id == run.zone && zone.state != "available") found.zone_impaired = true;
    return found;
}

std::vector<ports::JournalEntry> RunLoop::entries_of(const jobs::Step& step, base::WallTime now) const {
    std::vector<ports::JournalEntry> entries;
    for (const jobs::Note& note : step.notes)
        entries.push_back({0, now, note.kind, step.run.job.name, 0, step.run.id, note.data});
    return entries;
}

base::Result<jobs::Run> RunLoop::drive(jobs::Run run) {
    for (int round = 0; round < rounds_max; ++round) {
        jobs::Observation observation;
        if (run.state != jobs::RunState::Waiting) {
            auto processes = launcher_.list(run);
            if (processes) {
                observation = std::move(*processes);
            } else {
                trouble_ = processes.error().text();
            }
        }
        SB_TRY(const bool ours, store_.acquire(run.id, config_.owner, clock_(), config_.lease_time));
        if (!ours) return fail(ErrorKind::Conflict, "run {} is driven by another process now", run.id);
        const base::WallTime now = clock_();
        jobs::Step step = jobs::step(std::move(run), observation, now, config_.limits);
        SB_CHECK(keep(step, now));
        run = std::move(step.run);
        if (step.actions.empty() || jobs::is_final(run.state)) return run;
        const std::int64_t before = run.version;
        const bool stopping = step.actions.front().kind == jobs::Action::Kind::Stop;
        SB_TRY(run, act(std::move(run), step.actions));
        // Without progress the next call tries again.
        if (run.version == before && !(stopping && trouble_.empty())) return run;
    }
    return run;
}

base::Result<jobs::Run> RunLoop::act(jobs::Run run, const std::vector<jobs::Action>& actions) {
    std::vector<std::string> to_stop;
    for (const jobs::Action& action : actions) {
        switch (action.kind) {
            case jobs::Action::Kind::Decide: {
                SB_TRY(run, decide(std::move(run)));
                break;
            }
            case jobs::Action::Kind::Launch: {
                SB_TRY(run, launch(std::move(run), action.rank));
                break;
            }
            case jobs::Action::Kind::Stop:
                to_stop.push_back(action.process);
                break;
        }
    }
    if (!to_stop.empty()) {
        if (const auto status = launcher_.stop(to_stop, config_.limits.stop_grace); !status)
            trouble_ = status.error().text();
    }
    return run;
}

base::Result<jobs::Run> RunLoop::launch(jobs::Run run, int rank) {
    SB_TRY(const bool ours, store_.acquire(run.id, config_.owner, clock_(), config_.lease_time));
    if (!ours) return fail(ErrorKind::Conflict, "run {} is driven by another process now", run.id);
    const jobs::LaunchResult result = launch_node(run, rank);
    if (result.kind != jobs::LaunchResult::Kind::Started) trouble_ = result.text;
    const base::WallTime now = clock_();
    jobs::Step step = jobs::apply_launch(std::move(run), rank, result, now, config_.limits.rules);
    SB_CHECK(keep(step, now));
    return std::move(step.run);
}

jobs::LaunchResult RunLoop::launch_node(const jobs::Run& run, int rank) {
    if (const auto made = files_.make(run.directory); !made)
        return {jobs::LaunchResult::Kind::Refused, {}, made.error().text()};
    return launcher_.launch(describe_launch(run, rank));
}

ports::NodeLaunch RunLoop::describe_launch(const jobs::Run& run, int rank) const {
    const jobs::Node& node = run.nodes[static_cast<std::size_t>(rank)];
    ports::NodeLaunch launch;
    launch.token = node.token;
    launch.name = fmt::format("{}-{}", run.job.name.substr(0, job_name_shown_max), rank);
    launch.rank = rank;
    launch.subnet = run.connection->subnet;
    launch.security_groups = run.connection->security_groups;
    launch.command = run.job.command;
    launch.size = static_cast<int>(run.nodes.size());
    launch.spark = run.job.spark;
    auto& words = launch.spark ? launch.spark->arguments : launch.command;
    for (const auto& [key, value] : run.arguments) {
        words.push_back("--" + key);
        words.push_back(value);
    }
    launch.environment = run.job.environment;
    const auto set = [&](const char* key, std::string value) {
        launch.environment.emplace_back(key, std::move(value));
    };
    set("SIGNALBOX_RUN_ID", run.id);
    set("SIGNALBOX_ATTEMPT", std::to_string(run.attempt));
    set("SIGNALBOX_JOB", run.job.name);
    set("SIGNALBOX_RANK", std::to_string(rank));
    set("SIGNALBOX_SIZE", std::to_string(run.nodes.size()));
    set("SIGNALBOX_CONNECTION", run.connection->name);
    set("SIGNALBOX_SUBNET", run.connection->subnet);
    set("SIGNALBOX_ZONE", run.zone);
    // The driver learns its own address on its node.
    if (rank != 0) set("SIGNALBOX_DRIVER_ADDRESS", run.nodes.front().address);
    launch.directory = run.job.directory;
    launch.run_directory = run.directory;
    launch.timeout = run.job.timeout;
    return launch;
}

base::Result<network::Facts> RunLoop::current_facts(base::Duration age_max) {
    const base::WallTime now = clock_();
    if (cached_facts_ && now >= cached_facts_->read_at && now - cached_facts_->read_at < age_max) return *cached_facts_;
    cached_facts_.reset();
    SB_TRY(cached_facts_, facts_.read(now, config_.facts_timeout));
    return *cached_facts_;
}

base::Result<Surroundings> RunLoop::surroundings(network::Facts facts, const ports::LedgerState& stored) {
    const base::WallTime now = clock_();
    Surroundings around;
    around.facts = std::move(facts);
    around.ledger = settled_ledger(stored, around.facts);
    SB_TRY(const auto outcomes, store_.outcomes(now - config_.outcomes_time, config_.outcomes_max));
    around.breakers = jobs::Breakers::of(outcomes);
    SB_TRY(around.uses, store_.uses());
    return around;
}

// Why the run waits for others of its job; empty if it is its turn.
base::Result<std::string> RunLoop::queue_reason(const jobs::Run& run) {
    SB_TRY(auto ahead, store_.ahead_of(run, clock_()));
    if (ahead.size() < static_cast<std::size_t>(run.job.max_concurrent_runs)) return std::string();
    const std::size_t count = ahead.size();
    const bool more = count > ahead_shown_max;
    if (more) ahead.resize(ahead_shown_max);
    for (std::string& id : ahead) id.resize(std::min<std::size_t>(id.size(), 11));
    return fmt::format("queued: {} of at most {} runs of job '{}' {} ahead of it ({}{})", count,
                       run.job.max_concurrent_runs, run.job.name, count == 1 ? "is" : "are", base::join(ahead, ", "),
                       more ? ", …" : "");
}

// Decisions are taken by one process at a time, so that two can't be promised the same address or the same turn.
base::Result<jobs::Run> RunLoop::decide(jobs::Run run) {
    SB_TRY(const std::string queued, queue_reason(run));
    if (!queued.empty()) return wait(std::move(run), queued);
    std::optional<jobs::ProgramAnswer> answer;
    if (run.job.strategy == jobs::Strategy::Program) {
        // Asked before the others are held up: it may take its whole deadline.
        auto facts = current_facts(config_.facts_age_max);
        if (!facts) return without_facts(std::move(run), facts.error().text());
        SB_TRY(const ports::LedgerState stored, store_.ledger());
        SB_TRY(const Surroundings around, surroundings(std::move(*facts), stored));
        answer = program_.ask(run.job.program, jobs::to_json(decision_input(run, around, clock_())));
    }
    const std::string owner = config_.owner;
    SB_TRY(const bool ours, store_.acquire(decide_lease, owner, clock_(), config_.lease_time));
    if (!ours) return run;
    auto decided = decide_alone(std::move(run), std::move(answer));
    SB_CHECK(store_.release(decide_lease, owner));
    return decided;
}

base::Result<jobs::Run> RunLoop::wait(jobs::Run run, const std::string& reason) {
    if (run.reason == reason) return run;
    jobs::Step step{std::move(run), {}, {{"run-waits", {{"reason", reason}}}}, true, false};
    step.run.reason = reason;
    SB_CHECK(keep(step, clock_()));
    return std::move(step.run);
}

base::Result<jobs::Run> RunLoop::without_facts(jobs::Run run, const std::string& why) {
    trouble_ = why;
    const base::WallTime now = clock_();
    base::WallTime& since = facts_failed_since_.emplace(run.id, now).first->second;
    since = std::min(since, now);
    if (now - since < config_.facts_patience) return wait(std::move(run), "the provider does not answer: " + trouble_);
    facts_failed_since_.erase(run.id);
    jobs::Step step = jobs::give_up(std::move(run), jobs::RunState::Error,
                                    "the provider could not be asked for its networks: " + trouble_, now);
    SB_CHECK(keep(step, now));
    return std::move(step.run);
}

base::Result<jobs::Run> RunLoop::decide_alone(jobs::Run run, std::optional<jobs::ProgramAnswer> answer) {
    SB_TRY(const std::string queued, queue_reason(run));
    if (!queued.empty()) return wait(std::move(run), queued);
    auto facts = current_facts(config_.facts_age_max);
    if (!facts) return without_facts(std::move(run), facts.error().text());
    SB_TRY(const ports::LedgerState stored, store_.ledger());
    SB_TRY(Surroundings around, surroundings(std::move(*facts), stored));
    facts_failed_since_.erase(run.id);
    const base::WallTime now = clock_();
    jobs::DecisionInput input = decision_input(run, around, now);
    input.program = std::move(answer);
    const jobs::Decision decision = jobs::decide(input);
    const std::string patience =
        decision.chosen || decision.wait_until ? std::string() : waits_for_addresses(decision, around.ledger);
    jobs::Step step = jobs::apply_decision(std::move(run), decision, now, patience);
    // Beside the decision, so that it can be taken again.
    if (!step.notes.empty()) step.notes.insert(step.notes.begin(), {"run-decision-input", jobs::to_json(input)});
    std::vector<std::string> tokens;
    for (const jobs::Node& node : step.run.nodes) tokens.push_back(node.token);
    if (step.run.connection) around.ledger.reserve(step.run.id, step.run.connection->subnet, tokens, now);
    const ports::LedgerChange change = ledger_change(stored, around.ledger);
    if (!step.changed) SB_CHECK(store_.save_ledger(change));
    SB_CHECK(keep(step, now, &change));
    return std::move(step.run);
}

// Addresses that came back are noticed, and for how long they lingered, though nothing is decided.
base::Status RunLoop::tend_ledger() {
    SB_TRY(const ports::LedgerState stored, store_.ledger());
    const bool lingers = std::any_of(stored.rows.begin(), stored.rows.end(), [](const jobs::AddressRow& row) {
        return row.kind == jobs::AddressKind::Lingering;
    });
    const bool ended = std::any_of(stored.nodes.begin(), stored.nodes.end(),
                                   [](const jobs::NodeSeen& node) { return node.ended_at || node.dropped; });
    if (!lingers && !ended) return {};
    SB_TRY(const bool ours, store_.acquire(decide_lease, config_.owner, clock_(), config_.lease_time));
    if (!ours) return {};
    const auto tend = [&]() -> base::Status {
        const auto facts = current_facts(config_.facts_age_max);
        if (!facts) return tl::unexpected<base::Error>(facts.error());
        SB_TRY(const ports::LedgerState fresh, store_.ledger());
        return store_.save_ledger(ledger_change(fresh, settled_ledger(fresh, *facts)));
    };
    auto status = tend();
    SB_CHECK(store_.release(decide_lease, config_.owner));
    return status;
}

// A launch whose answer was late can appear after its run has ended: such processes hold addresses for nobody.
base::Status RunLoop::stop_strays() {
    SB_TRY(const auto runs, store_.list({.limit = stray_runs_max}));
    std::set<std::string> ended;
    for (const jobs::Run& run : runs) {
        if (!jobs::is_final(run.state)) continue;
        for (const jobs::Node& node : run.nodes) ended.insert(node.token);
    }
    if (ended.empty()) return {};
    SB_TRY(const auto processes, launcher_.list_all());
    std::vector<std::string> strays;
    for (const jobs::NodeProcess& process : processes)
        if (process.running && ended.contains(process.token)) strays.push_back(process.id);
    if (strays.empty()) return {};
    return launcher_.stop(strays, config_.limits.stop_grace);
}

}  // namespace signalbox::engine
