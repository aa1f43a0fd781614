#pragma once
// What a provider says of its networks.

#include "base/error.hpp"
#include "base/time.hpp"
#include "domain/network/facts.hpp"

namespace signalbox::ports {

class NetworkFacts {
  public:
    virtual ~NetworkFacts() = default;
    // Asks the provider for everything, within `timeout`; read_at of the result is `now`. All or nothing: facts with
    // holes would show faults that do not exist. Blocking. Errors: Unavailable, Timeout, UnknownOutcome (no whole
    // answer), CorruptData (an answer that is not understood, with the call and the field).
    virtual base::Result<network::Facts> read(base::WallTime now, base::Duration timeout) = 0;
};

}  // namespace signalbox::ports
