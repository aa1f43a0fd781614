#pragma once
// The topology that Aurora keeps of its members, as the query that TopologyConfig takes.

#include <string>

#include "domain/clusters/config.hpp"

namespace signalbox::clusters {

// Aurora MySQL's information_schema.replica_host_status and Aurora PostgreSQL's aurora_replica_status(): a row per
// member, the session id of the writer's being 'MASTER_SESSION_ID' (Amazon Aurora User Guide). No MariaDB is Aurora,
// but its servers read the same text.
std::string aurora_topology(Engine engine);

}  // namespace signalbox::clusters
