// The way there: which subnet has the address, the route, and what it leads to.

#include <algorithm>
#include <fmt/format.h>

#include "base/text.hpp"
#include "domain/network/trace_internal.hpp"

namespace signalbox::network::internal {
namespace {

// Ranges that no internet gateway leads to: private, shared, loopback, link-local, multicast and reserved ones.
bool is_private(std::uint32_t address) {
    constexpr Range ranges[] = {{0x0A000000, 8}, {0xAC100000, 12}, {0xC0A80000, 16}, {0x64400000, 10},
                                {0x7F000000, 8}, {0xA9FE0000, 16}, {0x00000000, 8},  {0xE0000000, 3}};
    return std::any_of(std::begin(ranges), std::end(ranges), [&](const Range& r) { return r.contains(address); });
}

}  // namespace

Trace::Trace(const Index& index, const Place& from, const Groups& groups, bool filtered, std::uint32_t address,
             int port, Faults& faults, std::vector<Hop>* path)
    : index_(index),
      from_(from),
      groups_(groups),
      filtered_(filtered),
      address_(address),
      port_(port),
      faults_(faults),
      path_(path) {}

void Trace::add(FaultId id, std::string message, std::string remedy) {
    faults_.push_back(make_fault(id, std::move(message)));
    if (!remedy.empty()) faults_.back().remedy = std::move(remedy);
}

void Trace::hop(const char* kind, const std::string& id, std::string detail) {
    if (path_ != nullptr) path_->push_back({kind, id, std::move(detail)});
}

std::string Trace::text() const { return fmt::format("{}:{}", address_text(address_), port_); }

void Trace::run() {
    resolve();
    egress();
    if (path_ != nullptr)
        hop("subnet", from_.subnet->id,
            fmt::format("{}, zone {}, network {}", from_.subnet->range.text(), from_.subnet->zone, own_network()));
    if (!same_subnet()) {
        acl(FaultId::SourceAclDenied, from_, false, {address_, 32}, false);
        route();
    }
    destination();
    if (!same_subnet()) {
        way_back();
        acl(FaultId::SourceReturnAclDenied, from_, true, {address_, 32}, true);
    }
}

void Trace::resolve() {
    if (from_.subnet->range.contains(address_)) {
        far_network_ = own_network();
        far_ = &from_;
    } else {
        route_ = from_.table == nullptr ? nullptr : from_.table->to(address_);
        if (route_ != nullptr && route_->kind == TargetKind::Local && !route_->blackhole) {
            far_network_ = own_network();
        } else if (route_ != nullptr && route_->kind == TargetKind::Peering && !route_->blackhole) {
            const Peering* peering = index_.peering(route_->target);
            if (peering != nullptr && peering->state == "active" && has(peering->networks, own_network()))
                peering_ = peering;
        }
        if (peering_ != nullptr) {
            for (const std::string& network : peering_->networks)
                if (network != own_network()) far_network_ = network;
        }
        if (far_network_.empty()) guess();
        far_ = index_.place_at(far_network_, address_);
        // The peering ends at its network; where the address really lies is told by the fault.
    }
    if (far_ != nullptr) interface_ = far_->interface_at(address_);
}

// No route says where the address lies: the only network that has it, ours before others.
void Trace::guess() {
    candidates_ = index_.networks_at(address_);
    for (const Network* network : candidates_)
        if (network->id == own_network()) far_network_ = network->id;
    if (far_network_.empty() && candidates_.size() == 1) far_network_ = candidates_.front()->id;
}

void Trace::route() {
    if (from_.table == nullptr) {
        add(FaultId::NoRouteTable, fmt::format("no route table for subnet '{}', and network '{}' has no main one",
                                               from_.subnet->id, own_network()));
        return;
    }
    const std::string& table = from_.table->table->id;
    if (route_ == nullptr) {
        if (candidates_.empty()) {
            add(FaultId::SourceNoRoute,
                fmt::format("table '{}' has no route to {}, which lies in no known network", table, text()));
        } else {
            propose_peering(nullptr);
        }
        return;
    }
    if (path_ != nullptr)
        hop("route-table", table,
            fmt::format("{} to {}", route_->destination.text(),
                        route_->blackhole ? "a blackhole" : target_text(*route_)));
    if (route_->blackhole) {
        add(FaultId::SourceRouteBlackholed,
            fmt::format("table '{}' routes {} to {}, a blackhole: nothing comes through to {}", table,
                        route_->destination.text(),
                        route_->target.empty() ? "nothing" : "'" + target_text(*route_) + "'", text()));
        // A gateway that works would not lead there either.
        const bool gateway = route_->kind == TargetKind::Nat || route_->kind == TargetKind::Internet ||
                             route_->kind == TargetKind::Endpoint;
        if (gateway && !candidates_.empty()) propose_peering(route_);
        return;
    }
    through(*route_);
}

void Trace::through(const Route& route) {
    switch (route.kind) {
        case TargetKind::Local:
            return;
        case TargetKind::Peering:
            return through_peering(route);
        case TargetKind::Nat:
            if (!leads_to_private(&route)) through_nat(route);
            return;
        case TargetKind::Internet:
            if (!leads_to_private(&route)) through_internet(route);
            return;
        case TargetKind::Endpoint:
            if (!candidates_.empty()) {
                propose_peering(&route);
            } else if (const Endpoint* endpoint =
                           endpoint_of(index_, from_, route, base::Severity::Unusable, faults_)) {
                hop("endpoint", endpoint->id, endpoint->kind + " endpoint of " + endpoint->service);
            }
            return;
        case TargetKind::Other:
            break;
    }
    add(FaultId::SourceRouteUnknown,
        fmt::format("table '{}' routes {} to '{}' on the way to {}; whether that works is "
                    "not checked",
                    from_.table->table->id, route.destination.text(), route.target, text()));
    hop("unknown", route.target, "not checked");
}

void Trace::through_peering(const Route& route) {
    if (peering_ == nullptr) {
        const Peering* peering = index_.peering(route.target);
        const bool ours = peering != nullptr && has(peering->networks, own_network());
        add(FaultId::SourcePeeringBroken, fmt::format("peering '{}' on the route to {} {}", route.target, text(),
                                                      peering == nullptr ? "does not exist"
                                                      : ours             ? "is " + peering->state
                                                             : "does not join network '" + own_network() + "'"));
        return;
    }
    hop("peering", peering_->id, base::join(peering_->networks, " and "));
    const Network* other = index_.network(far_network_);
    if (other == nullptr || other->range.contains(address_) || far_ != nullptr) return;
    const auto real = index_.networks_at(address_);
    std::string where = "lies in no known network";
    if (!real.empty()) where = "lies in network '" + real.front()->id + "'";
    add(FaultId::SourceNotTransitive,
        fmt::format("peering '{}' leads to network '{}' ({}) and no further; {} {}", peering_->id, other->id,
                    other->range.text(), text(), where),
        real.empty()
            ? ""
            : fmt::format("Create a peering between networks '{}' and '{}', and route {} to it in table '{}'.",
                          own_network(), real.front()->id, real.front()->range.text(), from_.table->table->id));
}

// Gateways lead out of the networks: never to an address within one, and to no private one.
bool Trace::leads_to_private(const Route* route) {
    if (!candidates_.empty()) {
        propose_peering(route);
        return true;
    }
    if (!is_private(address_)) return false;
    add(FaultId::SourceOutside,
        fmt::format("{} is a private address outside of all known networks; table '{}' sends it to {}, which does not "
                    "lead there",
                    text(), from_.table->table->id, target_text(*route)));
    return true;
}

// The address lies in a known network to which no route of ours leads.
void Trace::propose_peering(const Route* route) {
    const std::string& table = from_.table->table->id;
    const std::string leads = route == nullptr ? fmt::format("table '{}' has no route there", table)
                                               : fmt::format("table '{}' routes {} to {}", table,
                                                             route->destination.text(), target_text(*route));
    if (far_network_ == own_network()) {
        add(FaultId::SourceRouteAstray,
            fmt::format("{} lies in network '{}' itself, but {}, which does not lead back into it", text(),
                        own_network(), leads));
        return;
    }
    std::vector<std::string> names;
    for (const Network* network : candidates_) names.push_back("'" + network->id + "'");
    const Network& other = *candidates_.front();
    const Peering* peering = index_.peering_between(own_network(), other.id);
    const std::string there = fmt::format("{} lies in network {}", text(), base::join(names, " or "));
    if (peering != nullptr && peering->state == "active") {
        add(FaultId::SourcePeeringUnused,
            fmt::format("{}; peering '{}' joins it with '{}', but {}", there, peering->id, own_network(), leads),
            fmt::format("Add the route {} to peering:{} to table '{}'.", other.range.text(), peering->id, table));
        return;
    }
    add(FaultId::SourcePeeringMissing,
        fmt::format("{}; {} with '{}', and {}", there,
                    peering == nullptr
                        ? "no peering joins it"
                        : fmt::format("peering '{}', which is {}, joins it", peering->id, peering->state),
                    own_network(), leads),
        fmt::format("{} networks '{}' and '{}', route {} to it in table '{}', and {} back.",
                    peering == nullptr ? "Create a peering between"
                                       : fmt::format("Have peering '{}' accepted between", peering->id),
                    own_network(), other.id, other.range.text(), table,
                    from_.network == nullptr ? from_.subnet->range.text() : from_.network->range.text()));
}

void Trace::through_nat(const Route& route) {
    const NatGateway* nat = nat_of(index_, from_, route, base::Severity::Unusable, faults_);
    if (nat == nullptr) return;
    hop("nat-gateway", nat->id, fmt::format("subnet {}, zone {}", nat->subnet, nat->zone));
    const Place* stands = index_.place(nat->subnet);
    if (stands != nullptr && stands != &from_) {
        acl(FaultId::NatAclDenied, *stands, true, from_.subnet->range, false);
        acl(FaultId::NatAclDenied, *stands, false, {address_, 32}, false);
        acl(FaultId::NatAclDenied, *stands, true, {address_, 32}, true);
        acl(FaultId::NatAclDenied, *stands, false, from_.subnet->range, true);
    }
    hop("internet", text(), "");
}

void Trace::through_internet(const Route& route) {
    if (!internet_works(index_, from_, route, base::Severity::Unusable, faults_)) return;
    hop("internet", text(), "");
}

}  // namespace signalbox::network::internal
