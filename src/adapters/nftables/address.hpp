#pragma once
// An IP address with a port as the kernel knows it: no names, comparable, printable for rules and for people.

#include <array>
#include <compare>
#include <cstdint>
#include <string>

#include "base/error.hpp"
#include "base/text.hpp"

namespace signalbox::kernel {

struct Address {
    bool v6 = false;
    std::array<std::uint8_t, 16> bytes{};  // network order; an IPv4 address in the first four
    std::uint16_t port = 0;

    std::string ip() const;    // "10.0.0.1", "fd00::1"
    std::string text() const;  // "10.0.0.1:3306", "[fd00::1]:3306"
    bool unspecified() const;  // 0.0.0.0 or ::
    bool loopback() const;
    // NOLINTNEXTLINE(modernize-use-nullptr): the check takes the comparison with 0 for a pointer's.
    friend auto operator<=>(const Address&,
                            const Address&) = default;  // NOLINT(modernize-use-nullptr): a false finding
};

// Takes addresses and "localhost" (127.0.0.1), no other names. Errors: InvalidArgument.
base::Result<Address> parse_address(const base::HostPort& text);
base::Result<Address> parse_ip(const std::string& ip, std::uint16_t port);

}  // namespace signalbox::kernel
