#include "adapters/nftables/address.hpp"

#include <algorithm>
#include <arpa/inet.h>

namespace signalbox::kernel {

std::string Address::ip() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), text.data(), text.size());
    return text.data();
}

std::string Address::text() const { return base::HostPort{ip(), port}.text(); }

bool Address::unspecified() const {
    return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

bool Address::loopback() const { return v6 ? ip() == "::1" : bytes[0] == 127; }

base::Result<Address> parse_ip(const std::string& ip, std::uint16_t port) {
    Address address;
    address.port = port;
    address.v6 = ip.find(':') != std::string::npos;
    if (inet_pton(address.v6 ? AF_INET6 : AF_INET, ip.c_str(), address.bytes.data()) != 1) {
        return base::fail(base::ErrorKind::InvalidArgument, "'{}' is not an IP address; the kernel knows no names", ip);
    }
    return address;
}

base::Result<Address> parse_address(const base::HostPort& text) {
    return parse_ip(text.host == "localhost" ? "127.0.0.1" : text.host, text.port);
}

}  // namespace signalbox::kernel
