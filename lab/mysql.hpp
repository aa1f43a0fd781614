#pragma once
// MySQL 9 as a member of a lab's cluster: GTID replication, semi-synchronous (AFTER_SYNC, no time-out). Debian 12 has
// no MySQL: its programs come from another Debian's root (tools/mysql-root), run by that root's own loader and
// libraries.

#include "lab/member.hpp"

namespace signalbox::lab {

// Errors: NotFound when that root holds no MySQL server.
base::Result<std::unique_ptr<Engine>> make_mysql(const ClusterSpec& spec, const std::string& directory, Reaper& reaper);

}  // namespace signalbox::lab
