#include "lab/ipv4.hpp"

#include <fmt/format.h>

#include "base/text.hpp"

namespace signalbox::lab {

std::optional<Ipv4> parse_ipv4(std::string_view text) {
    const auto parts = base::split(text, '.');
    if (parts.size() != 4) return std::nullopt;
    Ipv4 address = 0;
    for (const auto part : parts) {
        const auto octet = base::parse_uint(part);
        if (!octet || *octet > 255 || part.size() > 3) return std::nullopt;
        address = address << 8 | static_cast<Ipv4>(*octet);
    }
    return address;
}

std::string ipv4_text(Ipv4 address) {
    return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

std::string Cidr::text() const { return fmt::format("{}/{}", ipv4_text(base), prefix); }

std::optional<Cidr> parse_cidr(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto address = parse_ipv4(text.substr(0, slash));
    const auto prefix = base::parse_uint(text.substr(slash + 1));
    if (!address || !prefix || *prefix > 32) return std::nullopt;
    const Cidr cidr{*address, static_cast<int>(*prefix)};
    const std::uint64_t size = std::uint64_t{1} << (32 - cidr.prefix);
    if (cidr.base % size != 0) return std::nullopt;
    return cidr;
}

}  // namespace signalbox::lab
