#pragma once
// Runs queued alarm actions: takes what is due, runs it through its runner, stores what came of it with a journal entry
// "action-run". At least once; several processes can share one queue.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/prng.hpp"
#include "base/time.hpp"
#include "domain/alarms/action_policy.hpp"
#include "ports/alarm_actions.hpp"

namespace signalbox::engine {

struct ActionLoopConfig {
    std::string owner;  // names this process for leases
    // Longer than any action's deadline: begun anew before each action.
    base::Duration lease_time = std::chrono::minutes(15);
    std::size_t batch_max = 64;  // actions of one pass
};

// An action of the configuration with what runs it.
struct ConfiguredAction {
    alarms::ActionConfig config;
    std::shared_ptr<ports::ActionRunner> runner;
};

struct ActionPass {
    std::size_t taken = 0;
    std::size_t done = 0;
    std::size_t again = 0;  // to be tried again, or postponed
    std::size_t ended = 0;  // refused or given up
    friend bool operator==(const ActionPass&, const ActionPass&) = default;
};

// Not safe for use from several threads at once.
class ActionLoop {
  public:
    // The clock gives the time of day; the seed spreads the tries.
    ActionLoop(ports::ActionQueue& queue, ActionLoopConfig config, std::function<base::WallTime()> clock,
               std::uint64_t seed);

    // The actions from now on.
    void configure(std::vector<ConfiguredAction> actions);
    // One pass over what is due; returns when each of it was tried or put off, or `stopping` says so. Call it each
    // second or so. An action whose receiver fails is tried once in a pass; the others of its name wait with it, so
    // that a dead receiver holds up nobody else. Errors: the queue's; what was taken then is taken again later.
    base::Result<ActionPass> run_due(const std::function<bool()>& stopping);

  private:
    base::Status run_one(const ports::PendingAction& pending, ActionPass& pass);
    base::Status try_it(const ports::PendingAction& pending, const ConfiguredAction& action, ActionPass& pass);
    base::Status put_off(const ports::PendingAction& pending, base::WallTime until, const std::string& why,
                         bool journaled, ActionPass& pass);
    base::Status finish(const ports::PendingAction& pending, const std::string& outcome, const std::string& text,
                        const std::string& run, ActionPass& pass);
    ports::JournalEntry entry_of(const ports::PendingAction& pending, const std::string& outcome,
                                 const std::string& text) const;

    ports::ActionQueue& queue_;
    ActionLoopConfig config_;
    std::function<base::WallTime()> clock_;
    base::Prng prng_;
    std::map<std::string, ConfiguredAction> actions_;
    std::map<std::string, base::WallTime> failing_;  // in this pass: actions whose receiver failed, and when again
};

}  // namespace signalbox::engine
