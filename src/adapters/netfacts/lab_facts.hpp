#pragma once
// Network facts from the lab's API (docs/reference/lab-api.md).

#include <string>

#include "adapters/http/client.hpp"
#include "ports/network_facts.hpp"

namespace signalbox::netfacts {

class LabFacts final : public ports::NetworkFacts {
  public:
    // socket: the path of the lab's API socket.
    explicit LabFacts(const std::string& socket) : client_("unix:" + socket) {}

    base::Result<network::Facts> read(base::WallTime now, base::Duration timeout) override;

  private:
    http::Client client_;
};

}  // namespace signalbox::netfacts
