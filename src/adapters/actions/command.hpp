#pragma once
// An alarm's action as a program of the user's, without a shell.

#include <functional>

#include "domain/alarms/action_policy.hpp"
#include "ports/alarm_actions.hpp"

namespace signalbox::actions {

// The transition is on its standard input as one JSON object, and in part in its environment
// (docs/reference/actions.md). Exit code 0: done. 64, 65, 66, 77, 78 (sysexits: wrong usage, data, permission,
// configuration): refused. Every other end, also at the deadline: again.
class Command final : public ports::ActionRunner {
  public:
    // `stopping`: this program ends, and so must the command.
    Command(alarms::CommandAction action, std::function<bool()> stopping)
        : action_(std::move(action)), stopping_(std::move(stopping)) {}
    base::Result<ports::ActionOutcome> run(const ports::ActionRequest& request) override;

  private:
    alarms::CommandAction action_;
    std::function<bool()> stopping_;
};

}  // namespace signalbox::actions
