#pragma once
// IPv4 addresses and ranges as numbers, for the lab's subnets.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace signalbox::lab {

using Ipv4 = std::uint32_t;  // host byte order

// "10.0.1.4", nothing else around it.
std::optional<Ipv4> parse_ipv4(std::string_view text);
std::string ipv4_text(Ipv4 address);

struct Cidr {
    Ipv4 base = 0;   // no host bits set
    int prefix = 0;  // 0–32

    Ipv4 last() const {
        return base | (prefix == 0 ? ~Ipv4{0} : static_cast<Ipv4>((std::uint64_t{1} << (32 - prefix)) - 1));
    }
    bool contains(Ipv4 address) const { return address >= base && address <= last(); }
    bool contains(const Cidr& other) const { return contains(other.base) && contains(other.last()); }
    bool overlaps(const Cidr& other) const { return contains(other.base) || other.contains(base); }
    std::string text() const;
    friend bool operator==(const Cidr&, const Cidr&) = default;
};
// "10.0.1.0/24"; a base with host bits set is refused.
std::optional<Cidr> parse_cidr(std::string_view text);

// A subnet keeps five addresses for itself, as a cloud's does: its own, the router's, the two after it, and the last.
inline constexpr Ipv4 reserved_at_start = 4;
inline Ipv4 router_of(const Cidr& subnet) { return subnet.base + 1; }
inline Ipv4 first_usable(const Cidr& subnet) { return subnet.base + reserved_at_start; }
inline Ipv4 last_usable(const Cidr& subnet) { return subnet.last() - 1; }
inline std::uint32_t usable_count(const Cidr& subnet) { return last_usable(subnet) - first_usable(subnet) + 1; }

}  // namespace signalbox::lab
