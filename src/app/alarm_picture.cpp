#include "app/alarm_picture.hpp"

#include <algorithm>
#include <cmath>

#include "app/meter_picture.hpp"

namespace signalbox::app {
namespace {

using alarms::AlarmState;
using alarms::Backtest;
using alarms::BacktestStep;
using base::WallTime;

// In units of the view box.
constexpr double width = 1240;
constexpr double height = 460;
constexpr double left = 92;
constexpr double right = width - 24;
constexpr double top = 92;
constexpr double bottom = height - 52;
constexpr std::size_t columns_max = 1100;

constexpr const char* style = R"(<style>
  .page { fill: #ffffff } .ink { fill: #1b1f24 } .soft { fill: #59636e }
  .grid { stroke: #e3e7eb; stroke-width: 1 } .band { fill: #0b63c5; fill-opacity: .14 }
  .series { fill: none; stroke: #0b63c5; stroke-width: 1.4; stroke-linejoin: round } .dot { fill: #0b63c5 }
  .bad { fill: #c62f2f } .alarm { fill: #c62f2f; fill-opacity: .13 } .edge { stroke: #c62f2f; stroke-width: 1.5 }
  .learning { fill: #59636e; fill-opacity: .08 }
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif }
  .head { font-size: 20px; font-weight: 600 } .hint { font-size: 12px }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14181d } .ink { fill: #e6e9ed } .soft { fill: #9aa4af }
    .grid { stroke: #2a313a } .band { fill: #5aa7ff; fill-opacity: .2 }
    .series { stroke: #5aa7ff } .dot { fill: #5aa7ff } .bad { fill: #ff7a70 }
    .alarm { fill: #ff7a70; fill-opacity: .17 } .edge { stroke: #ff7a70 } .learning { fill: #9aa4af; fill-opacity: .1 }
  }
</style>
)";

// The least and the most of what falls into one column of the picture: a spike of one commit in a year is still seen.
struct Column {
    double x = 0;
    double least = 0;
    double most = 0;
    std::optional<alarms::Range> expected;
};

struct Frame {
    WallTime from{};
    WallTime until{};
    double low = 0;
    double high = 1;

    double x(WallTime at) const {
        const double all = std::chrono::duration<double>(until - from).count();
        const double here = std::chrono::duration<double>(at - from).count();
        return left + (all > 0 ? here / all : 0.5) * (right - left);
    }
    double y(double value) const {
        const double part = (std::clamp(value, low, high) - low) / (high - low);
        return bottom - part * (bottom - top);
    }
};

Frame frame_of(const std::vector<BacktestStep>& steps) {
    Frame frame;
    std::vector<double> values;
    for (const BacktestStep& step : steps) {
        if (step.value && std::isfinite(*step.value)) values.push_back(*step.value);
        if (!step.expected) continue;
        for (const double edge : {step.expected->low, step.expected->high})
            if (std::isfinite(edge)) values.push_back(edge);
    }
    if (!steps.empty()) {
        frame.from = steps.front().at;
        frame.until = steps.back().at;
    }
    if (values.empty()) return frame;
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    frame.low = std::min(0.0, *least);
    frame.high = *most > frame.low ? *most : frame.low + 1;
    // Few far values (a spike of a hundred times) must not press the rest into a line: they are cut at the top.
    std::sort(values.begin(), values.end());
    const double usual = values[values.size() * 99 / 100];
    if (usual > 0 && frame.high > 4 * usual) frame.high = 4 * usual;
    frame.high += 0.04 * (frame.high - frame.low);
    return frame;
}

std::vector<Column> columns_of(const std::vector<BacktestStep>& steps, const Frame& frame) {
    std::vector<Column> columns;
    const double step_x = (right - left) / static_cast<double>(columns_max);
    for (const BacktestStep& step : steps) {
        if (!step.value || !std::isfinite(*step.value)) continue;
        const double x = frame.x(step.at);
        if (columns.empty() || x - columns.back().x >= step_x)
            columns.push_back({x, *step.value, *step.value, step.expected});
        Column& column = columns.back();
        column.least = std::min(column.least, *step.value);
        column.most = std::max(column.most, *step.value);
        if (!column.expected) column.expected = step.expected;
    }
    return columns;
}

std::string words_of(double value) {
    const double size = std::abs(value);
    if (size >= 1e9) return fmt::format("{:.3g} G", value / 1e9);
    if (size >= 1e6) return fmt::format("{:.3g} M", value / 1e6);
    if (size >= 1e4) return fmt::format("{:.3g} k", value / 1e3);
    return fmt::format("{:.4g}", value);
}

struct Canvas {
    std::string svg;

    void text(std::string_view kind, double x, double y, std::string_view words, std::string_view anchor = "start") {
        svg += fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", kind, x, y,
                           anchor, escape_html(words));
    }
    void box(std::string_view kind, double x, double y, double wide, double high) {
        svg += fmt::format("<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n", kind,
                           x, y, std::max(wide, 1.0), high);
    }
    void line(std::string_view kind, double x1, double y1, double x2, double y2) {
        svg += fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", kind, x1,
                           y1, x2, y2);
    }
};

void draw_axes(Canvas& canvas, const Frame& frame) {
    for (int i = 0; i <= 4; ++i) {
        const double value = frame.low + (frame.high - frame.low) * i / 4;
        const double y = frame.y(value);
        canvas.line("grid", left, y, right, y);
        canvas.text("soft hint", left - 8, y + 4, words_of(value), "end");
    }
    for (int i = 0; i <= 5; ++i) {
        const WallTime at = frame.from + (frame.until - frame.from) / 5 * i;
        // "2026-01-02 03:04"
        std::string words = base::format_time(at).substr(0, 16);
        words[10] = ' ';
        canvas.text("soft hint", frame.x(at), bottom + 20, words, i == 0 ? "start" : i == 5 ? "end" : "middle");
    }
}

void draw_band(Canvas& canvas, const Frame& frame, const std::vector<Column>& columns) {
    for (std::size_t i = 0; i < columns.size();) {
        std::size_t end = i;
        while (end < columns.size() && columns[end].expected) ++end;
        if (end > i) {
            std::string upper;
            std::string lower;
            for (std::size_t j = i; j < end; ++j) {
                const auto& range = *columns[j].expected;
                upper += fmt::format("{:.1f},{:.1f} ", columns[j].x, frame.y(range.high));
                lower.insert(0, fmt::format("{:.1f},{:.1f} ", columns[j].x, frame.y(range.low)));
            }
            canvas.svg += fmt::format("<polygon class=\"band\" points=\"{}{}\"/>\n", upper, lower);
        }
        i = std::max(end, i + 1);
    }
}

void draw_series(Canvas& canvas, const Frame& frame, const Backtest& backtest, const std::vector<Column>& columns) {
    std::string points;
    for (const Column& column : columns) {
        points += fmt::format("{:.1f},{:.1f} ", column.x, frame.y(column.most));
        if (column.least < column.most) points += fmt::format("{:.1f},{:.1f} ", column.x, frame.y(column.least));
    }
    canvas.svg += fmt::format("<polyline class=\"series\" points=\"{}\"/>\n", points);
    std::size_t shown = 0;
    for (const BacktestStep& step : backtest.steps)
        if (step.datum == alarms::Datum::Bad && step.value && shown++ < 2 * columns_max)
            canvas.svg += fmt::format("<circle class=\"bad\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"/>\n", frame.x(step.at),
                                      frame.y(*step.value));
}

// From entering a state to leaving it, as one box each.
template <typename In>
void draw_spans(Canvas& canvas, const Frame& frame, const Backtest& backtest, std::string_view kind, bool edge, In in) {
    std::optional<WallTime> since;
    const auto close = [&](WallTime until) {
        const double x = frame.x(*since);
        canvas.box(kind, x, top, frame.x(until) - x, bottom - top);
        if (edge) canvas.line("edge", x, top, x, bottom);
        since.reset();
    };
    for (const BacktestStep& step : backtest.steps) {
        if (in(step) && !since) since = step.at;
        if (!in(step) && since) close(step.at);
    }
    if (since) close(frame.until);
}

void draw_legend(Canvas& canvas) {
    double x = left;
    for (const auto& [kind, words] :
         {std::pair{"dot", "value"}, std::pair{"band", "expected"}, std::pair{"bad", "outside"},
          std::pair{"alarm", "in ALARM"}, std::pair{"learning", "learning"}}) {
        canvas.box(kind, x, 62, 22, 14);
        canvas.text("soft", x + 29, 74, words);
        x += 29 + 7.2 * static_cast<double>(std::string_view(words).size()) + 26;
    }
}

}  // namespace

std::string alarm_svg(const AlarmPicture& picture) {
    const Backtest& backtest = picture.backtest;
    const Frame frame = frame_of(backtest.steps);
    const std::vector<Column> columns = columns_of(backtest.steps, frame);
    const std::string head = picture.title.empty() ? picture.config.name : picture.title + ": " + picture.config.name;
    Canvas canvas;
    canvas.svg = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
        "height=\"{1:.0f}\" role=\"img\" aria-labelledby=\"title\">\n<title id=\"title\">{2}</title>\n{3}"
        "<rect class=\"page\" width=\"{0:.0f}\" height=\"{1:.0f}\"/>\n",
        width, height, escape_html(head), style);
    canvas.text("ink head", left, 34, head);
    canvas.text("soft", right, 34, picture.metric, "end");
    draw_legend(canvas);
    canvas.text("soft", right, 74,
                fmt::format("{} {} in {} steps", backtest.episodes, backtest.episodes == 1 ? "alarm" : "alarms",
                            backtest.steps.size()),
                "end");
    draw_axes(canvas, frame);
    draw_spans(canvas, frame, backtest, "learning", false, [](const BacktestStep& step) { return step.learning; });
    draw_spans(canvas, frame, backtest, "alarm", true,
               [](const BacktestStep& step) { return step.state == AlarmState::Alarm; });
    draw_band(canvas, frame, columns);
    draw_series(canvas, frame, backtest, columns);
    return canvas.svg + "</svg>\n";
}

}  // namespace signalbox::app
