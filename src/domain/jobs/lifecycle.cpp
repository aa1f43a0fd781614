#include "domain/jobs/lifecycle.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace signalbox::jobs {
namespace {

// One step under way: changes go through here, so that none is forgotten in `changed` and the notes.
struct Stepper {
    Step out;
    base::WallTime now;
    const Limits limits;

    Run& run() { return out.run; }
    bool on(Guard guard) const { return limits.rules.on(guard); }
    // Whether so much time has passed since then; always true without the guard.
    bool passed(Guard guard, base::WallTime since, base::Duration time) const {
        return now - since >= time || !on(guard);
    }

    void touch() { out.changed = true; }

    void note(std::string kind, base::json::object data) {
        out.notes.push_back({std::move(kind), std::move(data)});
        touch();
    }

    void move(RunState to, const std::string& reason) {
        SB_ASSERT(allowed(run().state, to), "a run moves along its transition table only");
        note("run-state", {{"from", to_string(run().state)}, {"to", to_string(to)}, {"reason", reason}});
        run().state = to;
        run().reason = reason;
        if (to == RunState::Starting) run().starting_at = now;
        if (to == RunState::Running) run().running_at = now;
        if (is_final(to)) run().ended_at = now;
        out.durable = true;
    }

    void decide_outcome(RunState outcome, const std::string& reason) {
        if ((run().outcome && on(Guard::OutcomeOnce)) || is_final(run().state)) return;
        run().outcome = outcome;
        run().outcome_at = now;
        run().reason = reason;
        out.durable = true;
        note("run-outcome", {{"outcome", to_string(outcome)}, {"reason", reason}});
    }

    void node_note(const Node& node, std::string text) {
        note("run-node", {{"rank", node.rank},
                          {"stage", to_string(node.stage)},
                          {"process", node.process},
                          {"address", node.address},
                          {"text", std::move(text)}});
    }

    void end_node(Node& node, const Exit& exit, std::optional<base::WallTime> at) {
        node.stage = NodeStage::Ended;
        node.exit = exit;
        node.ended_at = at.value_or(now);
        node.missing_since.reset();
        node_note(node, exit.text());
    }

    void start_node(Node& node, const NodeProcess& process) {
        node.stage = NodeStage::Started;
        node.process = process.id;
        node.address = process.address;
        node.started_at = process.started_at.value_or(now);
        node.refusal.clear();
        node_note(node, "started");
    }

