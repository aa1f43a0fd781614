#pragma once
// How a simulated attempt can fail, and how each failure looks to the daemon: what it would have stored of the attempt.

#include <cstdint>
#include <string>

#include "domain/jobs/run.hpp"
#include "engine/job_simulation.hpp"

namespace signalbox::engine {

enum class SimFailure {
    NoConnection,  // the decision found none, and there was nothing to wait for
    Expired,       // it waited in the queue for too long
    Refused,       // nothing starts in its zone
    NoAddresses,   // fewer were left than it needed when its nodes were launched
    Network,       // as SimSymptom
    Plain,
    Lost,
    Own,  // it would have failed anywhere
};
SimFailure sim_failure(SimSymptom symptom);
// The end of the driver's log.
std::string sim_last_words(SimFailure failure);
// Puts the run into its final state. `detail`: the decision's or queue's reason; `own_exit_code`: for Own.
void sim_fail(jobs::Run& run, SimFailure failure, const std::string& detail, int own_exit_code);

// The id of the first attempt of a world's run.
std::string sim_run_id(std::uint64_t seed, std::size_t run);

}  // namespace signalbox::engine
