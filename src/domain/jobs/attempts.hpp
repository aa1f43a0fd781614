#pragma once
// What follows from the end of an attempt: what its place is to be thought of, and whether it is tried again. The next
// attempt is stored in the transaction that makes this one final, so that a crash can neither lose nor double it.

#include <optional>

#include "domain/jobs/breakers.hpp"
#include "domain/jobs/lifecycle.hpp"
#include "domain/jobs/retry.hpp"

namespace signalbox::jobs {

struct Conclusion {
    std::optional<Run> next;              // WAITING, not to be decided before its backoff is over
    std::optional<PlaceOutcome> outcome;  // nothing: this end says nothing of the place, or there was none
};

// Whether the end calls for `classify`: FAILED, TIMEOUT or ERROR. STOPPED is no success and is never tried again;
// EXPIRED is final, too.
bool is_failure(RunState state);

// step.run has just become final; it gets its verdict and its link to the next attempt. `facts` and `history` count for
// failures alone.
Conclusion conclude(Step& step, const FailureFacts& facts, const RetryHistory& history, base::WallTime now,
                    Rules rules = {});

}  // namespace signalbox::jobs
