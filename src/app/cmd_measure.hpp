#pragma once
// `signalbox measure`: the downtime meter. Probes all paths at once, reads the ledgers back, and says what it cost.

#include <CLI/CLI.hpp>

namespace signalbox::app {

// Exit status: 0 done, 1 an acknowledged write was lost or one was executed twice, 2 usage, 3 no path can be measured,
// 4 the ledgers could not be read back.
void register_measure(CLI::App& app, int& exit_status);

}  // namespace signalbox::app
