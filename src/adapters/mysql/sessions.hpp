#pragma once
// Ends sessions of ours on a server of the MySQL family. KILL only marks: a session counts as ended when the server has
// never heard of it.

#include <vector>

#include "adapters/mysql/client.hpp"
#include "adapters/probing/member_link.hpp"

namespace signalbox::mysql {

// By id with KILL CONNECTION (other users' sessions need CONNECTION ADMIN; MySQL: CONNECTION_ADMIN), by address through
// the process list (needs PROCESS). With `sees_all` the user has PROCESS, and a round of any number of sessions is one
// round trip; without it each id is a round trip, and sessions known by address alone can't be ended.
probing::Ended end_sessions(Client& client, const std::vector<clusters::ServerSession>& sessions, bool sees_all,
                            probing::Clock::time_point until);

// True if the user of this connection has PROCESS as a privilege of its own; by a role does not count.
base::Result<bool> has_process_privilege(Client& client, base::Duration timeout);

// Whether a row of the process list with this HOST ("10.0.0.7:40112", "::1:40112", "localhost:40112") is the client at
// that address. Unclear: the port is the same, and the server shows a name in place of the address.
enum class SameClient { No, Yes, Unclear };
SameClient same_client(std::string_view host_column, const base::HostPort& client);

}  // namespace signalbox::mysql
