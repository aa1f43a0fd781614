#pragma once
// `signalbox alarm test`.

#include <CLI/CLI.hpp>

namespace signalbox::app {

void register_alarm_test(CLI::App& alarm, int& exit_status);

}  // namespace signalbox::app
