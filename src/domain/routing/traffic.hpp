#pragma once
// Where a cluster's writer traffic may go, as a data plane was told: calls carry epochs, and those of an older one are
// ignored.

#include <cstdint>
#include <optional>
#include <string>

#include "base/text.hpp"

namespace signalbox::routing {

class WriterTraffic {
  public:
    enum class State {
        Unknown,  // nobody said anything yet
        Fenced,   // nowhere
        Routed,   // to the member
        Held,     // to the member went the last, and no new traffic may
    };

    // Each returns false, and changes nothing, for an epoch older than one seen before. A hold matters only to what is
    // routed: without it there is nothing to hold back.
    bool hold(std::uint64_t epoch);
    bool fence(std::uint64_t epoch);
    bool route(std::uint64_t epoch, std::string member, base::HostPort address);

    State state() const { return state_; }
    std::uint64_t epoch() const { return epoch_; }         // the newest seen
    const std::string& member() const { return member_; }  // of the last route
    const base::HostPort& address() const { return address_; }
    // From a fence to the next route: where writer traffic went before. Readers must not go there meanwhile.
    const std::optional<base::HostPort>& fenced() const { return fenced_; }

  private:
    bool advance(std::uint64_t epoch);

    State state_ = State::Unknown;
    std::uint64_t epoch_ = 0;
    std::string member_;
    base::HostPort address_;
    std::optional<base::HostPort> fenced_;
};

}  // namespace signalbox::routing
