#pragma once
// A series on a terminal: a column for each stretch of time, points over the range that was expected. Pure.

#include <optional>
#include <string>
#include <vector>

#include "domain/alarms/backtest.hpp"

namespace signalbox::app {

struct TextPlotSize {
    std::size_t columns = 80;  // of the plot itself, without its labels
    std::size_t rows = 12;
};

// The steps that have a value: • inside the range or without one, ! outside, ░ the range. Empty without any value.
std::string text_plot(const std::vector<alarms::BacktestStep>& steps, TextPlotSize size);

}  // namespace signalbox::app
