#pragma once
// Network ACLs as stateless nftables rules: they judge each packet where it enters or leaves its subnet, and nothing
// within one. In the core that is between two bridges, or a bridge and the internet's link; the outer side of a NAT
// gateway is judged in the gateway's own namespace, since its cable to the internet leads round the core.

#include <string>
#include <vector>

#include "lab/spec.hpp"

namespace signalbox::lab {

// A subnet's bridge and the network ACL that guards it.
struct GuardedBridge {
    std::string bridge;
    const AclSpec* acl;
};

// The core's rules.
std::string core_acl_rules(const std::vector<GuardedBridge>& bridges);
// The rules of a NAT gateway in a subnet with that network ACL. It also passes nothing back where it came from: a NAT
// gateway leads to the internet and nowhere else.
std::string nat_acl_rules(const AclSpec& acl);

}  // namespace signalbox::lab
