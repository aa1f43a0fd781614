#pragma once
// The kernel's table of flows: which of them are ours, and their end. Blocks at most a second per call. Not
// thread-safe.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "adapters/nftables/address.hpp"
#include "base/error.hpp"

struct mnl_socket;

namespace signalbox::kernel {

enum class Life {
    Running,
    Closing,  // one side ended it
    Reset,    // by a side, or by our rules, within the last seconds
    Over,     // both sides ended it: nothing runs at its server any more
};

struct Flow {
    Address client;   // who connected, as it arrived here
    Address listen;   // to which address
    Address server;   // who answers
    Address seen_as;  // whom the server sees
    std::uint32_t mark = 0;
    std::uint32_t id = 0;  // the kernel's own, of this entry
    Life life = Life::Running;
    std::string tuple;  // the entry's key, as the kernel wrote it
};

class Conntrack {
  public:
    // Errors: NotSupported (no conntrack netlink).
    static base::Result<Conntrack> open();

    // TCP flows whose mark has these bits under the mask; the kernel does the filtering. Errors: PermissionDenied,
    // Unavailable, Timeout.
    base::Result<std::vector<Flow>> flows(std::uint32_t mark, std::uint32_t mask);
    // Deletes the entries, in batches; one that is gone already is no error.
    base::Status remove(const std::vector<Flow>& flows);

  private:
    struct Close {
        void operator()(mnl_socket* socket) const;
    };
    explicit Conntrack(mnl_socket* socket) : socket_(socket) {}
    base::Status drain_acknowledgement(std::uint32_t sequence);
    std::unique_ptr<mnl_socket, Close> socket_;
    std::uint32_t sequence_ = 0;
};

}  // namespace signalbox::kernel
