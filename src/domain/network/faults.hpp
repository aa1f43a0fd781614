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
    NoFreeAddresses,
    UnderCapacity,
    AddressesPromised,
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
    FactsStale,
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
// The reference page about all of them.
std::string faults_page();

}  // namespace signalbox::network
