#pragma once
// `signalbox alarm list|show|ack|silence|unsilence|test|backtest`.

#include <CLI/CLI.hpp>

namespace signalbox::app {

void register_alarm(CLI::App& app, int& exit_status);

}  // namespace signalbox::app
