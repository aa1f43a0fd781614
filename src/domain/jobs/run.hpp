#pragma once
// A run: one submission of a job, with its nodes, as a value that is stored whole.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "domain/jobs/decision.hpp"
#include "domain/jobs/job.hpp"

namespace signalbox::jobs {

// As AWS Glue's JobRunState.
enum class RunState { Waiting, Starting, Running, Stopping, Stopped, Succeeded, Failed, Timeout, Error, Expired };
std::string_view to_string(RunState state);  // "WAITING"
std::optional<RunState> parse_run_state(std::string_view text);
// Nothing follows: all but WAITING, STARTING, RUNNING and STOPPING.
bool is_final(RunState state);

// How a node's command ended.
enum class ExitHow {
    Exited,       // by itself, with a code
    Signaled,     // by a signal that nobody of ours sent
    TimedOut,     // the supervisor ended it at the run's time-out
    Stopped,      // it was asked to stop
    Unstartable,  // the command could not be executed
    Lost,         // its process is gone and left no exit status
};
std::string_view to_string(ExitHow how);
std::optional<ExitHow> parse_exit_how(std::string_view text);

struct Exit {
    ExitHow how = ExitHow::Lost;
    int code = 0;    // for Exited and Unstartable
    int signal = 0;  // for Signaled, and what ended a TimedOut or Stopped command
    friend bool operator==(const Exit&, const Exit&) = default;
    // "exit 3", "signal 9"…
    std::string text() const;
};

// The intent to launch is stored before the launch; from then on the node may exist.
enum class NodeStage {
    Planned,   // not launched, or the launcher refused
    Intended,  // the launch was sent or is about to be; what came of it is not known
    Started,   // the launcher has it
    Ended,
    Dropped,  // it was never launched, and never will be
};
std::string_view to_string(NodeStage stage);

struct Node {
    int rank = 0;  // 0 is the driver
    std::string token;
    NodeStage stage = NodeStage::Planned;
    int launches = 0;              // since it was last known for sure that the launcher does not have it
    base::WallTime intended_at{};  // the last launch, or when it was known that its answer is missing
    std::string process;           // the launcher's id of it
    std::string address;
    std::string refusal;  // why the last launch was not done, empty if it was
    base::WallTime refused_at{};
    std::optional<base::WallTime> missing_since;  // started, but the launcher lists it no more
    std::optional<base::WallTime> started_at;
    std::optional<base::WallTime> ended_at;
    std::optional<Exit> exit;
};

// What a failure calls for, and by what it is told.
struct Verdict {
    RetryClass retry = RetryClass::Permanent;
    std::string reason;  // "exit code 75 (a temporary failure by sysexits)"
    friend bool operator==(const Verdict&, const Verdict&) = default;
};

// One attempt of a run. Each further attempt is a Run of its own, linked to the one before.
struct Run {
    std::string id;  // "jr_" and 64 hexadecimal digits; of a later attempt with "_attempt_N" behind
    int attempt = 0;
    std::string previous;  // the attempt before this one, empty for the first
    std::string next;      // the attempt after this one; set in the same transaction that made it
    Job job;               // as it was when the run was submitted
    std::vector<std::pair<std::string, std::string>> arguments;
    std::string directory;  // of its logs and exit statuses

    RunState state = RunState::Waiting;
    std::string reason;               // why it is in this state, for people
    std::optional<RunState> outcome;  // decided, while its nodes are still being ended
    base::WallTime outcome_at{};
    std::optional<int> exit_code;  // the driver's
    bool stop_requested = false;

    std::optional<Verdict> verdict;       // of an attempt that failed
    std::string retry_reason;             // why there is another attempt, or none
    std::vector<Tried> tried;             // the places of the attempts before this one that failed
    base::WallTime first_submitted_at{};  // of the first attempt: the place in the job's queue
    base::WallTime submitted_at{};
    std::optional<base::WallTime> not_before;      // of a later attempt: its backoff
    std::optional<base::WallTime> deciding_since;  // when it could first be decided
    std::optional<base::WallTime> starting_at;
    std::optional<base::WallTime> running_at;
    std::optional<base::WallTime> ended_at;

    base::json::object decision;  // empty until decided
    std::optional<Connection> connection;
    std::string zone;
    std::vector<Node> nodes;

    std::int64_t version = 0;  // grows with each save; for the store's compare-and-set
};

// "jr_" and hexadecimal digits of 32 random bytes. Exactly 32 must be given.
std::string run_id(std::string_view random_bytes);
// The id of an attempt of the run whose first attempt has this id: "jr_…_attempt_N" from N = 1 on.
std::string attempt_id(const std::string& first_id, int attempt);
// The id of the first attempt.
std::string first_attempt_id(const std::string& id);
// The token of one node's launch: the attempt's id, "-" and the rank.
std::string node_token(const Run& run, int rank);

// Everything, for the store.
base::json::object to_json(const Run& run);
// CorruptData names the run's missing or wrong field.
base::Result<Run> run_from_json(const base::json::value& value);
// For people and programs: without the job's environment, which may hold secrets.
base::json::object describe(const Run& run);

}  // namespace signalbox::jobs
