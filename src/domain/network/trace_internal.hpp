#pragma once
// One connection's way, there and back, with every fault on it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fault.hpp"
#include "domain/network/faults.hpp"
#include "domain/network/filters_internal.hpp"
#include "domain/network/index.hpp"
#include "domain/network/reach.hpp"

namespace signalbox::network::internal {

using Groups = std::vector<const SecurityGroup*>;
using Faults = std::vector<base::Fault>;

// Those of the groups that exist in the place's network (any network, if the place is unknown); the others as faults.
Groups known_groups(const Index& index, const std::vector<std::string>& ids, const Place* place, Faults& faults);
// What is wrong with the subnet itself, its network and its zone.
void place_faults(const Place& place, Faults& faults);
// The NAT gateway of a route of the place's table; nullptr with a fault of that severity if it does not work. One in
// another zone is worse than one in the same.
const NatGateway* nat_of(const Index& index, const Place& place, const Route& route, base::Severity severity,
                         Faults& faults);
// The endpoint of a route of the place's table; nullptr with a fault of that severity if it does not work.
const Endpoint* endpoint_of(const Index& index, const Place& place, const Route& route, base::Severity severity,
                            Faults& faults);
// The internet gateway of a route: false with a fault if it is known not to work.
bool internet_works(const Index& index, const Place& place, const Route& route, base::Severity severity,
                    Faults& faults);
bool has(const std::vector<std::string>& names, std::string_view name);
std::string names_of(const Groups& groups);
// "nat:nat-a", as the provider writes it.
std::string target_text(const Route& route);

class Trace {
  public:
    // filtered: the source has security groups, of which `groups` are the known ones. path may be nullptr.
    Trace(const Index& index, const Place& from, const Groups& groups, bool filtered, std::uint32_t address, int port,
          Faults& faults, std::vector<Hop>* path);
    void run();

  private:
    void add(FaultId id, std::string message, std::string remedy = {});
    void hop(const char* kind, const std::string& id, std::string detail);
    std::string text() const;  // "10.0.1.5:3306"
    const std::string& own_network() const { return from_.subnet->network; }
    bool same_subnet() const { return far_ == &from_; }

    void resolve();
    void guess();
    bool may_have_group(const std::string& group) const;
    bool referable() const;
    void egress();
    void route();
    void through(const Route& route);
    void through_peering(const Route& route);
    void through_nat(const Route& route);
    void through_internet(const Route& route);
    bool leads_to_private(const Route* route);
    void propose_peering(const Route* route);
    void destination();
    void holder();
    void ingress();
    void way_back();
    bool back_route(std::uint32_t source);
    bool leads_back(const Route& route) const;
    void acl(FaultId id, const Place& place, bool inbound, const Range& peers, bool answers);

    const Index& index_;
    const Place& from_;
    const Groups& groups_;
    const bool filtered_;
    const std::uint32_t address_;
    const int port_;
    Faults& faults_;
    std::vector<Hop>* path_;

    const Route* route_ = nullptr;
    const Peering* peering_ = nullptr;        // of the route, if it is active and ours
    std::vector<const Network*> candidates_;  // networks that have the address, if the route does not say which
    std::string_view far_network_;            // where the address lies, or would; empty: in no known network
    const Place* far_ = nullptr;
    const Interface* interface_ = nullptr;
};

}  // namespace signalbox::network::internal
