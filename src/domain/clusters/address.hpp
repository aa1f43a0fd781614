#pragma once
// Whether a text that a database told us is an address that may be connected to.

#include <string_view>

namespace signalbox::clusters {

// An IPv4 or IPv6 address as inet_pton(3) reads it, without a zone, and one that can be another server's: not the
// unspecified one, nor multicast. Loopback is allowed: all members may be on this machine.
bool is_member_address(std::string_view text);

}  // namespace signalbox::clusters
