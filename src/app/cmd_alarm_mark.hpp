#pragma once
// `signalbox alarm ack|silence|unsilence`: what people say of alarms.

#include <CLI/CLI.hpp>

namespace signalbox::app {

void register_alarm_marks(CLI::App& alarm, int& exit_status);

}  // namespace signalbox::app
