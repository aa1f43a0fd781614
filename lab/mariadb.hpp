#pragma once
// MariaDB as a member of a lab's cluster: GTID replication, semi-synchronous (AFTER_SYNC, no time-out).

#include "lab/member.hpp"

namespace signalbox::lab {

base::Result<std::unique_ptr<Engine>> make_mariadb(const std::string& directory, Reaper& reaper);

}  // namespace signalbox::lab
