#pragma once
// `signalbox job run|explain|runs|show|logs|stop`.

#include <CLI/CLI.hpp>

namespace signalbox::app {

void register_job(CLI::App& app, int& exit_status);

}  // namespace signalbox::app
