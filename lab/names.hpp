#pragma once
// The names of the zone "lab": addresses of nodes, and aliases that the controller moves. Written by the controllers,
// read by the resolver.

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "lab/ipv4.hpp"

namespace signalbox::lab {

// Names are lower case, without the final dot: "orders-1.lab", "orders.cluster.lab".
class Names {
  public:
    struct Answer {
        bool exists = false;
        std::optional<std::string> alias;
        std::optional<Ipv4> address;  // of the alias's target, if there is an alias
    };
    void set_address(const std::string& name, Ipv4 address);
    void set_alias(const std::string& name, const std::string& target);
    void remove(const std::string& name);
    Answer look_up(const std::string& name) const;

  private:
    mutable std::mutex mutex_;
    std::map<std::string, Ipv4> addresses_;
    std::map<std::string, std::string> aliases_;
};

}  // namespace signalbox::lab
