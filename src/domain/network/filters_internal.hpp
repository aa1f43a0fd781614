#pragma once
// What security groups and network ACLs let pass.

#include <cstdint>
#include <optional>
#include <vector>

#include "domain/network/index.hpp"

namespace signalbox::network::internal {

bool covers_port(const Rule& rule, int port);
// All that a driver and its workers may choose.
bool covers_all_ports(const Rule& rule);

// One address of each part of `whole` that the ranges tell apart: what holds for all of these holds for all of it.
class Samples {
  public:
    explicit Samples(const Range& whole) : whole_(whole) {}
    void cut_by(const Range& range);
    bool is_cut() const { return !others_.empty(); }
    // The first of them for which `is` holds, or nothing.
    template <typename Predicate>
    std::optional<std::uint32_t> first(Predicate is) const {
        if (is(whole_.base)) return whole_.base;
        for (const std::uint32_t address : others_)
            if (is(address)) return address;
        return std::nullopt;
    }

  private:
    Range whole_;
    std::vector<std::uint32_t> others_;  // beside the whole's base; mostly none
};

// What a network ACL denies of a packet to or from one of the peers, to one of the ports.
struct Denied {
    std::uint32_t peer = 0;        // for example
    int port = 0;                  // for example
    const AclEntry* by = nullptr;  // nullptr: no entry matches
};

// entries: of one direction, the lowest number first. Nothing if all peers may use all the ports.
std::optional<Denied> denied(const std::vector<const AclEntry*>& entries, const Range& peers, int port_from,
                             int port_to);

}  // namespace signalbox::network::internal
