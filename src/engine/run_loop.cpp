#include "engine/run_loop.hpp"

#include <algorithm>
#include <set>

#include "domain/network/check.hpp"

namespace signalbox::engine {
namespace {

using base::ErrorKind;
using base::fail;

constexpr const char* decide_lease = "decide";
// A pass ends when nothing more is to be done at once; more rounds than this would be a loop without progress.
constexpr int rounds_max = 16;
// Ended runs whose late processes are still looked for.
constexpr std::size_t stray_runs_max = 200;
// Names of nodes have at most 63 letters, the rank included.
constexpr std::size_t job_name_shown_max = 56;

}  // namespace

jobs::Decision decide_connection(const jobs::Job& job, const network::Facts& facts,
                                 const std::map<std::string, std::uint64_t>& promised, base::WallTime now) {
    std::vector<jobs::Candidate> candidates;
    for (const jobs::Connection& connection : job.connections) {
        network::Demand demand{connection.subnet, connection.security_groups, connection.data_source,
                               static_cast<std::uint64_t>(job.workers), 0};
        if (const auto found = promised.find(connection.subnet); found != promised.end())
            demand.promised = found->second;
        network::Report report = network::check(facts, demand, now);
        candidates.push_back({connection, std::move(report.network), std::move(report.zone), std::move(report.way_out),
                              report.free_addresses, report.available, std::move(report.faults)});
    }
    return jobs::decide(job, std::move(candidates), facts.read_at, now);
}

RunLoop::RunLoop(ports::RunStore& store, ports::NetworkFacts& facts, ports::RunLauncher& launcher, RunLoopConfig config,
                 std::function<base::WallTime()> clock)
    : store_(store), facts_(facts), launcher_(launcher), config_(std::move(config)), clock_(std::move(clock)) {}

base::Result<jobs::Run> RunLoop::submit(const jobs::Job& job, const std::string& id, const std::string& directory,
                                        std::vector<std::pair<std::string, std::string>> arguments) {
    jobs::Run run;
    run.id = id;
    run.job = job;
    run.arguments = std::move(arguments);
    run.directory = directory;
    run.reason = "submitted";
    run.submitted_at = clock_();
    const ports::JournalEntry entry{0, run.submitted_at, "run-submitted", job.name, 0, id, {{"workers", job.workers}}};
    SB_CHECK(store_.insert(run, {entry}));
    return run;
}

base::Result<jobs::Decision> RunLoop::explain(const jobs::Job& job) {
    const base::WallTime now = clock_();
    SB_TRY(const auto reserved, promised());
    SB_TRY(const network::Facts facts, facts_.read(now, config_.facts_timeout));
    return decide_connection(job, facts, reserved, now);
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
    SB_TRY(auto runs, store_.list({.active_only = true}));
    base::Status first;
    std::string trouble;
    for (auto run = runs.rbegin(); run != runs.rend(); ++run) {
        const auto result = reconcile(run->id);
        if (!result && first) first = tl::unexpected<base::Error>(result.error());
        if (!trouble_.empty()) trouble = trouble_;
    }
    if (const auto status = stop_strays(); !status && trouble.empty()) trouble = status.error().text();
    trouble_ = trouble;
    return first;
}

base::Result<jobs::Run> RunLoop::stop(const std::string& id) {
    // Two tries for each of several drivers that may move the run meanwhile.
    for (int tries = 0; tries < rounds_max; ++tries) {
        SB_TRY(jobs::Run run, store_.load(id));
        jobs::Step step = jobs::request_stop(std::move(run), clock_());
        if (!step.changed) break;
        const auto status = keep(step);
        if (status) break;
        if (status.error().kind != ErrorKind::Conflict) return tl::unexpected<base::Error>(status.error());
    }
    return reconcile(id);
}

// Stores a step that changed something. Only after it succeeds may the step's actions be done.
base::Status RunLoop::keep(jobs::Step& step) {
    if (!step.changed) return {};
    return store_.save(step.run, entries_of(step), step.durable ? ports::Durability::Full : ports::Durability::Relaxed);
}

std::vector<ports::JournalEntry> RunLoop::entries_of(const jobs::Step& step) const {
    std::vector<ports::JournalEntry> entries;
    for (const jobs::Note& note : step.notes)
        entries.push_back({0, clock_(), note.kind, step.run.job.name, 0, step.run.id, note.data});
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
        jobs::Step step = jobs::step(std::move(run), observation, clock_(), config_.limits);
        SB_CHECK(keep(step));
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
    const jobs::LaunchResult result = launcher_.launch(describe_launch(run, rank));
    if (result.kind != jobs::LaunchResult::Kind::Started) trouble_ = result.text;
    jobs::Step step = jobs::apply_launch(std::move(run), rank, result, clock_());
    SB_CHECK(keep(step));
    return std::move(step.run);
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

base::Result<std::map<std::string, std::uint64_t>> RunLoop::promised() {
    SB_TRY(const auto runs, store_.list({.active_only = true}));
    std::map<std::string, std::uint64_t> promised;
    for (const jobs::Run& run : runs) {
        const std::uint64_t count = jobs::addresses_promised(run);
        if (run.connection && count > 0) promised[run.connection->subnet] += count;
    }
    return promised;
}

// Decisions are taken by one process at a time, so that two can't be promised the same address or the same turn.
base::Result<jobs::Run> RunLoop::decide(jobs::Run run) {
    const std::string owner = config_.owner;
    SB_TRY(const bool ours, store_.acquire(decide_lease, owner, clock_(), config_.lease_time));
    if (!ours) return run;
    auto decided = decide_alone(std::move(run));
    SB_CHECK(store_.release(decide_lease, owner));
    return decided;
}

base::Result<jobs::Run> RunLoop::wait(jobs::Run run, const std::string& reason) {
    if (run.reason == reason) return run;
    jobs::Step step{std::move(run), {}, {{"run-waits", {{"reason", reason}}}}, true, false};
    step.run.reason = reason;
    SB_CHECK(keep(step));
    return std::move(step.run);
}

base::Result<jobs::Run> RunLoop::decide_alone(jobs::Run run) {
    SB_TRY(auto others, store_.list({.job = run.job.name, .active_only = true}));
    std::vector<std::string> ahead;
    for (const jobs::Run& other : others) {
        if (other.id == run.id) continue;
        const bool earlier = other.state != jobs::RunState::Waiting ||
                             std::pair(other.submitted_at, other.id) < std::pair(run.submitted_at, run.id);
        if (earlier) ahead.push_back(other.id.substr(0, 11));
    }
    if (ahead.size() >= static_cast<std::size_t>(run.job.max_concurrent_runs)) {
        return wait(std::move(run), fmt::format("queued: {} of at most {} runs of job '{}' {} ahead of it ({})",
                                                ahead.size(), run.job.max_concurrent_runs, run.job.name,
                                                ahead.size() == 1 ? "is" : "are", base::join(ahead, ", ")));
    }
    const base::WallTime now = clock_();
    // Before the facts: a node that starts in between counts twice for a moment, which is the safe side.
    SB_TRY(const auto reserved, promised());
    auto facts = facts_.read(now, config_.facts_timeout);
    if (!facts) {
        trouble_ = facts.error().text();
        const auto since = facts_failed_since_.emplace(run.id, now).first->second;
        if (now - since < config_.facts_patience)
            return wait(std::move(run), "the provider does not answer: " + trouble_);
        facts_failed_since_.erase(run.id);
        jobs::Step step = jobs::give_up(std::move(run), jobs::RunState::Error,
                                        "the provider could not be asked for its networks: " + trouble_, now);
        SB_CHECK(keep(step));
        return std::move(step.run);
    }
    facts_failed_since_.erase(run.id);
    const jobs::Decision decision = decide_connection(run.job, *facts, reserved, now);
    jobs::Step step = jobs::apply_decision(std::move(run), decision, now);
    SB_CHECK(keep(step));
    return std::move(step.run);
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
