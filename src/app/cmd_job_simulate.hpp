#pragma once
// `signalbox job simulate`.

#include <CLI/CLI.hpp>

namespace signalbox::app {

void register_job_simulate(CLI::App& job, int& exit_status);

}  // namespace signalbox::app
