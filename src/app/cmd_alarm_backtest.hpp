#pragma once
// `signalbox alarm backtest`.

#include <CLI/CLI.hpp>

namespace signalbox::app {

void register_alarm_backtest(CLI::App& alarm, int& exit_status);

}  // namespace signalbox::app
