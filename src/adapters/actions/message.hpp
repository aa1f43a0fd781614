#pragma once
// What a receiver is told of a transition.

#include <string>

#include "base/json.hpp"
#include "ports/alarm_actions.hpp"

namespace signalbox::actions {

// {"id", "alarm", "table", "action", …} and all that the transition has (docs/reference/actions.md). The same text at
// each try.
base::json::object message_of(const ports::ActionRequest& request);

// One line of at most `size_max` bytes: control characters are blanks, and a cut one ends with "…".
std::string one_line(std::string text, std::size_t size_max);

}  // namespace signalbox::actions
