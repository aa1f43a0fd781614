#pragma once
// `signalbox serve -c FILE`: the daemon, in the foreground.

#include <CLI/CLI.hpp>

namespace signalbox::app {

void register_serve(CLI::App& app, int& exit_status);

}  // namespace signalbox::app
