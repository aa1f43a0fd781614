#pragma once
// The run's ledger table on the servers: created on the writer, waited for on the members, read back, dropped.

#include <functional>
#include <string>
#include <vector>

#include "adapters/meter/probe.hpp"
#include "domain/meter/ledger.hpp"

namespace signalbox::meter {

// Connects to every path once and creates the ledger through the first that takes writes; then waits, up to `patience`,
// until every path that answers shows the table. Errors: PermissionDenied if any path refuses the login (which path,
// which user, with or without a password), Unavailable if no path answers or none takes writes.
base::Status create_ledger(const std::vector<PathTarget>& paths, const MeterOptions& options, Duration patience);

// Reads the ledger back from every member (every path, if no path leads to a single member): waits until all answer, no
// statement of this run is left running, exactly one takes writes and all others hold the same rows, or until
// `patience` is over; then reads what there is. `progress` is told what is still waited for; `give_up` ends the
// waiting.
std::vector<MemberRows> read_back(const std::vector<PathTarget>& paths, const MeterOptions& options, Duration patience,
                                  const std::function<void(const std::string&)>& progress,
                                  const std::function<bool()>& give_up);

// Drops the table through a path that takes writes.
base::Status drop_ledger(const std::vector<PathTarget>& paths, const MeterOptions& options);

}  // namespace signalbox::meter
