#pragma once
// A simulation's results as one SVG file: a panel per metric, in it a bar per strategy. It carries its own colours, for
// light and dark pages. Pure.

#include <string>

#include "app/simulation_output.hpp"

namespace signalbox::app {

std::string simulation_svg(const SimulationReport& report);

}  // namespace signalbox::app
