#pragma once
// The scenario file of `job simulate`, read whole with every fault at once.

#include <string>

#include "base/error.hpp"
#include "engine/job_simulation.hpp"

namespace signalbox::app {

// Errors: InvalidConfig with one "FILE:LINE: …" per fault, all of them.
base::Result<engine::SimScenario> load_scenario(const std::string& path);
// `file`: for the errors' texts.
base::Result<engine::SimScenario> parse_scenario(const std::string& text, const std::string& file);

}  // namespace signalbox::app
