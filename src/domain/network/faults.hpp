#pragma once
// The catalogue of everything that can be wrong with a connection's network, with stable codes.
// docs/reference/faults.md is made from it.

#include <string>
#include <vector>

#include "base/fault.hpp"

namespace signalbox::network {

enum class FaultId {
    SubnetMissing,
    SubnetUnavailable,
    NetworkMissing,
    NetworkUnavailable,
    ZoneImpaired,
    ZoneUnknown,
    NoRouteTable,
    NoWayOut,
    WayOutBlackholed,
    NatMissing,
    NatUnavailable,
    NatOtherZone,
    NatZoneImpaired,
    EndpointMissing,
    EndpointUnavailable,
    WayOutThroughPeering,
    WayOutUnknownTarget,
    EndpointOtherNetwork,
    NatOtherNetwork,
    InternetGatewayMissing,
    InternetGatewayUnavailable,
    NoFreeAddresses,
    UnderCapacity,
    AddressesPromised,
    AddressesLingering,
    NoSecurityGroup,
    SecurityGroupMissing,
    SecurityGroupOtherNetwork,
    NodesCannotTalk,
    NodesTalkPartly,
    NodesEgressBlocked,
    SourceUnresolved,
    SourceNoRoute,
    SourceRouteBlackholed,
    SourcePeeringBroken,
    SourceEgressBlocked,
    SourceAclDenied,
    SourceReturnAclDenied,
    SourcePeeringMissing,
    SourcePeeringUnused,
    SourceNotTransitive,
    FactsStale,
    SourceOutside,
    SourceRouteUnknown,
    SourceRouteAstray,
    NatAclDenied,
    DestinationNoSubnet,
    DestinationNoInterface,
    DestinationInterfaceDown,
    DestinationUnavailable,
    DestinationZoneImpaired,
    DestinationAclDenied,
    DestinationIngressBlocked,
    DestinationGroupNotReferable,
    ReturnNoRoute,
    ReturnBlackholed,
    ReturnAstray,
    ReturnAclDenied,
};

struct FaultKind {
    FaultId id;
    const char* code;
    const char* name;
    base::Severity severity;
    bool signal;
    const char* cause;
    const char* remedy;
};

// Every kind, in the order of FaultId.
const std::vector<FaultKind>& fault_catalogue();
const FaultKind& kind_of(FaultId id);
// A fault of that kind. The message says what was found.
base::Fault make_fault(FaultId id, std::string message);
base::Fault make_fault(FaultId id, std::string message, base::Severity severity);
// SubnetMissing, with the subnets that there are.
base::Fault subnet_missing(const std::string& subnet, const std::vector<std::string>& known);
// The reference page about all of them.
std::string faults_page();

}  // namespace signalbox::network
