#pragma once
// A scenario from the runs that really were: the same jobs, arrivals and sizes, the run times of those that succeeded,
// and the outages that the outcomes show. Pure.

#include <string>
#include <vector>

#include "base/error.hpp"
#include "domain/jobs/run.hpp"
#include "engine/job_simulation.hpp"

namespace signalbox::engine {

struct SimPast {
    SimScenario scenario;
    std::vector<std::string> notes;  // what was guessed, and from how much, for people
};

// `attempts`: all that are known, final or not, in any order. What can't be seen in them is guessed, and said:
// - a subnet has as many addresses as the most that a decision ever saw free together with what our own runs held
// there;
// - a zone was out from the begin of the first to the end of the last of at least two failures of the place (retry
//   classes zone and connection), each within an hour of the one before, if at least half of what began there meanwhile
//   failed; not before the last success that ended ahead of them;
// - what failed otherwise would have failed anywhere.
// Errors: NotFound if no attempt has run and ended.
base::Result<SimPast> simulate_past(std::vector<jobs::Run> attempts);

}  // namespace signalbox::engine
