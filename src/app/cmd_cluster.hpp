#pragma once
// `signalbox cluster …`: what the daemon knows of the clusters that it follows.

#include <CLI/CLI.hpp>

namespace signalbox::app {

void register_cluster(CLI::App& app, int& exit_status);

}  // namespace signalbox::app
