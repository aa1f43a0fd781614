#pragma once
// PostgreSQL 15 as a member of a lab's cluster: streaming replication with synchronous commit, promotion, pg_rewind.
//
// How its facts serve the controller's safety argument (cluster.hpp):
//   - A commit is flushed on the writer first, and then waits for one of the members by name
//   (`synchronous_standby_names
//     = ANY 1 (…)`): not for '*', as any stream would be taken for a reader then, a change-data client's too. A wait
//     that is cancelled, or cut off by a restart, leaves a commit that only the writer has: it was never acknowledged,
//     and a former writer that follows again is rewound to the point where the new writer's history begins.
//   - What was acknowledged alone was flushed first: the writer's flush position is the floor.
//   - Whether commits wait is decided by a flag in shared memory that the checkpointer sets when it has read the
//     configuration. It has done so for certain after the second of two checkpoints that were asked for after its
//     SIGHUP.
//   - A reader's receiver flushes before it acknowledges; what it has flushed is replayed by a promotion.

#include "lab/member.hpp"

namespace signalbox::lab {

// Errors: NotFound when PostgreSQL 15's server programs are not on this machine.
base::Result<std::unique_ptr<Engine>> make_postgres(const ClusterSpec& spec, const std::string& directory,
                                                    Reaper& reaper);

}  // namespace signalbox::lab
