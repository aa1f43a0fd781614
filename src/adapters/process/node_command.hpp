#pragma once
// What launchers of processes share: whether a node can be started at all, and the supervisor around its command.

#include <string>
#include <vector>

#include "ports/run_launcher.hpp"

namespace signalbox::process {

// What can never be launched, whoever tries and when: the reason, or nothing if all is well.
std::string invalid_launch(const ports::NodeLaunch& node);

// `program supervise …` for the node. `flags`: more of the supervisor's own.
std::vector<std::string> supervised(const std::string& program, const ports::NodeLaunch& node,
                                    const std::vector<std::string>& flags = {});

}  // namespace signalbox::process
