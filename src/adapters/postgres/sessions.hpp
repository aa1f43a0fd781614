#pragma once
// Ends sessions of ours on a PostgreSQL server. pg_terminate_backend only tells: a session counts as ended when the
// server has it no more.

#include <vector>

#include "adapters/postgres/client.hpp"
#include "adapters/probing/member_link.hpp"

namespace signalbox::postgres {

// By process id, or by the client's address as the server sees it. Other users' sessions need pg_signal_backend, which
// does not reach superusers'; addresses need pg_read_all_stats (`reads_stats`).
probing::Ended end_sessions(Client& client, const std::vector<clusters::ServerSession>& sessions, bool reads_stats,
                            probing::Clock::time_point until);

}  // namespace signalbox::postgres
