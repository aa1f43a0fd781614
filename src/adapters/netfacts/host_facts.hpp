#pragma once
// The networks of plain processes on this host, where nothing else is known: one network, zone and subnet of the name
// `host`, with ample addresses and a way to everywhere, and one security group `default` that forbids nothing.

#include "ports/network_facts.hpp"

namespace signalbox::netfacts {

class HostFacts final : public ports::NetworkFacts {
  public:
    base::Result<network::Facts> read(base::WallTime now, base::Duration timeout) override;
};

}  // namespace signalbox::netfacts
