#include "app/text_plot.hpp"

#include <algorithm>
#include <cmath>

#include "app/alarm_output.hpp"

namespace signalbox::app {
namespace {

constexpr std::string_view point_mark = "•";
constexpr std::string_view outside_mark = "!";
constexpr std::string_view range_mark = "░";
constexpr std::string_view nothing = " ";

struct Scale {
    double low = 0;
    double high = 1;
    std::size_t rows = 1;
    // Row 0 is the highest.
    std::size_t row(double value) const {
        const double share = std::clamp((value - low) / (high - low), 0.0, 1.0);
        return rows - 1 - static_cast<std::size_t>(std::lround(share * static_cast<double>(rows - 1)));
    }
};

// Values decide the scale. A range far wider than them is cut, so that the values can be told apart.
Scale scale_of(const std::vector<const alarms::BacktestStep*>& points, std::size_t rows) {
    Scale scale{*points.front()->value, *points.front()->value, rows};
    for (const auto* step : points) {
        scale.low = std::min(scale.low, *step->value);
        scale.high = std::max(scale.high, *step->value);
    }
    const double span = std::max(scale.high - scale.low, std::max(std::abs(scale.high), 1.0) * 0.01);
    const Scale values = scale;
    for (const auto* step : points) {
        if (!step->expected) continue;
        scale.low = std::min(scale.low, std::max(step->expected->low, values.low - span));
        scale.high = std::max(scale.high, std::min(step->expected->high, values.high + span));
    }
    if (scale.low == scale.high) scale.high += span;
    return scale;
}

using Grid = std::vector<std::vector<std::string_view>>;

void draw_range(Grid& grid, const Scale& scale, std::size_t column, const alarms::Range& range) {
    if (range.high < scale.low || range.low > scale.high) return;
    for (std::size_t row = scale.row(range.high); row <= scale.row(range.low); ++row)
        if (grid[row][column] == nothing) grid[row][column] = range_mark;
}

}  // namespace

std::string text_plot(const std::vector<alarms::BacktestStep>& steps, TextPlotSize size) {
    std::vector<const alarms::BacktestStep*> points;
    for (const auto& step : steps)
        if (step.value && std::isfinite(*step.value)) points.push_back(&step);
    if (points.empty() || size.rows == 0 || size.columns == 0) return {};
    const Scale scale = scale_of(points, size.rows);
    const double from = static_cast<double>(points.front()->at.time_since_epoch().count());
    const double until = static_cast<double>(points.back()->at.time_since_epoch().count());
    const auto column_of = [&](const alarms::BacktestStep& step) {
        if (until <= from) return std::size_t{0};
        const double share = (static_cast<double>(step.at.time_since_epoch().count()) - from) / (until - from);
        return static_cast<std::size_t>(std::lround(share * static_cast<double>(size.columns - 1)));
    };
    Grid grid(size.rows, std::vector<std::string_view>(size.columns, nothing));
    for (const auto* step : points) {
        const std::size_t column = column_of(*step);
        const bool outside = step->expected && !step->expected->contains(*step->value);
        std::string_view& mark = grid[scale.row(*step->value)][column];
        if (mark != outside_mark) mark = outside ? outside_mark : point_mark;
        if (step->expected) draw_range(grid, scale, column, *step->expected);
    }
    const std::string top = number_text(scale.high);
    const std::string bottom = number_text(scale.low);
    const std::size_t width = std::max(top.size(), bottom.size());
    std::string text;
    for (std::size_t row = 0; row < size.rows; ++row) {
        const std::string& label = row == 0 ? top : row + 1 == size.rows ? bottom : std::string();
        text += fmt::format("{:>{}} |", label, width);
        std::string line;
        for (const auto mark : grid[row]) line += mark;
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
    }
    const std::string first = base::format_time(points.front()->at).substr(0, 16);
    const std::string last = base::format_time(points.back()->at).substr(0, 16);
    const std::size_t used = first.size() + last.size();
    const std::string gap(size.columns > used ? size.columns - used : 1, ' ');
    return text + std::string(width + 2, ' ') + first + gap + last + "\n";
}

}  // namespace signalbox::app
