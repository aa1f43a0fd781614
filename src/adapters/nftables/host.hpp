#pragma once
// What the kernel plane needs to know of this host, and the reservation of its addresses. Nothing here changes a
// setting of the host.

#include <optional>
#include <string>

#include "adapters/nftables/address.hpp"
#include "base/error.hpp"

namespace signalbox::kernel {

// A sysctl's number, "net/ipv4/ip_forward"; nothing if there is none.
std::optional<int> sysctl_number(const std::string& path);

struct HostFacts {
    bool forwards4 = false;
    bool forwards6 = false;
    bool picks_up = true;  // nf_conntrack_tcp_loose
    bool routes_loopback = false;
    friend bool operator==(const HostFacts&, const HostFacts&) = default;
};
HostFacts host_facts();

// An address of this host (bindable without port)?
bool is_local(const Address& address);

// Waits until every packet that the kernel was working on has left its rules: an RCU grace period. False: the kernel
// can't do it.
bool wait_for_packets_under_way();

// Holds an address with a socket that is bound but does not listen: others can't bind it, and without rules the kernel
// refuses connects to it.
class Reservation {
  public:
    // With port 0 the kernel chooses one. Errors: AlreadyExists, PermissionDenied, InvalidArgument.
    static base::Result<Reservation> take(const Address& address);
    ~Reservation();
    Reservation(Reservation&& other) noexcept;
    Reservation& operator=(Reservation&& other) noexcept;
    Reservation(const Reservation&) = delete;
    Reservation& operator=(const Reservation&) = delete;
    const Address& address() const { return address_; }

  private:
    Reservation(int socket, const Address& address) : socket_(socket), address_(address) {}
    int socket_ = -1;
    Address address_;
};

}  // namespace signalbox::kernel
