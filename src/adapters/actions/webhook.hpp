#pragma once
// An alarm's action over HTTP: a signed POST of the transition.

#include <functional>
#include <string>

#include "base/time.hpp"
#include "domain/alarms/action_policy.hpp"
#include "ports/alarm_actions.hpp"

namespace signalbox::actions {

// 2xx: done. 408, 425, 429, 5xx and whatever went wrong on the way: again. All else, redirects too: refused.
class Webhook final : public ports::ActionRunner {
  public:
    Webhook(alarms::WebhookAction action, std::function<base::WallTime()> clock)
        : action_(std::move(action)), clock_(std::move(clock)) {}
    base::Result<ports::ActionOutcome> run(const ports::ActionRequest& request) override;

  private:
    alarms::WebhookAction action_;
    std::function<base::WallTime()> clock_;
};

}  // namespace signalbox::actions
