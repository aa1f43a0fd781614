#pragma once
// The actions of an alarm that concern jobs: start a run of one, pause one.

#include <functional>
#include <string>

#include "base/time.hpp"
#include "domain/alarms/action_policy.hpp"
#include "domain/jobs/job.hpp"
#include "ports/alarm_actions.hpp"
#include "ports/job_pauses.hpp"
#include "ports/run_store.hpp"

namespace signalbox::engine {

// All outlive the runners.
struct JobActionPorts {
    ports::RunStore& store;
    ports::JobPauses& pauses;
    std::function<base::Result<jobs::Job>(const std::string& name)> find;  // NotFound
    std::function<std::string()> new_id;                                   // of a run
    std::function<std::string(const std::string& id)> directory;           // of a run
    std::function<base::WallTime()> clock;
};

// Submits a run as `signalbox job run` does, with the action's id as its idempotency key: one run, however often it is
// tried. Whoever drives runs starts it.
class JobRunner final : public ports::ActionRunner {
  public:
    JobRunner(alarms::JobAction action, JobActionPorts ports) : action_(std::move(action)), ports_(std::move(ports)) {}
    base::Result<ports::ActionOutcome> run(const ports::ActionRequest& request) override;

  private:
    alarms::JobAction action_;
    JobActionPorts ports_;
};

// Pauses a job when the alarm's state becomes ALARM, and may resume it on OK.
class PauseRunner final : public ports::ActionRunner {
  public:
    PauseRunner(alarms::PauseAction action, JobActionPorts ports)
        : action_(std::move(action)), ports_(std::move(ports)) {}
    base::Result<ports::ActionOutcome> run(const ports::ActionRequest& request) override;

  private:
    alarms::PauseAction action_;
    JobActionPorts ports_;
};

}  // namespace signalbox::engine
