#include "lab/network_acls.hpp"

#include "lab/network.hpp"

namespace signalbox::lab {
namespace {

// One direction's entries as a chain: an allowed packet goes on to the next chain, everything else is dropped.
std::string chain_of(const std::string& name, const std::vector<AclEntrySpec>& entries, const char* direction) {
    std::string text = " chain " + name + " {\n";
    for (const auto& entry : entries) {
        text += "  ";
        if (entry.range.prefix > 0) text += fmt::format("ip {} {} ", direction, entry.range.text());
        if (entry.protocol == "tcp") text += fmt::format("tcp dport {}-{} ", entry.port_from, entry.port_to);
        text += entry.allow ? "return\n" : "drop\n";
    }
    return text + "  drop\n }\n";
}

}  // namespace

std::string core_acl_rules(const std::vector<GuardedBridge>& bridges) {
    std::string chains;
    std::string out;
    std::string in;
    for (const auto& [bridge, acl] : bridges) {
        chains += chain_of("out_" + bridge, acl->egress, "daddr") + chain_of("in_" + bridge, acl->ingress, "saddr");
        // A packet that goes back into the subnet that it came from has not left it.
        out += fmt::format("  iifname \"{0}\" oifname != \"{0}\" jump out_{0}\n", bridge);
        in += fmt::format("  oifname \"{0}\" iifname != \"{0}\" jump in_{0}\n", bridge);
    }
    return "table ip acls {\n" + chains + " chain forward {\n  type filter hook forward priority 0; policy accept;\n" +
           out + in + " }\n}\n";
}

std::string nat_acl_rules(const AclSpec& acl) {
    return "table ip acls {\n" + chain_of("out", acl.egress, "daddr") + chain_of("in", acl.ingress, "saddr") +
           " chain forward {\n  type filter hook forward priority 0; policy drop;\n  oifname \"wan0\" jump out\n"
           "  iifname \"wan0\" jump in\n  oifname \"wan0\" accept\n  iifname \"wan0\" accept\n }\n}\n";
}

const AclSpec& Network::acl_of(const SubnetSpec& subnet) const {
    const AclSpec* standard = nullptr;
    for (const auto& acl : spec_.network_acls) {
        if (acl.network != subnet.network) continue;
        for (const auto& name : acl.subnets)
            if (name == subnet.name) return acl;
        if (acl.is_default) standard = &acl;
    }
    return *standard;
}

base::Status Network::build_acls() {
    std::vector<GuardedBridge> bridges;
    for (const auto& subnet : spec_.subnets) bridges.push_back({bridge_of(subnet.name), &acl_of(subnet)});
    return nft(core_acl_rules(bridges), -1);
}

}  // namespace signalbox::lab
