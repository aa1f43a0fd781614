#include "domain/clusters/topology.hpp"

namespace signalbox::clusters {

std::string aurora_topology(Engine engine) {
    if (engine == Engine::PostgreSql) {
        // Since 13.9 a server gives no stamp to its own row: it is as new as the answer.
        return "SELECT server_id AS name, session_id = 'MASTER_SESSION_ID' AS writer,"
               " coalesce(last_update_timestamp, now()) AS updated, replica_lag_in_msec AS lag_ms"
               " FROM aurora_replica_status()";
    }
    return "SELECT server_id AS name, session_id = 'MASTER_SESSION_ID' AS writer, last_update_timestamp AS updated,"
           " replica_lag_in_milliseconds AS lag_ms FROM information_schema.replica_host_status";
}

}  // namespace signalbox::clusters
