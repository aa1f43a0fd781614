#pragma once
// `signalbox journal`: the append-only record, from the daemon or, when it is away, from its store.

#include <CLI/CLI.hpp>

namespace signalbox::app {

void register_journal(CLI::App& app, int& exit_status);

}  // namespace signalbox::app
