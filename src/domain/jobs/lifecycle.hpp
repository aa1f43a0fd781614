#pragma once
// The life of a run as a table of transitions and one pure step: from what is stored and what the launcher has, to the
// next state and the actions that reality needs. At most one start, and none forgotten:
// - the intent to launch is part of the returned run; the caller stores it durably before it acts;
// - a launch of unknown outcome is looked for at the launcher, and repeated (with the same token) only after a grace;
// - once an outcome is decided, nothing is launched any more.

#include <optional>
#include <string>
#include <vector>

#include "domain/jobs/rules.hpp"
#include "domain/jobs/run.hpp"

namespace signalbox::jobs {

struct Transition {
    RunState from;
    RunState to;
    const char* why;
};
// All transitions that exist; the picture in docs/reference/jobs.md is made from it.
const std::vector<Transition>& transitions();
bool allowed(RunState from, RunState to);
// The table as Markdown.
std::string transitions_text();

struct Limits {
    base::Duration unknown_grace = std::chrono::seconds(10);   // how long a launch's answer may still come
    base::Duration missing_grace = std::chrono::seconds(10);   // how long a started process may be missing in a list
    base::Duration start_time_max = std::chrono::seconds(60);  // from STARTING to all nodes started, else ERROR
    base::Duration relaunch_pause = std::chrono::seconds(2);   // after a refusal
    base::Duration workers_grace = std::chrono::seconds(3);    // for workers to end after a driver that succeeded
    base::Duration stop_grace = std::chrono::seconds(5);       // between asking a command to stop and killing it
    base::Duration timeout_slack = std::chrono::seconds(15);   // the supervisor's own time-out comes first
    base::Duration clock_slack = std::chrono::seconds(1);      // stamps further ahead: the clock was set back
    Rules rules{};
};

// A process of a run, as the launcher and its supervisor tell it.
struct NodeProcess {
    std::string token;
    std::string id;
    std::string address;
    bool running = false;
    std::optional<Exit> exit;  // when not running
    std::optional<base::WallTime> started_at;
    std::optional<base::WallTime> ended_at;
};

// What the launcher has of the run; nothing if it could not be asked.
using Observation = std::optional<std::vector<NodeProcess>>;

struct Action {
    enum class Kind { Decide, Launch, Stop };
    Kind kind = Kind::Decide;
    int rank = 0;
    std::string process;  // for Stop
};

// Something worth a journal entry.
struct Note {
    std::string kind;  // "run-state", "run-intent", "run-node"
    base::json::object data;
};

struct Step {
    Run run;
    std::vector<Action> actions;  // in this order, after the run was stored
    std::vector<Note> notes;
    bool changed = false;  // the run differs from the one given: it must be stored
    bool durable = false;  // … so that it survives a crash of the machine, before any action
};

Step step(Run run, const Observation& observation, base::WallTime now, const Limits& limits);

// A decision for a WAITING run: STARTING with planned nodes; WAITING still, if the decision says to look again later or
// `patience` says why to; else FAILED, since no connection is usable. A wait changes the run only when its reason does.
Step apply_decision(Run run, const Decision& decision, base::WallTime now, const std::string& patience = {});

// What came of one launch.
struct LaunchResult {
    enum class Kind {
        Started,
        Refused,  // surely not started; may work later
        Invalid,  // surely not started, and never will be
        Unknown,  // it may have started
    };
    Kind kind = Kind::Unknown;
    NodeProcess process;  // for Started
    std::string text;     // else why
};
Step apply_launch(Run run, int rank, const LaunchResult& result, base::WallTime now, Rules rules = {});

// Asks the run to stop, and not to be tried again; an outcome that it has already stands.
Step request_stop(Run run, base::WallTime now);

// Gives the run an outcome that its environment forced on it, unless it has one.
Step give_up(Run run, RunState outcome, const std::string& reason, base::WallTime now);

// Whether a WAITING run may be decided now: its backoff is over.
bool is_due(const Run& run, base::WallTime now, Rules rules = {});

// Addresses of the run's subnet that it will still take: planned nodes, and intended ones that are not known to exist.
std::uint64_t addresses_promised(const Run& run);

}  // namespace signalbox::jobs
