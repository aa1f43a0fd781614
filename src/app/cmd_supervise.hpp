#pragma once
// `signalbox supervise`: the small parent of one node's command. It holds the run's token, keeps the log and the exit
// status, so that no crash of the daemon kills or forgets a run. Not for people; the launcher runs it.

#include <CLI/CLI.hpp>

namespace signalbox::app {

void register_supervise(CLI::App& app, int& exit_status);

}  // namespace signalbox::app
