#pragma once
// A backtest as one SVG picture: values over the range that was expected, episodes of ALARM behind them. Pure.

#include <string>

#include "domain/alarms/backtest.hpp"

namespace signalbox::app {

// `series`: what it ran over, for the title. Its size is bounded: long series are drawn by columns.
std::string alarm_svg(const alarms::AlarmConfig& config, const alarms::Backtest& backtest, const std::string& series);

}  // namespace signalbox::app
