#pragma once
// `signalbox network …`: whether one place can reach another, and everything that is wrong with the connections.

#include <CLI/CLI.hpp>

namespace signalbox::app {

void register_network(CLI::App& app, int& exit_status);

}  // namespace signalbox::app
