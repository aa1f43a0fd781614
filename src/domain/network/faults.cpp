#include "domain/network/faults.hpp"

#include <fmt/format.h>
#include <iterator>

#include "base/assert.hpp"
#include "base/text.hpp"

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
    {FaultId::EndpointOtherNetwork, "SB-NET-021", "endpoint-other-network", Unusable, false,
     "A route leads to an endpoint that belongs to another network: it serves that one only.",
     "Create an endpoint in the subnet's own network, and route to that one."},
    {FaultId::NatOtherNetwork, "SB-NET-022", "nat-other-network", Unusable, false,
     "A route leads to a NAT gateway that stands in another network: nothing comes through to it.",
     "Route to a NAT gateway of the subnet's own network."},
    {FaultId::InternetGatewayMissing, "SB-NET-023", "internet-gateway-missing", Unusable, false,
     "A route leads to an internet gateway that the provider does not have.",
     "Point the route to an internet gateway that exists."},
    {FaultId::InternetGatewayUnavailable, "SB-NET-024", "internet-gateway-unavailable", Unusable, false,
     "A route leads to an internet gateway that is not available, or not attached to this network.",
     "Attach the internet gateway to the subnet's network, or route to the one that is."},
    {FaultId::NoFreeAddresses, "SB-NET-030", "no-free-addresses", Unusable, false,
     "The subnet has fewer addresses left than a run needs to start: two, or one for a job of one node.",
     "Wait for other runs to end, end leftovers that hold addresses, or use a larger subnet."},
    {FaultId::UnderCapacity, "SB-NET-031", "under-capacity", Degraded, false,
     "The subnet has fewer addresses left than the job has nodes, driver included: it would start smaller.",
     "Use a larger subnet, or fewer workers."},
    {FaultId::AddressesPromised, "SB-NET-032", "addresses-promised", Notice, false,
     "Some of the free addresses are promised to other runs that are starting now.", "Nothing to do."},
    {FaultId::AddressesLingering, "SB-NET-033", "addresses-lingering", Notice, false,
     "The subnet is short of addresses while interfaces of nodes that have ended still hold some: these come back by "
     "themselves.",
     "Wait until the provider has given them back, or remove the interfaces."},
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
    {FaultId::SourceAclDenied, "SB-NET-055", "source-acl-denied", Unusable, false,
     "The network ACL of the subnet lets nothing out to the data source's address and port.",
     "Add an outbound entry for it to the network ACL, with a number below those that deny it."},
    {FaultId::SourceReturnAclDenied, "SB-NET-056", "source-return-acl-denied", Unusable, false,
     "The network ACL of the subnet keeps the data source's answers out. Network ACLs are stateless: answers come to "
     "the ports 1024-65535.",
     "Add an inbound entry for tcp 1024-65535 from the data source to the network ACL."},
    {FaultId::SourcePeeringMissing, "SB-NET-057", "source-peering-missing", Unusable, false,
     "The data source lies in another known network, and no active peering joins the two. No gateway leads to private "
     "addresses.",
     "Create a peering between the two networks, and route to it on both sides."},
    {FaultId::SourcePeeringUnused, "SB-NET-058", "source-peering-unused", Unusable, false,
     "The data source lies in another network with which an active peering exists, but the subnet's route table does "
     "not lead to it.",
     "Add a route to the peering to the table that the subnet really uses."},
    {FaultId::SourceNotTransitive, "SB-NET-059", "source-not-transitive", Unusable, false,
     "The route to the data source leads to a peering with a network that does not have it. Peerings are not "
     "transitive.",
     "Create a peering with the network that has the address, and route to that one."},
    {FaultId::FactsStale, "SB-NET-060", "facts-stale", Degraded, false,
     "The provider was last asked so long ago that the check may no longer hold.",
     "Look why the provider does not answer."},
    {FaultId::SourceOutside, "SB-NET-061", "source-outside", Unusable, false,
     "The data source's address is private and lies in no known network; the route leads to a gateway that only leads "
     "to public ones.",
     "Correct the address, or route it to the peering or gateway behind which it lies."},
    {FaultId::SourceRouteUnknown, "SB-NET-062", "source-route-unknown", Degraded, false,
     "The route to the data source leads to a kind of target that Signalbox does not know; whether it works is not "
     "checked.",
     "Make sure by yourself that the target forwards traffic, there and back."},
    {FaultId::SourceRouteAstray, "SB-NET-063", "source-route-astray", Unusable, false,
     "The data source lies in the subnet's own network, but a route with a longer prefix than the local one leads out "
     "of it.",
     "Remove the route, so that the local one applies."},
    {FaultId::NatAclDenied, "SB-NET-064", "nat-acl-denied", Unusable, false,
     "The network ACL of the NAT gateway's subnet stops packets on their way to the gateway, out of it, or back.",
     "Let the network ACL of the NAT gateway's subnet pass the port outward, and tcp 1024-65535 for answers, both "
     "ways."},
    {FaultId::DestinationNoSubnet, "SB-NET-070", "destination-no-subnet", Unusable, false,
     "The address lies in a known network, but in none of its subnets: nobody can have it.", "Correct the address."},
    {FaultId::DestinationNoInterface, "SB-NET-071", "destination-no-interface", Unusable, false,
     "The address lies in a known subnet, but no interface has it: nobody would answer.",
     "Correct the address, or start what should have it."},
    {FaultId::DestinationInterfaceDown, "SB-NET-072", "destination-interface-down", Unusable, false,
     "The interface that has the address is not in use, for example because its node has ended.",
     "Start what should have the address, or correct the address."},
    {FaultId::DestinationUnavailable, "SB-NET-073", "destination-unavailable", Unusable, false,
     "The subnet or the network that has the address is not available.", "Wait until it is available."},
    {FaultId::DestinationZoneImpaired, "SB-NET-074", "destination-zone-impaired", Degraded, true,
     "The provider reports the zone of the destination as impaired: no other connection would change that.",
     "Use a data source in another zone until the zone has healed."},
    {FaultId::DestinationAclDenied, "SB-NET-075", "destination-acl-denied", Unusable, false,
     "The network ACL of the destination's subnet does not let the subnet's addresses in to the port.",
     "Add an inbound entry for them to the network ACL, with a number below those that deny it."},
    {FaultId::DestinationIngressBlocked, "SB-NET-076", "destination-ingress-blocked", Unusable, false,
     "No inbound rule of the security groups of the destination's interface lets the subnet's addresses, or the "
     "connection's groups, in to the port.",
     "Add an inbound rule for the connection's group or the subnet's range to a group of the destination."},
    {FaultId::DestinationGroupNotReferable, "SB-NET-077", "destination-group-not-referable", Unusable, false,
     "The destination lets the connection's group in by name, but groups have a meaning only within their network and "
     "over an active peering.",
     "Create or accept the peering of the two networks, or let the subnet's range in."},
    {FaultId::ReturnNoRoute, "SB-NET-080", "return-no-route", Unusable, false,
     "The route table of the destination's subnet has no route back: answers are lost.",
     "Add a route back to the table that the destination's subnet really uses."},
    {FaultId::ReturnBlackholed, "SB-NET-081", "return-blackholed", Unusable, false,
     "The destination's route back leads to something that was deleted: answers vanish.",
     "Point the route back to a peering that exists."},
    {FaultId::ReturnAstray, "SB-NET-082", "return-astray", Unusable, false,
     "The destination's route back leads elsewhere: to a gateway, or to a peering that does not join the two networks.",
     "Route the source's range to local or to the peering of the two networks."},
    {FaultId::ReturnAclDenied, "SB-NET-083", "return-acl-denied", Unusable, false,
     "The network ACL of the destination's subnet keeps answers in. Network ACLs are stateless: answers go to the "
     "ports 1024-65535.",
     "Add an outbound entry for tcp 1024-65535 to the subnet's range to the network ACL."},
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

base::Fault subnet_missing(const std::string& subnet, const std::vector<std::string>& known) {
    return make_fault(FaultId::SubnetMissing,
                      fmt::format("there is no subnet '{}'; there {}", subnet,
                                  known.empty() ? "is none" : "are " + base::join(known, ", ")));
}

std::string faults_page() {
    std::string page =
        "# Faults of connections\n\n"
        "Everything that `signalbox job run`, `signalbox job explain`, `signalbox network faults` and `signalbox "
        "network "
        "reach` can\nfind wrong, by its stable code. All checks of all connections are made and reported; none is "
        "hidden "
        "by the first fault.\nWhat is judged, and what is not: [network](network.md).\n\n"
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
