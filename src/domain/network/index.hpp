#pragma once
// Facts with what belongs together found once: a subnet's network, zone, table, network ACL and endpoints, routes by
// prefix, subnets and interfaces by address. Checks of many connections over the same facts share one.

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "domain/network/facts.hpp"

namespace signalbox::network {

struct Table {
    const RouteTable* table = nullptr;
    std::vector<const Route*> routes;        // the longest prefix first, equal ones as listed
    std::vector<const Endpoint*> endpoints;  // gateway endpoints that name the table, and targets of its routes

    // The route with the longest prefix that contains the address, or nullptr.
    const Route* to(std::uint32_t address) const;
    // The route of 0.0.0.0/0, or nullptr.
    const Route* default_route() const;
};

struct Acl {
    const NetworkAcl* acl = nullptr;
    std::vector<const AclEntry*> ingress;  // the lowest number first
    std::vector<const AclEntry*> egress;
};

// A subnet with everything that belongs to it; nullptr for what is not among the facts.
struct Place {
    const Subnet* subnet = nullptr;
    const Network* network = nullptr;
    const Zone* zone = nullptr;
    const Table* table = nullptr;            // that it really uses: the one that names it, else its network's main one
    const Acl* acl = nullptr;                // that names it, else its network's default one; none: nothing is filtered
    std::vector<const Endpoint*> endpoints;  // interface endpoints that name it
    const std::unordered_map<std::uint32_t, const Interface*>* interfaces =
        nullptr;  // by address; nullptr: it has none

    // The interface that holds the address in it, or nullptr.
    const Interface* interface_at(std::uint32_t address) const;
};

class Index {
  public:
    // Refers to the facts: they must outlive the index and stay as they are.
    explicit Index(const Facts& facts);
    explicit Index(Facts&&) = delete;
    Index(const Index&) = delete;
    Index& operator=(const Index&) = delete;

    const Facts& facts() const { return facts_; }
    // By id, or nullptr.
    const Place* place(std::string_view subnet) const;
    const Network* network(std::string_view id) const;
    const Zone* zone(std::string_view id) const;
    const NatGateway* nat_gateway(std::string_view id) const;
    const Endpoint* endpoint(std::string_view id) const;
    const SecurityGroup* security_group(std::string_view id) const;
    const Peering* peering(std::string_view id) const;
    const InternetGateway* internet_gateway(std::string_view id) const;

    // The subnet of that network whose range has the address, or nullptr. Networks may overlap each other.
    const Place* place_at(std::string_view network, std::uint32_t address) const;

    // All networks whose range, or a subnet's, has the address.
    std::vector<const Network*> networks_at(std::uint32_t address) const;
    // An active peering of the two, else any other one of them, else nullptr.
    const Peering* peering_between(std::string_view a, std::string_view b) const;
    // How many interfaces of the subnet are still held after their nodes have ended.
    std::size_t lingering(std::string_view subnet) const;

  private:
    template <typename T>
    using ById = std::unordered_map<std::string_view, T>;

    void index_tables();
    void index_acls();
    void index_places();
    void index_interfaces();

    const Facts& facts_;
    ById<const Network*> networks_;
    ById<const Zone*> zones_;
    ById<const NatGateway*> nat_gateways_;
    ById<const Endpoint*> endpoints_;
    ById<const SecurityGroup*> security_groups_;
    ById<const Peering*> peerings_;
    ById<const InternetGateway*> internet_gateways_;
    ById<Table> tables_;
    ById<Acl> acls_;
    ById<const Table*> table_of_subnet_;
    ById<const Table*> main_table_;
    ById<const Acl*> acl_of_subnet_;
    ById<const Acl*> default_acl_;
    ById<Place> places_;
    ById<std::vector<const Place*>> places_of_network_;  // by the range's base
    ById<std::unordered_map<std::uint32_t, const Interface*>> interfaces_;
    ById<std::size_t> lingering_;
};

}  // namespace signalbox::network
