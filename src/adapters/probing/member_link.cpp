#include "adapters/probing/member_link.hpp"

namespace signalbox::probing {

Target target_of(const clusters::ClusterConfig& cluster, const clusters::MemberConfig& member) {
    Target target;
    target.engine = cluster.engine;
    target.address = member.address;
    target.user = cluster.user;
    target.password = cluster.password;
    target.database = cluster.database;
    target.tls_ca_file = cluster.tls_ca_file;
    target.tls = cluster.tls;
    target.topology_query = cluster.topology.query;
    // Who keeps a topology tells its members there.
    target.replicas = cluster.discover && cluster.topology.query.empty();
    return target;
}

}  // namespace signalbox::probing
