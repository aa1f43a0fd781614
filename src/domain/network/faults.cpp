#include "domain/network/faults.hpp"

#include <fmt/format.h>
#include <iterator>

#include "base/assert.hpp"

namespace signalbox::network {
namespace {

using base::Severity;
constexpr auto Unusable = Severity::Unusable;
constexpr auto Degraded = Severity::Degraded;
constexpr auto Notice = Severity::Notice;

constexpr FaultKind kinds[] = {
    {FaultId::SubnetMissing, "SB-NET-001", "subnet-missing", Unusable, false,
     "The connection names a subnet that the provider does not have.",
     "Correct the connection's subnet, or create it."},
    {FaultId::SubnetUnavailable, "SB-NET-002", "subnet-unavailable", Unusable, false,
     "The subnet exists, but its state is not available.", "Wait until the subnet is available, or use another one."},
    {FaultId::NetworkMissing, "SB-NET-003", "network-missing", Unusable, false,
     "The subnet belongs to a network that the provider does not list.",
     "Check that the provider's account and region are the right ones."},
    {FaultId::NetworkUnavailable, "SB-NET-004", "network-unavailable", Unusable, false,
     "The subnet's network exists, but its state is not available.", "Wait until the network is available."},
    {FaultId::ZoneImpaired, "SB-NET-005", "zone-impaired", Unusable, true,
     "The provider reports the subnet's zone as impaired. Being a signal only, it never rules out every zone.",
     "Use a connection in another zone until the zone has healed."},
    {FaultId::ZoneUnknown, "SB-NET-006", "zone-unknown", Notice, false,
     "The provider says nothing about the zone of the subnet.",
     "Nothing to do, unless the zone's id is misspelt in the provider's own configuration."},
    {FaultId::NoRouteTable, "SB-NET-010", "no-route-table", Unusable, false,
     "No route table names the subnet, and its network has no main table.", "Associate a route table with the subnet."},
    {FaultId::NoWayOut, "SB-NET-011", "no-way-out", Unusable, false,
     "The route table that the subnet uses has neither a default route nor an endpoint: the job could not reach "
     "the services that it needs.",
     "Route 0.0.0.0/0 to a NAT gateway in the table that the subnet really uses, or add an endpoint to it."},
    {FaultId::WayOutBlackholed, "SB-NET-012", "way-out-blackholed", Unusable, false,
     "The default route leads to something that was deleted: packets vanish. Degraded only, if an endpoint is "
     "another way out.",
     "Point the default route to a gateway that exists."},
    {FaultId::NatMissing, "SB-NET-013", "nat-missing", Unusable, false,
     "The default route names a NAT gateway that the provider does not have.",
     "Point the default route to a NAT gateway that exists."},
    {FaultId::NatUnavailable, "SB-NET-014", "nat-unavailable", Unusable, false,
     "The NAT gateway of the default route exists, but is not available.",
     "Create the NAT gateway anew, or route to another one."},
    {FaultId::NatOtherZone, "SB-NET-015", "nat-other-zone", Degraded, false,
     "The NAT gateway stands in another zone than the subnet: the job fails with either zone.",
     "Give each zone a NAT gateway of its own, and each subnet a route to the one of its zone."},
    {FaultId::NatZoneImpaired, "SB-NET-016", "nat-zone-impaired", Unusable, true,
     "The NAT gateway stands in another zone, and that zone is reported as impaired.",
     "Route the subnet to a NAT gateway in its own zone."},
    {FaultId::EndpointMissing, "SB-NET-017", "endpoint-missing", Unusable, false,
     "A route leads to an endpoint that the provider does not have.", "Remove the route, or create the endpoint."},
    {FaultId::EndpointUnavailable, "SB-NET-018", "endpoint-unavailable", Unusable, false,
     "The only way out is an endpoint that is not available.", "Wait for the endpoint, or create it anew."},
    {FaultId::WayOutThroughPeering, "SB-NET-019", "way-out-through-peering", Unusable, false,
     "The default route leads to a peering. Peerings are not transitive: the other network's way out is not "
     "usable from here.",
     "Give the subnet's own network a NAT gateway or an endpoint."},
    {FaultId::WayOutUnknownTarget, "SB-NET-020", "way-out-unknown-target", Degraded, false,
     "The default route leads to a kind of target that Signalbox does not know; whether it works is not checked.",
     "Make sure by yourself that the target forwards traffic."},
    {FaultId::NoFreeAddresses, "SB-NET-030", "no-free-addresses", Unusable, false,
     "The subnet has fewer addresses left than a run needs to start: two, or one for a job of one node.",
     "Wait for other runs to end, end leftovers that hold addresses, or use a larger subnet."},
    {FaultId::UnderCapacity, "SB-NET-031", "under-capacity", Degraded, false,
     "The subnet has fewer addresses left than the job has nodes, driver included: it would start smaller.",
     "Use a larger subnet, or fewer workers."},
    {FaultId::AddressesPromised, "SB-NET-032", "addresses-promised", Notice, false,
     "Some of the free addresses are promised to other runs that are starting now.", "Nothing to do."},
    {FaultId::NoSecurityGroup, "SB-NET-040", "no-security-group", Unusable, false,
     "The connection has no security group.", "Name at least one security group that lets the nodes talk."},
    {FaultId::SecurityGroupMissing, "SB-NET-041", "security-group-missing", Unusable, false,
     "The connection names a security group that the provider does not have.",
     "Correct the name, or create the group."},
    {FaultId::SecurityGroupOtherNetwork, "SB-NET-042", "security-group-other-network", Unusable, false,
     "The security group belongs to another network than the subnet.", "Use a group of the subnet's own network."},
    {FaultId::NodesCannotTalk, "SB-NET-043", "nodes-cannot-talk", Unusable, false,
     "No rule of the connection's security groups lets the nodes of a run reach each other.",
     "Add an inbound rule for all TCP ports with the group itself as its source."},
    {FaultId::NodesTalkPartly, "SB-NET-044", "nodes-talk-partly", Degraded, false,
     "The nodes of a run may reach each other on some TCP ports only; drivers and workers choose any.",
     "Let the inbound and outbound rules that name the group itself cover all TCP ports."},
    {FaultId::NodesEgressBlocked, "SB-NET-045", "nodes-egress-blocked", Unusable, false,
     "No outbound rule of the connection's security groups lets the nodes of a run reach each other.",
     "Add an outbound rule for all TCP ports with the group itself as its destination."},
    {FaultId::SourceUnresolved, "SB-NET-050", "source-unresolved", Notice, false,
     "The data source is given by name; routes and rules are checked for addresses only.",
     "Give the address, if it is stable, to have it checked."},
    {FaultId::SourceNoRoute, "SB-NET-051", "source-no-route", Unusable, false,
     "The route table that the subnet uses has no route to the data source.",
     "Add a peering between the networks and a route to it, or a default route."},
    {FaultId::SourceRouteBlackholed, "SB-NET-052", "source-route-blackholed", Unusable, false,
     "The route to the data source leads to something that was deleted.",
     "Point the route to a gateway or peering that exists."},
    {FaultId::SourcePeeringBroken, "SB-NET-053", "source-peering-broken", Unusable, false,
     "The route to the data source leads to a peering that is missing, inactive, or not this network's.",
     "Create or accept the peering, or correct the route."},
    {FaultId::SourceEgressBlocked, "SB-NET-054", "source-egress-blocked", Unusable, false,
     "No outbound rule of the connection's security groups leads to the data source.",
     "Add an outbound rule for the data source's address and port."},
    {FaultId::FactsStale, "SB-NET-060", "facts-stale", Degraded, false,
     "The provider was last asked so long ago that the check may no longer hold.",
     "Look why the provider does not answer."},
};

}  // namespace

const std::vector<FaultKind>& fault_catalogue() {
    static const std::vector<FaultKind> catalogue(std::begin(kinds), std::end(kinds));
    return catalogue;
}

const FaultKind& kind_of(FaultId id) {
    const auto& kind = fault_catalogue().at(static_cast<std::size_t>(id));
    SB_ASSERT(kind.id == id, "the catalogue stands in the order of FaultId");
    return kind;
}

base::Fault make_fault(FaultId id, std::string message) {
    return make_fault(id, std::move(message), kind_of(id).severity);
}

base::Fault make_fault(FaultId id, std::string message, base::Severity severity) {
    const FaultKind& kind = kind_of(id);
    return {kind.code, kind.name, severity, kind.signal, std::move(message), kind.remedy};
}

std::string faults_page() {
    std::string page =
        "# Faults of connections\n\n"
        "Every check of a connection that `signalbox job run` and `signalbox job explain` make, by its stable code. "
        "All "
        "checks of\nall connections are made and reported; none is hidden by the first fault.\n\n"
        "| severity | means |\n|---|---|\n"
        "| unusable | the connection is not used |\n"
        "| unusable (signal) | not used, unless no connection at all would be left |\n"
        "| degraded | used, but worse than it could be |\n"
        "| notice | worth knowing; it changes nothing |\n\n"
        "| code | name | severity | cause | remedy |\n|---|---|---|---|---|\n";
    for (const FaultKind& kind : fault_catalogue()) {
        page += fmt::format("| {} | {} | {}{} | {} | {} |\n", kind.code, kind.name, base::to_string(kind.severity),
                            kind.signal ? " (signal)" : "", kind.cause, kind.remedy);
    }
    return page;
}

}  // namespace signalbox::network
