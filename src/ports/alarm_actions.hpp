#pragma once
// What an alarm does when its state changes: actions, who runs them, and the queue that they wait in. At least once:
// an action is queued in the transaction that stores the alarm's new state, and leaves the queue only when its outcome
// is stored. The id is the same at every try, so that a receiver can tell a repetition.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/time.hpp"
#include "ports/journal.hpp"

namespace signalbox::ports {

struct ActionRequest {
    std::string id;      // alarms::action_id: the same at each try, 1–200 bytes
    std::string alarm;   // the alarm's name
    std::string table;   // that it watches; may be empty
    std::string action;  // the name of the action in the configuration
    // What happened, for the receiver: "state" (ALARM, OK, INSUFFICIENT_DATA), "previous", "at", "evidence" (a text),
    // "playbook", "links". `state` is needed, the rest is passed on as it is. May hold "partition".
    base::json::object transition;
    bool dry_run = false;  // say what would be done, and do nothing
};

enum class ActionVerdict {
    Done,
    Retry,    // not now, or it is not known whether it happened: the receiver is told again, with the same id
    Refused,  // it will never be taken: no further try
};
std::string_view to_string(ActionVerdict verdict);  // "done"

struct ActionOutcome {
    ActionVerdict verdict = ActionVerdict::Done;
    std::string text;                       // one line for people: "HTTP status 204", "run jr_…"; never a secret
    std::optional<base::Duration> after{};  // Retry: not before, as the receiver asked
    std::string run{};                      // the id of the run that was started, if one was
};

// Runs one kind of action. Returns within its own deadline. An error says that it could not be tried (a secret's file
// that can't be read); it is tried again as Retry is.
class ActionRunner {
  public:
    virtual ~ActionRunner() = default;
    virtual base::Result<ActionOutcome> run(const ActionRequest& request) = 0;
};

struct PendingAction {
    ActionRequest request;
    base::WallTime queued_at{};
    base::WallTime due_at{};
    int tries = 0;     // that were begun before, whatever came of them
    std::string last;  // the text of the last outcome
};

enum class Queued {
    Yes,
    Known,  // an action of this id is or was in the queue: nothing was stored
    Full,   // the queue holds as many as it may: dropped, with a journal entry "action-dropped"
};

// What becomes of an action that was taken.
struct ActionEnd {
    std::optional<base::WallTime> again_at{};  // nothing: it leaves the queue
    std::string text;
};

class ActionQueue {
  public:
    virtual ~ActionQueue() = default;
    // Queues an action in a transaction of its own. (The SQLite queue's `insert` does the same inside a transaction of
    // its caller, for the store that keeps the alarm's state.)
    virtual base::Result<Queued> put(const ActionRequest& request, base::WallTime now) = 0;
    // Takes what is due, the longest due first, at most `limit`, and leases it to `owner` until now + lease_time:
    // nobody else gets it meanwhile, unless the owner's process is gone.
    virtual base::Result<std::vector<PendingAction>> take(const std::string& owner, base::WallTime now,
                                                          base::Duration lease_time, std::size_t limit) = 0;
    // Renews the lease just before the action is run, and counts the try: one that ends with the process counts, too.
    // False: somebody else has it now, and it must not be run.
    virtual base::Result<bool> begin(const std::string& id, const std::string& owner, base::WallTime now,
                                     base::Duration lease_time) = 0;
    // Stores what becomes of an action that was taken, begun or not, with its journal entries, in one transaction.
    // Conflict: the owner has no lease on it any more, and nothing was stored.
    virtual base::Status end(const std::string& id, const std::string& owner, const ActionEnd& end,
                             const std::vector<JournalEntry>& entries) = 0;
    // When actions of this name were begun since then (each once, at its first try), the newest first, at most `limit`:
    // for the rate limit.
    virtual base::Result<std::vector<base::WallTime>> begun(const std::string& action, base::WallTime since,
                                                            std::size_t limit) = 0;
    // How many wait or are under way.
    virtual base::Result<std::size_t> pending() = 0;
};

}  // namespace signalbox::ports
