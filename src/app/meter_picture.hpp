#pragma once
// The timeline picture of a measurement as one SVG element: a lane per path and member, below them the phases, on one
// axis in milliseconds after the fault. Its colours are CSS classes of the page that holds it (meter_report). Pure.

#include <string>
#include <string_view>
#include <vector>

#include "app/meter_output.hpp"

namespace signalbox::app {

// A named stretch of time, drawn as a bar of its own.
struct PictureRow {
    std::string name;
    std::string detail;  // the path or member
    base::MonoTime from{};
    base::MonoTime to{};
    bool open = false;    // it had not ended
    bool outage = false;  // an outage, not a phase
};

struct PictureFrame {
    base::MonoTime from{};
    base::MonoTime to{};
    base::MonoTime zero{};                // 0 of the axis
    bool has_fault = false;               // draws the line at zero
    std::string id;                       // distinguishes the pictures of one page
    std::string caption;                  // what a reader who can't see it is told
    std::vector<std::string> lane_notes;  // one per path: "old writer", …
};

std::string picture_svg(const Measurement& measurement, const PictureFrame& frame, const std::vector<PictureRow>& rows);

std::string escape_html(std::string_view text);

}  // namespace signalbox::app