    void mend_clock();
    void fold(Node& node, const std::vector<NodeProcess>& processes);
    void outcome_of_driver();
    void outcome_of_time();
    void wind_down(const Observation& observation);
    void launch(Node& node);
    void launch_nodes(const Observation& observation);
    void waiting();
};

const NodeProcess* find_process(const std::vector<NodeProcess>& processes, const std::string& token) {
    for (const NodeProcess& process : processes)
        if (process.token == token) return &process;
    return nullptr;
}

// After the clock was set back, what runs since then runs since now: else its grace would last until the clock is there
// again.
void Stepper::mend_clock() {
    if (!on(Guard::ClockSetBack)) return;
    const auto mend = [this](base::WallTime& time) {
        if (time <= now + limits.clock_slack) return;
        time = now;
        touch();
    };
    const auto mend_if = [&mend](std::optional<base::WallTime>& time) {
        if (time) mend(*time);
    };
    mend(run().submitted_at);
    mend(run().outcome_at);
    mend_if(run().starting_at);
    mend_if(run().running_at);
    mend_if(run().deciding_since);
    for (Node& node : run().nodes) {
        mend(node.intended_at);
        mend(node.refused_at);
        mend_if(node.missing_since);
    }
}

// Brings a node in line with what the launcher lists.
void Stepper::fold(Node& node, const std::vector<NodeProcess>& processes) {
    if (node.stage == NodeStage::Ended) return;
    const NodeProcess* process = find_process(processes, node.token);
    if (process != nullptr) {
        if (node.stage != NodeStage::Started) start_node(node, *process);
        if (node.missing_since) {
            node.missing_since.reset();
            touch();
        }
        if (!process->running) end_node(node, process->exit.value_or(Exit{}), process->ended_at);
        return;
    }
    if (node.stage != NodeStage::Started) return;
    if (!on(Guard::StartedOnce)) {
        node.stage = NodeStage::Planned;
        return touch();
    }
    if (!node.missing_since) {
        node.missing_since = now;
        touch();
    }
    if (passed(Guard::MissingGrace, *node.missing_since, limits.missing_grace)) end_node(node, Exit{}, std::nullopt);
}

// The driver decides, as in Glue.
void Stepper::outcome_of_driver() {
    if (run().nodes.empty()) return;
    const Node& driver = run().nodes.front();
    if (driver.stage != NodeStage::Ended || !driver.exit) return;
    if (driver.exit->how == ExitHow::Exited || driver.exit->how == ExitHow::Unstartable) {
        if (run().exit_code != driver.exit->code) touch();
        run().exit_code = driver.exit->code;
    }
    switch (driver.exit->how) {
        case ExitHow::Exited:
            if (driver.exit->code == 0) return decide_outcome(RunState::Succeeded, "the driver ended with exit code 0");
            return decide_outcome(RunState::Failed,
                                  fmt::format("the driver ended with exit code {}", driver.exit->code));
        case ExitHow::Signaled:
            return decide_outcome(RunState::Failed,
                                  fmt::format("the driver was killed by signal {}", driver.exit->signal));
        case ExitHow::TimedOut:
            return decide_outcome(RunState::Timeout, fmt::format("the run took longer than its time-out of {}",
                                                                 base::format_duration(run().job.timeout)));
        case ExitHow::Stopped:
            return decide_outcome(RunState::Failed, "the driver was stopped by somebody else");
        case ExitHow::Unstartable:
            return decide_outcome(RunState::Error,
                                  fmt::format("the command '{}' could not be executed: see the driver's log",
                                              run().job.command.empty() ? "" : run().job.command.front()));
        case ExitHow::Lost:
            return decide_outcome(RunState::Error, "the driver's process is gone and left no exit status");
    }
}

void Stepper::outcome_of_time() {
    if (run().state == RunState::Starting && run().starting_at && on(Guard::StartTime) &&
        now - *run().starting_at >= limits.start_time_max) {
        std::string why;
        for (const Node& node : run().nodes) {
            if (node.stage == NodeStage::Started || node.stage == NodeStage::Ended) continue;
            why = fmt::format("node {} did not start within {}{}{}", node.rank,
                              base::format_duration(limits.start_time_max), node.refusal.empty() ? "" : ": ",
                              node.refusal);
            break;
        }
        // An intent whose outcome is unknown is still looked for while the run winds down.
        if (!why.empty()) decide_outcome(RunState::Error, why);
    }
    const auto since = run().running_at ? run().running_at : run().starting_at;
    if (since && on(Guard::TimeLimit) && now - *since >= run().job.timeout + limits.timeout_slack) {
        decide_outcome(RunState::Timeout, fmt::format("the run took longer than its time-out of {}",
                                                      base::format_duration(run().job.timeout)));
    }
}

// With an outcome, every node has to end and give its address back; then the run is final.
void Stepper::wind_down(const Observation& observation) {
    const bool patient =
        run().outcome == RunState::Succeeded && !passed(Guard::WorkersGrace, run().outcome_at, limits.workers_grace);
    bool all_down = true;
    for (Node& node : run().nodes) {
        if (node.stage == NodeStage::Planned) {
            node.stage = NodeStage::Dropped;
            touch();
        }
        if (node.stage == NodeStage::Intended) {
            if (!on(Guard::LateLaunchAwaited) || (observation && now - node.intended_at >= limits.unknown_grace)) {
                node.stage = NodeStage::Dropped;
                node_note(node, "never appeared at the launcher");
            } else {
                all_down = false;
            }
        }
        if (node.stage == NodeStage::Started) {
            if (on(Guard::FinalWhenGone)) all_down = false;
            if (!patient && !node.missing_since && !node.process.empty())
                out.actions.push_back({Action::Kind::Stop, node.rank, node.process});
        }
    }
    if (all_down) move(*run().outcome, run().reason);
}

void Stepper::launch(Node& node) {
    out.actions.push_back({Action::Kind::Launch, node.rank, {}});
    if (!on(Guard::IntentFirst)) return;
    node.stage = NodeStage::Intended;
    node.intended_at = now;
    ++node.launches;
    out.durable = true;
    note("run-intent", {{"rank", node.rank},
                        {"token", node.token},
                        {"launch", node.launches},
                        {"connection", run().connection ? run().connection->name : ""},
                        {"subnet", run().connection ? run().connection->subnet : ""}});
}

void Stepper::launch_nodes(const Observation& observation) {
    // The driver first: the workers need its address.
    const bool driver_known = run().nodes.front().stage == NodeStage::Started;
    bool all_started = driver_known;
    for (Node& node : run().nodes) {
        const bool may = node.rank == 0 || driver_known || !on(Guard::DriverFirst);
        const bool asked = observation.has_value() || !on(Guard::AskedBeforeRepeat);
        const bool first =
            node.stage == NodeStage::Planned && may &&
            (node.refusal.empty() || passed(Guard::RelaunchPause, node.refused_at, limits.relaunch_pause));
        const bool again = node.stage == NodeStage::Intended && asked &&
                           passed(Guard::LaunchGrace, node.intended_at, limits.unknown_grace);
        if (first || again) launch(node);
        if (node.stage != NodeStage::Started && node.stage != NodeStage::Ended) all_started = false;
    }
    if (run().state == RunState::Starting && all_started) {
        move(RunState::Running, fmt::format("all {} nodes have started", run().nodes.size()));
    }
}

void Stepper::waiting() {
    if (run().stop_requested && on(Guard::StopBeforeStart)) return move(RunState::Stopped, "stopped before it started");
    if (run().outcome) return move(*run().outcome, run().reason);
    if (!is_due(run(), now, limits.rules)) return;
    const base::WallTime since = std::max(run().submitted_at, run().not_before.value_or(run().submitted_at));
    if (now - since >= run().job.queue_time_max && on(Guard::QueueTime)) {
        return move(RunState::Expired, fmt::format("waited longer than its queue time of {}",
                                                   base::format_duration(run().job.queue_time_max)));
    }
    out.actions.push_back({Action::Kind::Decide, 0, {}});
}

}  // namespace

