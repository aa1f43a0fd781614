#pragma once
// A measurement as one self-contained HTML page with a timeline picture (inline SVG): no scripts, no other files, light
// and dark by the reader's preference. Pure.

#include <string>

#include "app/meter_output.hpp"

namespace signalbox::app {

std::string measurement_html(const Measurement& measurement);

}  // namespace signalbox::app
