#pragma once
// Asks the silent ends of ended flows: a bare ACK with wrong numbers, to which a peer's TCP answers with its true ones
// (RFC 793 section 3.9, "SEGMENT ARRIVES", unacceptable segment). That answer meets the fence and draws the reset.

#include <cstdint>
#include <vector>

#include "adapters/nftables/conntrack.hpp"
#include "base/error.hpp"

namespace signalbox::kernel {

class Questions {
  public:
    // Packets carry this mark; the table lets them pass untracked. Errors: PermissionDenied (no CAP_NET_RAW).
    static base::Result<Questions> open(std::uint32_t mark);
    ~Questions();
    Questions(Questions&& other) noexcept;
    Questions& operator=(Questions&&) = delete;
    Questions(const Questions&) = delete;
    Questions& operator=(const Questions&) = delete;

    // One question to each end of each flow (IPv4 only). A packet that can't be sent is left out: the flow's next
    // packet is reset all the same.
    void ask(const std::vector<Flow>& flows) const;

  private:
    explicit Questions(int socket) : socket_(socket) {}
    void send(const Address& from, const Address& to) const;
    int socket_ = -1;
};

}  // namespace signalbox::kernel
