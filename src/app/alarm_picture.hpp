#pragma once
// A backtest as one SVG file: the series, the band that was expected of it, and where the alarm was raised. It carries
// its own colours, for light and dark pages. Pure.

#include <string>

#include "domain/alarms/backtest.hpp"

namespace signalbox::app {

struct AlarmPicture {
    std::string title;   // the table, perhaps
    std::string metric;  // what the values are
    const alarms::AlarmConfig& config;
    const alarms::Backtest& backtest;
};

std::string alarm_svg(const AlarmPicture& picture);

}  // namespace signalbox::app
