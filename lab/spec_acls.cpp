// The part `network_acls` of a lab file.

#include <algorithm>

#include "lab/spec_reading.hpp"

namespace signalbox::lab {

using yaml::Reader;

namespace {

std::vector<AclEntrySpec> read_entries(Reader& at, const char* key, const char* peer_key) {
    std::vector<AclEntrySpec> entries;
    for (Reader& entry_at : at.list(key)) {
        AclEntrySpec entry;
        constexpr std::int64_t number_max = 32766;
        if (!entry_at.has("number"))
            entry_at.fault("number", "an entry needs a number: the lowest that matches decides");
        entry.number = static_cast<int>(entry_at.integer("number", 1, number_max).value_or(1));
        entry.allow = entry_at.word("action", {"allow", "deny"}).value_or("allow") == "allow";
        read_ports(entry_at, entry.protocol, entry.port_from, entry.port_to);
        if (const auto range = read_cidr(entry_at, peer_key)) entry.range = *range;
        for (const auto& other : entries)
            if (other.number == entry.number)
                entry_at.fault("number", fmt::format("{} stands twice among the {} entries", entry.number, key));
        entry_at.finish();
        entries.push_back(entry);
    }
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
    return entries;
}

void read_acl(Reader& at, LabSpec& spec) {
    AclSpec acl;
    acl.name = at.need_name("name");
    acl.network = network_of(at, spec);
    acl.is_default = at.boolean("default").value_or(false);
    acl.subnets = at.texts("subnets");
    acl.ingress = read_entries(at, "ingress", "source");
    acl.egress = read_entries(at, "egress", "destination");
    std::vector<std::string> known;
    for (const auto& subnet : spec.subnets)
        if (subnet.network == acl.network) known.push_back(subnet.name);
    for (const auto& subnet : acl.subnets)
        need_known(at, "subnets", "subnet of network '" + acl.network + "'", subnet, known);
    for (const auto& other : spec.network_acls) {
        if (acl.is_default && other.is_default && other.network == acl.network)
            at.fault("default",
                     fmt::format("'{}' is already the default network ACL of network '{}'", other.name, acl.network));
        for (const auto& subnet : acl.subnets)
            if (std::count(other.subnets.begin(), other.subnets.end(), subnet) > 0)
                at.fault("subnets", fmt::format("subnet '{}' has network ACL '{}' already", subnet, other.name));
    }
    at.finish();
    spec.network_acls.push_back(std::move(acl));
}

}  // namespace

void read_acls(Reader& root, LabSpec& spec) {
    yaml::UniqueNames unique("network ACL");
    for (Reader& at : root.list("network_acls")) {
        read_acl(at, spec);
        unique.add(at, "name", spec.network_acls.back().name);
    }
    // As in a cloud: a network's default one lets everything pass until somebody says otherwise.
    const AclEntrySpec all{100, true, "all", 0, 65535, {}};
    for (const auto& network : spec.networks) {
        const bool has_default = std::any_of(spec.network_acls.begin(), spec.network_acls.end(), [&](const auto& acl) {
            return acl.is_default && acl.network == network.name;
        });
        if (!has_default)
            spec.network_acls.push_back({network.name + "-default", network.name, true, {}, {all}, {all}});
    }
}

}  // namespace signalbox::lab