const std::vector<Transition>& transitions() {
    static const std::vector<Transition> table = {
        {RunState::Waiting, RunState::Starting, "a connection was chosen"},
        {RunState::Waiting, RunState::Failed, "no connection is usable"},
        {RunState::Waiting, RunState::Stopped, "stopped before it started"},
        {RunState::Waiting, RunState::Expired, "waited longer than its queue time"},
        {RunState::Waiting, RunState::Error, "the provider could not be asked"},
        {RunState::Starting, RunState::Running, "all nodes have started"},
        {RunState::Starting, RunState::Stopping, "a stop was requested"},
        {RunState::Starting, RunState::Succeeded, "the driver ended with exit code 0 before all workers had started"},
        {RunState::Starting, RunState::Failed, "the driver failed before all workers had started"},
        {RunState::Starting, RunState::Timeout, "the time-out passed"},
        {RunState::Starting, RunState::Error, "a node could not be launched"},
        {RunState::Running, RunState::Stopping, "a stop was requested"},
        {RunState::Running, RunState::Succeeded, "the driver ended with exit code 0, and all nodes have ended"},
        {RunState::Running, RunState::Failed, "the driver ended otherwise, and all nodes have ended"},
        {RunState::Running, RunState::Timeout, "the time-out passed, and all nodes have ended"},
        {RunState::Running, RunState::Error, "the driver is gone without an exit status"},
        {RunState::Stopping, RunState::Stopped, "all nodes have ended"},
    };
    return table;
}

bool allowed(RunState from, RunState to) {
    const auto& table = transitions();
    return std::any_of(table.begin(), table.end(),
                       [&](const Transition& row) { return row.from == from && row.to == to; });
}

std::string transitions_text() {
    std::string text = "| from | to | when |\n|---|---|---|\n";
    for (const Transition& row : transitions())
        text += fmt::format("| {} | {} | {} |\n", to_string(row.from), to_string(row.to), row.why);
    return text;
}

Step step(Run run, const Observation& observation, base::WallTime now, const Limits& limits) {
    Stepper stepper{{std::move(run), {}, {}, false, false}, now, limits};
    Run& state = stepper.run();
    if (is_final(state.state) && stepper.on(Guard::FinalStays)) return std::move(stepper.out);
    stepper.mend_clock();
    if (state.state == RunState::Waiting) {
        stepper.waiting();
        return std::move(stepper.out);
    }
    SB_ASSERT(!state.nodes.empty(), "a run that was decided has nodes");
    if (observation) {
        for (Node& node : state.nodes) stepper.fold(node, *observation);
    }
    const bool once = stepper.on(Guard::OutcomeOnce);
    const auto of_driver = [&] {
        if (!state.outcome || !once) stepper.outcome_of_driver();
    };
    if (stepper.on(Guard::DriverBeforeStop)) of_driver();
    if (!state.outcome && state.stop_requested) {
        stepper.decide_outcome(RunState::Stopped, "stopped on request");
        stepper.move(RunState::Stopping, "stopped on request");
    }
    of_driver();
    if (!state.outcome) stepper.outcome_of_time();
    if (!state.outcome || !stepper.on(Guard::NothingLaunchedAfterOutcome)) stepper.launch_nodes(observation);
    if (state.outcome) stepper.wind_down(observation);
    return std::move(stepper.out);
}

