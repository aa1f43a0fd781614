#pragma once
// The lab's networks as Linux has them: a bridge per subnet and a routing table per route table in the core namespace
// (process 1's own), a namespace per node, NAT gateways that really translate, an "internet" behind them. Everything
// lives in namespaces that only this process holds, so that nothing outlives it.

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "adapters/http/server.hpp"
#include "base/json.hpp"
#include "lab/log.hpp"
#include "lab/spec.hpp"
#include "lab/sys.hpp"

namespace signalbox::lab {

// The resolver's address, as seen from every node.
inline constexpr std::string_view resolver_address = "169.254.169.253";
// Something that answers beyond the networks: HTTP on port 80.
inline constexpr std::string_view internet_address = "203.0.113.1";

struct NodeInfo {
    std::string name;
    std::string kind;  // member, host, nat, endpoint, tenant, process
    std::string subnet;
    std::string zone;
    Ipv4 address = 0;
    int netns = -1;  // owned by the network; valid until the node is removed
    bool blackholed = false;
    std::vector<std::string> security_groups;
    std::string token = {};  // that its process was started with
};

// Safe from several threads: one change at a time.
class Network {
  public:
    Network(const LabSpec& spec, Reaper& reaper, Log& log);

    // Builds everything that the file declares but its members and hosts. Once.
    base::Status build();

    // A node with one interface. Errors: NotFound (subnet, group; names what there is), Unavailable (the subnet is
    // full; names who has its addresses), AlreadyExists.
    base::Result<NodeInfo> add_node(const std::string& name, const std::string& kind, const std::string& subnet,
                                    const std::vector<std::string>& groups, std::optional<Ipv4> address,
                                    const std::string& token = "");
    // Takes its interface away and gives its address back, whatever still runs there. The address of an ended process
    // is held for as long as its subnet's `linger` says.
    void remove_node(const std::string& name);
    std::optional<NodeInfo> node(const std::string& name) const;
    std::vector<NodeInfo> nodes() const;

    // Drops every packet of that node, both ways, without a word.
    base::Status set_blackhole(const std::string& node, bool on);
    // While on, that node's attempts to reach the address fail at once instead of waiting for an answer.
    base::Status set_unreachable(const std::string& node, Ipv4 address, bool on);
    // Refuses new connections to a port of that node with a reset, as a host does where nothing listens.
    base::Status set_port_closed(const std::string& node, std::uint16_t port, bool closed);
    // Cuts, or joins again, the links of every node of the zone.
    base::Status set_zone(const std::string& zone, bool up);
    bool zone_is_up(const std::string& zone) const;
    base::Status delete_nat(const std::string& name);
    // A cable between two nodes that no fault of the networks touches, for the controller's own errands; {a, b}.
    base::Result<std::pair<std::string, std::string>> connect_out_of_band(const std::string& a, const std::string& b);
    void disconnect_out_of_band(const std::string& a);

    // The describe calls of docs/reference/lab-api.md.
    base::json::array describe_zones() const;
    base::json::array describe_networks() const;
    base::json::array describe_subnets() const;
    base::json::array describe_route_tables() const;
    base::json::array describe_nat_gateways() const;
    base::json::array describe_endpoints() const;
    base::json::array describe_security_groups() const;
    base::json::array describe_peerings() const;
    base::json::array describe_network_acls() const;
    base::json::array describe_interfaces() const;

  private:
    // An interface that outlives its node.
    struct Lingering {
        NodeInfo info;
        Clock::time_point until;
    };

    struct Node {
        NodeInfo info;
        std::string port;  // the core's end of its cable
        Fd netns;
    };

    base::Status ip(const std::string& batch, int netns = -1);
    base::Status nft(const std::string& rules, int netns);
    base::Status sysctl(int netns, const std::string& key, const std::string& value);
    base::Status build_bridges();
    base::Status build_tenants();
    base::Status build_internet();
    base::Status build_nat(const NatSpec& nat);
    base::Status build_endpoints();
    base::Status build_route_tables();
    base::Status build_acls();
    const AclSpec& acl_of(const SubnetSpec& subnet) const;
    void give_back_lingering() const;
    std::string route_lines(const RouteTableSpec& table) const;
    std::string nat_state(const NatSpec& nat) const;
    base::Status refresh_routes();
    // The kernel takes up to a second to pass packets over a cable that was plugged in again.
    void wait_for_links(const std::string& zone);
    // Whoever looked for a neighbour in vain would go on to believe that it is gone.
    void forget_neighbours(const std::string& zone);
    base::Result<Ipv4> free_address(const SubnetSpec& subnet) const;
    base::Result<NodeInfo> add_node_locked(const std::string& name, const std::string& kind, const std::string& subnet,
                                           const std::vector<std::string>& groups, std::optional<Ipv4> address,
                                           const std::string& token = "");
    std::string firewall_of(const Node& node) const;
    void update_group_members(const std::vector<std::string>& groups, const std::string& verb, Ipv4 address);
    std::string bridge_of(const std::string& subnet) const;
    int table_number(const std::string& table) const;
    Ipv4 service_address(const EndpointSpec& endpoint) const;

    const LabSpec& spec_;
    Reaper& reaper_;
    Log& log_;
    mutable std::mutex mutex_;
    std::map<std::string, Node> nodes_;
    // Whoever looks at addresses gives back first what has lingered long enough.
    mutable std::map<Ipv4, std::string> used_;
    mutable std::map<Ipv4, Lingering> lingering_;
    std::map<std::string, Ipv4> last_given_;
    std::set<std::string> down_zones_;
    std::set<std::string> deleted_nats_;
    unsigned next_port_ = 1;
    Fd internet_;
    std::vector<std::unique_ptr<http::Server>> services_;
};

}  // namespace signalbox::lab
