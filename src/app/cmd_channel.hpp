#pragma once
// `signalbox channel …`: what the daemon knows of the streams that read from its clusters.

#include <CLI/CLI.hpp>

namespace signalbox::app {

void register_channel(CLI::App& app, int& exit_status);

}  // namespace signalbox::app
