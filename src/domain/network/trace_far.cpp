// What filters on the way, the destination's side of a known network, and the way back.

#include <algorithm>
#include <fmt/format.h>

#include "base/text.hpp"
#include "domain/network/trace_internal.hpp"

namespace signalbox::network::internal {

bool Trace::referable() const {
    if (far_network_ == own_network()) return true;
    const Peering* peering = index_.peering_between(own_network(), far_network_);
    return peering != nullptr && peering->state == "active";
}

// Whether the address may belong to the group: what is not known is not held against the rule.
bool Trace::may_have_group(const std::string& group) const {
    if (interface_ != nullptr) return has(interface_->security_groups, group) && referable();
    if (far_ != nullptr) return true;
    return peering_ != nullptr && index_.network(far_network_) == nullptr;
}

void Trace::egress() {
    if (!filtered_ || groups_.empty()) return;
    for (const SecurityGroup* group : groups_) {
        for (const Rule& rule : group->egress) {
            if (!covers_port(rule, port_)) continue;
            if (rule.range ? rule.range->contains(address_) : may_have_group(rule.group)) return;
        }
    }
    add(FaultId::SourceEgressBlocked, fmt::format("no outbound rule of {} leads to {}", names_of(groups_), text()),
        fmt::format("Add an outbound rule to security group '{}': tcp {} to {}/32.", groups_.front()->id, port_,
                    address_text(address_)));
}

// What the place's network ACL does with packets of this connection (or its answers) from or to the peers.
void Trace::acl(FaultId id, const Place& place, bool inbound, const Range& peers, bool answers) {
    if (place.acl == nullptr) return;
    const auto& entries = inbound ? place.acl->ingress : place.acl->egress;
    const int first = answers ? ephemeral_first : port_;
    const int last = answers ? ephemeral_last : port_;
    auto found = denied(entries, peers, first, last);
    if (!found) return;
    const auto of_clients = answers ? denied(entries, peers, client_port_first, client_port_last) : found;
    if (of_clients) found = of_clients;
    const std::string& name = place.acl->acl->id;
    const std::string ports = answers ? fmt::format("{}-{}", first, last) : std::to_string(first);
    const char* direction = inbound ? "inbound" : "outbound";
    const char* towards = inbound ? "from" : "to";
    const std::string how = found->by == nullptr ? fmt::format("no {} entry allows it", direction)
                                                 : fmt::format("by {} entry {}", direction, found->by->number);
    add(id,
        fmt::format("network ACL '{}' of subnet '{}' denies {}tcp port {} {} {}: {}", name, place.subnet->id,
                    answers ? "answers to " : "", answers ? std::to_string(found->port) : ports, towards,
                    address_text(found->peer), how),
        fmt::format("Add an {} entry to network ACL '{}'{}: allow tcp {} {} {}.", direction, name,
                    found->by == nullptr ? "" : fmt::format(", with a number below {}", found->by->number), ports,
                    towards, peers.text()));
    // The nodes themselves choose other ports; a gateway on the way may choose these.
    if (!of_clients) faults_.back().severity = base::Severity::Degraded;
}

void Trace::destination() {
    if (far_ == nullptr) {
        // A route into the network was said to lead there, but no subnet has the address.
        const Network* network = index_.network(far_network_);
        if (network != nullptr && network->range.contains(address_)) {
            add(FaultId::DestinationNoSubnet, fmt::format("{} lies in network '{}' ({}), but in none of its subnets",
                                                          text(), network->id, network->range.text()));
        } else if (route_ != nullptr && route_->kind == TargetKind::Local && !route_->blackhole) {
            add(FaultId::DestinationNoSubnet,
                fmt::format("table '{}' routes {} to network '{}' itself, in none of whose subnets it lies",
                            from_.table->table->id, text(), own_network()));
        }
        return;
    }
    const Subnet& subnet = *far_->subnet;
    if (!same_subnet()) {
        if (subnet.state != "available")
            add(FaultId::DestinationUnavailable,
                fmt::format("subnet '{}', which has {}, is {}", subnet.id, text(), subnet.state));
        if (far_network_ != own_network() && far_->network != nullptr && far_->network->state != "available")
            add(FaultId::DestinationUnavailable,
                fmt::format("network '{}', which has {}, is {}", far_network_, text(), far_->network->state));
        if (subnet.zone != from_.subnet->zone && far_->zone != nullptr && far_->zone->state != "available")
            add(FaultId::DestinationZoneImpaired, fmt::format("zone '{}' of subnet '{}', which has {}, is {}",
                                                              subnet.zone, subnet.id, text(), far_->zone->state));
        acl(FaultId::DestinationAclDenied, *far_, true, from_.subnet->range, false);
        if (path_ != nullptr)
            hop("subnet", subnet.id,
                fmt::format("{}, zone {}, network {}", subnet.range.text(), subnet.zone, subnet.network));
    }
    holder();
}

void Trace::holder() {
    if (interface_ == nullptr) {
        if (index_.facts().interfaces_known)
            add(FaultId::DestinationNoInterface, fmt::format("no interface of subnet '{}' has the address {}",
                                                             far_->subnet->id, address_text(address_)));
        return;
    }
    if (path_ != nullptr) hop("interface", interface_->id, text());
    if (interface_->state != "in-use")
        add(FaultId::DestinationInterfaceDown, fmt::format("interface '{}', which has {}, is {}", interface_->id,
                                                           address_text(address_), interface_->state));
    ingress();
}

void Trace::ingress() {
    if (interface_->security_groups.empty()) return;
    Samples samples(from_.subnet->range);
    std::vector<const Rule*> rules;
    bool by_membership = false;
    for (const std::string& id : interface_->security_groups) {
        const SecurityGroup* group = index_.security_group(id);
        if (group == nullptr) continue;
        for (const Rule& rule : group->ingress) {
            if (!covers_port(rule, port_)) continue;
            if (rule.range) {
                if (rule.range->contains(from_.subnet->range)) return;
                rules.push_back(&rule);
                samples.cut_by(*rule.range);
            } else {
                by_membership = by_membership || std::any_of(groups_.begin(), groups_.end(),
                                                             [&](const auto* own) { return own->id == rule.group; });
            }
        }
    }
    if (by_membership && referable()) return;
    const auto blocked = samples.first([&](std::uint32_t source) {
        return std::none_of(rules.begin(), rules.end(),
                            [&](const Rule* rule) { return rule->range->contains(source); });
    });
    if (!blocked) return;
    const std::string names = base::join(interface_->security_groups, ", ");
    if (by_membership) {
        add(FaultId::DestinationGroupNotReferable,
            fmt::format("an inbound rule of {} (interface '{}', {}) names a group of network '{}', which means nothing "
                        "in network '{}' without an active peering",
                        names, interface_->id, text(), own_network(), far_network_));
        return;
    }
    const std::string from = groups_.empty() || !referable() ? from_.subnet->range.text() : "sg:" + groups_.front()->id;
    add(FaultId::DestinationIngressBlocked,
        fmt::format("no inbound rule of {} (interface '{}') lets {} reach {}", names, interface_->id,
                    samples.is_cut()
                        ? "all of " + from_.subnet->range.text() + ", such as " + address_text(*blocked) + ","
                        : from_.subnet->range.text() + (groups_.empty() ? "" : " or " + names_of(groups_)),
                    text()),
        fmt::format("Add an inbound rule to security group '{}': tcp {} from {}.", interface_->security_groups.front(),
                    port_, from));
}

void Trace::way_back() {
    if (far_ == nullptr) return;
    acl(FaultId::ReturnAclDenied, *far_, false, from_.subnet->range, true);
    if (far_->table == nullptr) {
        add(FaultId::ReturnNoRoute,
            fmt::format("no route table for subnet '{}', which has {}, and network '{}' has no main one",
                        far_->subnet->id, text(), far_network_));
        return;
    }
    Samples samples(from_.subnet->range);
    for (const Route* route : far_->table->routes) samples.cut_by(route->destination);
    samples.first([&](std::uint32_t source) { return !back_route(source); });
}

// False with a fault if the destination's table does not lead back to that source.
bool Trace::back_route(std::uint32_t source) {
    const Route* route = far_->table->to(source);
    if (route != nullptr && !route->blackhole && leads_back(*route)) return true;
    const std::string& table = far_->table->table->id;
    const std::string remedy = fmt::format(
        "Route {} to {} in table '{}'.", from_.subnet->range.text(),
        far_network_ == own_network() ? "local" : fmt::format("the peering with '{}'", own_network()), table);
    if (route == nullptr) {
        add(FaultId::ReturnNoRoute,
            fmt::format("table '{}' of subnet '{}' has no route back from {} to {}", table, far_->subnet->id, text(),
                        address_text(source)),
            remedy);
    } else if (route->blackhole) {
        add(FaultId::ReturnBlackholed,
            fmt::format("table '{}' of subnet '{}' routes {} to a blackhole: no answer comes "
                        "back from {} to {}",
                        table, far_->subnet->id, route->destination.text(), text(), address_text(source)),
            remedy);
    } else {
        add(FaultId::ReturnAstray,
            fmt::format("table '{}' of subnet '{}' routes {} to {}, which does not lead back from "
                        "{} to {}",
                        table, far_->subnet->id, route->destination.text(), target_text(*route), text(),
                        address_text(source)),
            remedy);
    }
    return false;
}

bool Trace::leads_back(const Route& route) const {
    // Of a kind that is not known, nothing is known here either.
    if (route.kind == TargetKind::Other) return true;
    if (route.kind == TargetKind::Local) return far_network_ == own_network();
    if (route.kind != TargetKind::Peering || far_network_ == own_network()) return false;
    const Peering* peering = index_.peering(route.target);
    return peering != nullptr && peering->state == "active" && has(peering->networks, own_network()) &&
           has(peering->networks, far_network_);
}

}  // namespace signalbox::network::internal
