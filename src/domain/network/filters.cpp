#include <algorithm>

#include "domain/network/filters_internal.hpp"

namespace signalbox::network::internal {
namespace {

bool for_tcp(const std::string& protocol) { return protocol == "all" || protocol == "tcp"; }

// The ports that an entry speaks of: for all protocols it is all of them.
std::pair<int, int> ports_of(const AclEntry& entry) {
    return entry.protocol == "all" ? std::pair{0, 65535} : std::pair{entry.port_from, entry.port_to};
}

std::optional<Denied> denied_port(const std::vector<const AclEntry*>& entries, std::uint32_t peer, int port_from,
                                  int port_to) {
    for (int port = port_from; port <= port_to;) {
        const AclEntry* deciding = nullptr;
        int next = port_to + 1;  // up to where the same entry decides
        for (const AclEntry* entry : entries) {
            if (!for_tcp(entry->protocol) || !entry->range.contains(peer)) continue;
            const auto [first, last] = ports_of(*entry);
            if (first > port) next = std::min(next, first);
            if (first > port || last < port) continue;
            next = std::min(next, last + 1);
            deciding = entry;
            break;
        }
        if (deciding == nullptr || !deciding->allow) return Denied{peer, port, deciding};
        port = next;
    }
    return std::nullopt;
}

}  // namespace

bool covers_port(const Rule& rule, int port) {
    return rule.protocol == "all" || (rule.protocol == "tcp" && rule.port_from <= port && port <= rule.port_to);
}

bool covers_all_ports(const Rule& rule) {
    return rule.protocol == "all" || (rule.protocol == "tcp" && rule.port_from <= 1 && rule.port_to >= 65535);
}

void Samples::cut_by(const Range& range) {
    if (range.prefix_bits <= whole_.prefix_bits || !whole_.contains(range.base)) return;
    const auto add = [&](std::uint32_t address) {
        if (address != whole_.base && std::find(others_.begin(), others_.end(), address) == others_.end())
            others_.push_back(address);
    };
    add(range.base);
    if (range.last() != whole_.last()) add(range.last() + 1);
}

std::optional<Denied> denied(const std::vector<const AclEntry*>& entries, const Range& peers, int port_from,
                             int port_to) {
    Samples samples(peers);
    for (const AclEntry* entry : entries) samples.cut_by(entry->range);
    std::optional<Denied> found;
    samples.first(
        [&](std::uint32_t peer) { return (found = denied_port(entries, peer, port_from, port_to)).has_value(); });
    return found;
}

}  // namespace signalbox::network::internal
