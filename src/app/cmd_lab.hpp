#pragma once
// `signalbox lab …`: the same as `signalbox-lab …`, for people who know one program. The lab is a program of its own
// (the product does not link it), so this command becomes it.

#include <CLI/CLI.hpp>

namespace signalbox::app {

// Adds the command. Its callback replaces this process by signalbox-lab with the same arguments; it returns, with
// exit_status set, only if there is no such program.
void register_lab(CLI::App& app, int& exit_status);

}  // namespace signalbox::app
