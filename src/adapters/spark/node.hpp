#pragma once
// One node's part in a Spark run, as a process of its own on that node.

#include <string>

#include "base/error.hpp"

namespace signalbox::spark {

// Runs the part of that rank (commands.hpp) to its end, with `address` as the node's own. The driver's node returns the
// exit code of spark-submit (128 + the signal that ended it) after its master has ended; a worker's node returns 0 when
// the driver's node has ended, else the worker's own exit code. SIGTERM ends all of it. It takes over the process: its
// signal mask, and every child. Errors: InvalidConfig and NotFound for what no retry would mend (no Spark there, no
// application); else Unavailable.
base::Result<int> run_node(const std::string& run_directory, int rank, const std::string& address);

}  // namespace signalbox::spark
