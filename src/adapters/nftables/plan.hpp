#pragma once
// What a hold, a fence, a route and a set of readers make of an endpoint's targets. Pure.

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "adapters/nftables/table.hpp"

namespace signalbox::kernel {

// Gives out stamps of one owner; none that is in use.
class Stamps {
  public:
    explicit Stamps(Stamp owner) : owner_(owner) {}
    // Is in use from now on: found in the kernel.
    void keep(Stamp stamp);
    Stamp take();
    // No flow carries it any more.
    void free(Stamp stamp) { used_.erase(stamp); }

  private:
    Stamp owner_;
    Stamp last_ = 0;
    std::set<Stamp> used_;
};

// A reader endpoint's target as the kernel can take it.
struct Reader {
    std::string member;
    Address address;
    std::uint32_t weight = 100;
    bool draining = false;
};

// Each returns the door as it shall be; flows whose stamp is no more among its targets end.
Door held(Door door);
// Without what is of another epoch; a reader endpoint's target at a former writer's address goes on under a new stamp,
// without the flows that it had.
Door fenced(Door door, std::uint64_t epoch, const std::set<Address>& former, Stamps& stamps);
// Flows of the same epoch to the same address go on under the stamp that they have.
Door routed(Door door, std::uint64_t epoch, const std::string& member, const Address& address, Stamps& stamps);
// Flows to an address that is still among the readers go on.
Door with_readers(Door door, const std::vector<Reader>& readers, Stamps& stamps);

// The addresses that writer endpoints of the cluster send to under another epoch than this one.
std::set<Address> former_writers(const std::vector<Door>& doors, const std::string& cluster, std::uint64_t epoch);

}  // namespace signalbox::kernel
