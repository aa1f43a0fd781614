#pragma once
// `signalbox job pause` and `signalbox job resume`.

#include <CLI/CLI.hpp>

namespace signalbox::app {

void register_job_pause(CLI::App& group, int& exit_status);

}  // namespace signalbox::app