Step apply_decision(Run run, const Decision& decision, base::WallTime now, const std::string& patience) {
    Stepper stepper{{std::move(run), {}, {}, false, false}, now, Limits{}};
    Run& state = stepper.run();
    SB_ASSERT(state.state == RunState::Waiting, "a decision is taken once, for a waiting run");
    if (!state.deciding_since) {
        state.deciding_since = decision.at;
        stepper.touch();
    }
    const Ranked* choice = decision.choice();
    const bool waits = choice == nullptr && (decision.wait_until || !patience.empty());
    const std::string reason = waits && !patience.empty() ? decision.reason + "; " + patience : decision.reason;
    if (waits && state.reason == reason) return std::move(stepper.out);
    state.decision = to_json(decision);
    stepper.note("run-decision", state.decision);
    if (waits) {
        state.reason = reason;
        return std::move(stepper.out);
    }
    if (choice == nullptr) {
        stepper.move(RunState::Failed, decision.reason);
        return std::move(stepper.out);
    }
    state.connection = choice->candidate.connection;
    state.zone = choice->candidate.zone;
    for (int rank = 0; rank < static_cast<int>(choice->nodes); ++rank) {
        Node& node = state.nodes.emplace_back();
        node.rank = rank;
        node.token = node_token(state, rank);
    }
    stepper.move(RunState::Starting, decision.reason);
    return std::move(stepper.out);
}

Step apply_launch(Run run, int rank, const LaunchResult& result, base::WallTime now, Rules rules) {
    Stepper stepper{{std::move(run), {}, {}, false, false}, now, Limits{}};
    Node& node = stepper.run().nodes.at(static_cast<std::size_t>(rank));
    if (node.stage != NodeStage::Intended && rules.on(Guard::IntentFirst)) return std::move(stepper.out);
    switch (result.kind) {
        case LaunchResult::Kind::Started:
            stepper.start_node(node, result.process);
            if (!result.process.running)
                stepper.end_node(node, result.process.exit.value_or(Exit{}), result.process.ended_at);
            break;
        case LaunchResult::Kind::Refused:
        case LaunchResult::Kind::Invalid:
            // A repeated launch that is refused says nothing about an earlier one, whose token may yet appear.
            if (node.launches == 1 || !rules.on(Guard::DoubtStays)) {
                node.stage = NodeStage::Planned;
                node.launches = 0;
            }
            node.refusal = result.text;
            node.refused_at = now;
            stepper.node_note(node, "refused: " + result.text);
            if (result.kind == LaunchResult::Kind::Invalid)
                stepper.decide_outcome(RunState::Error,
                                       fmt::format("node {} can't be launched: {}", rank, result.text));
            break;
        case LaunchResult::Kind::Unknown:
            // From now on it is looked for: waiting for the answer may have taken long.
            node.intended_at = now;
            node.refusal = result.text;
            stepper.node_note(node, "unknown: " + result.text);
            break;
    }
    return std::move(stepper.out);
}

Step request_stop(Run run, base::WallTime now) {
    Stepper stepper{{std::move(run), {}, {}, false, false}, now, Limits{}};
    Run& state = stepper.run();
    // With an outcome it still says that no further attempt is wanted.
    if (state.stop_requested || is_final(state.state)) return std::move(stepper.out);
    state.stop_requested = true;
    stepper.out.durable = true;
    stepper.note("run-stop-requested", {});
    return std::move(stepper.out);
}

Step give_up(Run run, RunState outcome, const std::string& reason, base::WallTime now) {
    Stepper stepper{{std::move(run), {}, {}, false, false}, now, Limits{}};
    stepper.decide_outcome(outcome, reason);
    return std::move(stepper.out);
}

bool is_due(const Run& run, base::WallTime now, Rules rules) {
    if (!run.not_before || now >= *run.not_before || !rules.on(Guard::BackoffKept)) return true;
    // A backoff is never longer than its maximum: if it is, the clock was set back.
    return *run.not_before - now > run.job.retry.backoff_max && rules.on(Guard::BackoffBounded);
}

std::uint64_t addresses_promised(const Run& run) {
    if (run.outcome || is_final(run.state)) return 0;
    return static_cast<std::uint64_t>(std::count_if(run.nodes.begin(), run.nodes.end(), [](const Node& node) {
        return node.stage == NodeStage::Planned || node.stage == NodeStage::Intended;
    }));
}

}  // namespace signalbox::jobs
