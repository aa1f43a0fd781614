#pragma once
// Decisions and runs as tables for people.

#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/time.hpp"
#include "domain/jobs/run.hpp"

namespace signalbox::app {

// Every connection with its result and every one of its faults; `decision` as jobs::to_json(Decision) makes it.
std::string decision_text(const base::json::object& decision);
// One line per run, the newest first.
std::string runs_text(const std::vector<jobs::Run>& runs, base::WallTime now);
// One run with its attempts (in their order), its nodes and its decision.
std::string run_text(const jobs::Run& run, const std::vector<jobs::Run>& attempts, base::WallTime now);
// An attempt in one object: its id, place, state, and what its failure called for.
base::json::object attempt_summary(const jobs::Run& attempt);
// The exit code of a command that waited for the run.
int run_exit_code(const jobs::Run& run);

}  // namespace signalbox::app
