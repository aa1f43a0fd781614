#include "app/alarm_picture.hpp"

#include <algorithm>
#include <cmath>

#include "app/alarm_output.hpp"
#include "app/meter_picture.hpp"

namespace signalbox::app {
namespace {

using alarms::AlarmState;
using alarms::BacktestStep;

// In units of the view box.
constexpr double width = 1160;
constexpr double height = 420;
constexpr double left = 84;
constexpr double right = 1136;
constexpr double top = 78;
constexpr double bottom = 356;
constexpr std::size_t columns = 1052;  // one per unit of the plot's width
constexpr int lines_x = 6;
constexpr int lines_y = 4;

constexpr const char* style = R"(<style>
  .page { fill: #ffffff } .ink { fill: #1b1f24 } .soft { fill: #59636e } .grid { stroke: #e3e7eb }
  .band { fill: #cfe2f7 } .value { stroke: #0b63c5; fill: none; stroke-width: 1.3 } .dot { fill: #0b63c5 }
  .bad { fill: #c4320a } .episode { fill: #f9d9cc } .learning { fill: #f1f3f5 }
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif }
  .head { font-size: 18px; font-weight: 600 } .small { font-size: 12px }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14181d } .ink { fill: #e6e9ed } .soft { fill: #9aa4af } .grid { stroke: #2b323a }
    .band { fill: #1d3a5c } .value { stroke: #5aa7ff } .dot { fill: #5aa7ff } .bad { fill: #ff8a65 }
    .episode { fill: #4a2418 } .learning { fill: #1c2127 }
  }
</style>
)";

// What falls into one column of the plot.
struct Column {
    bool any = false;
    double least = 0;
    double most = 0;
    double last = 0;
    bool bad = false;
    std::optional<alarms::Range> expected;
};

struct Frame {
    base::WallTime from{};
    base::WallTime until{};
    double low = 0;
    double high = 1;

    double share(base::WallTime at) const {
        const double span = base::to_ms(until - from);
        return span <= 0 ? 0.5 : std::clamp(base::to_ms(at - from) / span, 0.0, 1.0);
    }
    double x(base::WallTime at) const { return left + share(at) * (right - left); }
    double y(double value) const {
        return bottom - std::clamp((value - low) / (high - low), 0.0, 1.0) * (bottom - top);
    }
    std::size_t column(base::WallTime at) const {
        return std::min(columns - 1, static_cast<std::size_t>(share(at) * static_cast<double>(columns)));
    }
};

double x_of(std::size_t column) { return left + (static_cast<double>(column) + 0.5) / columns * (right - left); }

// Values decide the scale; of a range that is far wider as much is shown as keeps them apart.
void scale(Frame& frame, const std::vector<BacktestStep>& steps) {
    std::optional<alarms::Range> values;
    for (const BacktestStep& step : steps) {
        if (!step.value || !std::isfinite(*step.value)) continue;
        if (!values) values = alarms::Range{*step.value, *step.value};
        values->low = std::min(values->low, *step.value);
        values->high = std::max(values->high, *step.value);
    }
    if (!values) return;
    const double span = std::max(values->high - values->low, std::max(std::abs(values->high), 1.0) * 0.02);
    frame.low = values->low;
    frame.high = values->high;
    for (const BacktestStep& step : steps) {
        if (!step.value || !step.expected) continue;
        frame.low = std::min(frame.low, std::max(step.expected->low, values->low - span / 2));
        frame.high = std::max(frame.high, std::min(step.expected->high, values->high + span / 2));
    }
    if (values->low >= 0) frame.low = std::max(frame.low, 0.0);
    frame.high = std::max(frame.high, frame.low + span);
}

std::vector<Column> columns_of(const Frame& frame, const std::vector<BacktestStep>& steps) {
    std::vector<Column> made(columns);
    for (const BacktestStep& step : steps) {
        if (!step.value || !std::isfinite(*step.value)) continue;
        Column& column = made[frame.column(step.at)];
        column.least = column.any ? std::min(column.least, *step.value) : *step.value;
        column.most = column.any ? std::max(column.most, *step.value) : *step.value;
        column.last = *step.value;
        column.any = true;
        column.bad = column.bad || step.datum == alarms::Datum::Bad;
        if (step.expected) column.expected = step.expected;
    }
    return made;
}

struct Canvas {
    std::string svg;
    template <typename... Args>
    void add(fmt::format_string<Args...> format, Args&&... args) {
        svg += fmt::format(format, std::forward<Args>(args)...);
    }
    void span(std::string_view kind, double from, double until, std::string_view title) {
        add("<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.0f}\" width=\"{:.1f}\" "
            "height=\"{:.0f}\"><title>{}</title></rect>\n",
            kind, from, top, std::max(until - from, 2.0), bottom - top, escape_html(title));
    }
};

// Episodes, and the time before anything was known.
void draw_states(Canvas& canvas, const Frame& frame, const std::vector<BacktestStep>& steps) {
    const auto learned =
        std::find_if(steps.begin(), steps.end(), [](const auto& step) { return step.value && !step.learning; });
    if (learned != steps.begin() && learned != steps.end())
        canvas.span("learning", left, frame.x(learned->at), "learning: no range yet");
    std::optional<base::WallTime> since;
    for (const BacktestStep& step : steps) {
        const bool alarm = step.state == AlarmState::Alarm;
        if (alarm && !since) since = step.at;
        if (alarm || !since) continue;
        canvas.span("episode", frame.x(*since), frame.x(step.at), "ALARM since " + base::format_time(*since));
        since.reset();
    }
    if (since) canvas.span("episode", frame.x(*since), right, "ALARM since " + base::format_time(*since));
}

void draw_grid(Canvas& canvas, const Frame& frame, bool values) {
    for (int i = 0; i <= lines_x; ++i) {
        const auto at = frame.from + (frame.until - frame.from) / lines_x * i;
        const double x = left + (right - left) * i / lines_x;
        const char* anchor = i == 0 ? "start" : i == lines_x ? "end" : "middle";
        canvas.add("<line class=\"grid\" x1=\"{0:.1f}\" y1=\"{1:.0f}\" x2=\"{0:.1f}\" y2=\"{2:.0f}\"/>", x, top,
                   bottom);
        canvas.add("<text class=\"soft small\" x=\"{:.1f}\" y=\"{:.0f}\" text-anchor=\"{}\">{}</text>\n", x,
                   bottom + 20, anchor, base::format_time(at).substr(0, 16));
    }
    for (int i = 0; values && i <= lines_y; ++i) {
        const double value = frame.low + (frame.high - frame.low) * i / lines_y;
        canvas.add("<line class=\"grid\" x1=\"{:.0f}\" y1=\"{:.1f}\" x2=\"{:.0f}\" y2=\"{:.1f}\"/>", left,
                   frame.y(value), right, frame.y(value));
        canvas.add("<text class=\"soft small\" x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", left - 8,
                   frame.y(value) + 4, number_text(std::abs(value) >= 100 ? std::round(value) : value));
    }
}

// Each stretch of columns with a range is one shape.
void draw_band(Canvas& canvas, const Frame& frame, const std::vector<Column>& drawn) {
    std::string upper;
    std::string lower;
    const auto close = [&] {
        if (!upper.empty()) canvas.add("<polygon class=\"band\" points=\"{}{}\"/>\n", upper, lower);
        upper.clear();
        lower.clear();
    };
    for (std::size_t i = 0; i < drawn.size(); ++i) {
        if (drawn[i].any && !drawn[i].expected) close();
        if (!drawn[i].expected) continue;
        upper += fmt::format("{:.1f},{:.1f} ", x_of(i), frame.y(drawn[i].expected->high));
        lower = fmt::format("{:.1f},{:.1f} ", x_of(i), frame.y(drawn[i].expected->low)) + lower;
    }
    close();
}

void draw_values(Canvas& canvas, const Frame& frame, const std::vector<Column>& drawn) {
    std::string points;
    std::string dots;
    const auto many = std::count_if(drawn.begin(), drawn.end(), [](const Column& column) { return column.any; });
    for (std::size_t i = 0; i < drawn.size(); ++i) {
        const Column& column = drawn[i];
        if (!column.any) continue;
        if (column.least != column.most)
            points +=
                fmt::format("{0:.1f},{1:.1f} {0:.1f},{2:.1f} ", x_of(i), frame.y(column.least), frame.y(column.most));
        points += fmt::format("{:.1f},{:.1f} ", x_of(i), frame.y(column.last));
        const double shown =
            column.bad && column.expected && column.least < column.expected->low ? column.least : column.most;
        if (column.bad || many <= 120) {
            dots += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"/>\n",
                                column.bad ? "bad" : "dot", x_of(i), frame.y(shown), column.bad ? 3.2 : 2.4);
        }
    }
    canvas.add("<polyline class=\"value\" points=\"{}\"/>\n{}", points, dots);
}

void draw_legend(Canvas& canvas, bool band) {
    double x = left;
    const auto entry = [&](std::string_view kind, std::string_view text) {
        canvas.add("<rect class=\"{}\" x=\"{:.0f}\" y=\"{:.0f}\" width=\"14\" height=\"12\"/>", kind, x, height - 30);
        canvas.add("<text class=\"soft small\" x=\"{:.0f}\" y=\"{:.0f}\">{}</text>\n", x + 20, height - 20, text);
        x += 40 + 7.5 * static_cast<double>(text.size());
    };
    entry("dot", "value");
    if (band) entry("band", "expected range");
    entry("bad", "bad point");
    entry("episode", "ALARM");
    entry("learning", "still learning");
}

}  // namespace

std::string alarm_svg(const alarms::AlarmConfig& config, const alarms::Backtest& backtest, const std::string& series) {
    Frame frame;
    const std::vector<BacktestStep>& steps = backtest.steps;
    if (!steps.empty()) {
        frame.from = steps.front().at;
        frame.until = steps.back().at;
    }
    scale(frame, steps);
    const std::vector<Column> drawn = columns_of(frame, steps);
    const bool values = std::any_of(drawn.begin(), drawn.end(), [](const Column& column) { return column.any; });
    const bool band =
        std::any_of(drawn.begin(), drawn.end(), [](const Column& column) { return column.expected.has_value(); });
    const std::string episodes =
        fmt::format("{} episode{} of ALARM", backtest.episodes, backtest.episodes == 1 ? "" : "s");
    Canvas canvas;
    canvas.add(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">\n",
        width, height, escape_html(fmt::format("{} over {}: {}", config.name, series, episodes)));
    canvas.svg += style;
    canvas.add("<rect class=\"page\" width=\"{:.0f}\" height=\"{:.0f}\"/>\n", width, height);
    canvas.add("<text class=\"ink head\" x=\"24\" y=\"34\">{} over {}</text>\n", escape_html(config.name),
               escape_html(series));
    canvas.add("<text class=\"soft\" x=\"24\" y=\"56\">{}; {}</text>\n", escape_html(describe(config)), episodes);
    draw_states(canvas, frame, steps);
    draw_grid(canvas, frame, values);
    draw_band(canvas, frame, drawn);
    if (values) draw_values(canvas, frame, drawn);
    draw_legend(canvas, band);
    return canvas.svg + "</svg>\n";
}

}  // namespace signalbox::app
