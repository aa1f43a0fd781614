#include "app/simulation_picture.hpp"

#include <algorithm>

#include "app/meter_picture.hpp"

namespace signalbox::app {
namespace {

using engine::SimResult;

// In units of the view box.
constexpr double width = 1240;
constexpr double margin = 24;
constexpr int columns = 4;
constexpr double gap = 28;
constexpr double panel_width = (width - 2 * margin - (columns - 1) * gap) / columns;
constexpr double panels_top = 84;
constexpr double title_height = 30;
constexpr double row_height = 25;
constexpr double bar_height = 15;
constexpr double label_width = 96;
constexpr double value_width = 62;
constexpr double bar_max = panel_width - label_width - value_width;
constexpr double panel_gap = 34;

constexpr const char* style = R"(<style>
  .page { fill: #ffffff } .ink { fill: #1b1f24 } .soft { fill: #59636e }
  .ours { fill: #0b63c5 } .other { fill: #7fb0e6 } .model { fill: #c2703d } .track { fill: #eceff2 }
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif }
  .head { font-size: 20px; font-weight: 600 } .title { font-size: 14px; font-weight: 600 } .hint { font-size: 12px }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14181d } .ink { fill: #e6e9ed } .soft { fill: #9aa4af }
    .ours { fill: #5aa7ff } .other { fill: #35608f } .model { fill: #d58a5a } .track { fill: #232930 }
  }
</style>
)";

struct Canvas {
    std::string svg;

    void text(std::string_view kind, double x, double y, std::string_view words, bool to_the_left = false) {
        svg += fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\"{}>{}</text>\n", kind, x, y,
                           to_the_left ? " text-anchor=\"end\"" : "", escape_html(words));
    }
    void bar(std::string_view kind, double x, double y, double length) {
        svg +=
            fmt::format("<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"2\"/>\n",
                        kind, x, y, length, bar_height);
    }
};

std::string_view colour_of(const SimResult& result) {
    if (result.strategy.model) return "model";
    return result.strategy.strategy == jobs::Strategy::Resilient ? "ours" : "other";
}

// Shares fill the panel at 100 %; the rest at the longest bar.
double full_bar(const SimulationMetric& metric, const std::vector<SimResult>& results) {
    if (metric.unit == SimulationMetric::Unit::Share) return 1;
    double most = 0;
    for (const SimResult& result : results) most = std::max(most, metric.value(result.all).value_or(0));
    return most > 0 ? most : 1;
}

void panel(Canvas& canvas, const SimulationMetric& metric, const std::vector<SimResult>& results, double x, double y) {
    canvas.text("ink title", x, y + 13, metric.title);
    canvas.text("soft hint", x + panel_width, y + 13, metric.more_is_better ? "more is better" : "less is better",
                true);
    const double full = full_bar(metric, results);
    for (std::size_t i = 0; i < results.size(); ++i) {
        const double top = y + title_height + row_height * static_cast<double>(i);
        const auto value = metric.value(results[i].all);
        canvas.text("ink", x + label_width - 8, top + 12, results[i].strategy.name, true);
        canvas.bar("track", x + label_width, top, bar_max);
        if (value && *value > 0)
            canvas.bar(colour_of(results[i]), x + label_width, top, std::max(bar_max * *value / full, 1.0));
        canvas.text("ink", x + panel_width, top + 12, metric_text(metric, value), true);
    }
}

void legend(Canvas& canvas, double y) {
    double x = margin;
    for (const auto& [kind, words] : {std::pair{"ours", "resilient"}, std::pair{"other", "other strategies"},
                                      std::pair{"model", "models of what there is without signalbox"}}) {
        canvas.bar(kind, x, y - 12, 22);
        canvas.text("soft", x + 29, y, words);
        x += 29 + 7.2 * static_cast<double>(std::string_view(words).size()) + 26;
    }
}

}  // namespace

std::string simulation_svg(const SimulationReport& report) {
    std::vector<const SimulationMetric*> shown;
    for (const SimulationMetric& metric : simulation_metrics())
        if (std::any_of(report.results.begin(), report.results.end(),
                        [&](const SimResult& result) { return metric.value(result.all).has_value(); }))
            shown.push_back(&metric);
    const double panel_height = title_height + row_height * static_cast<double>(report.results.size());
    const auto rows = (shown.size() + columns - 1) / columns;
    const double height = panels_top + (panel_height + panel_gap) * static_cast<double>(rows);
    Canvas canvas;
    canvas.svg = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
        "height=\"{1:.0f}\" "
        "role=\"img\" aria-labelledby=\"title\">\n<title id=\"title\">{2}: strategies compared</title>\n{3}"
        "<rect class=\"page\" width=\"{0:.0f}\" height=\"{1:.0f}\"/>\n",
        width, height, escape_html(report.scenario.name), style);
    canvas.text("ink head", margin, 32, report.scenario.name + ": " + report.scenario.about);
    legend(canvas, 58);
    canvas.text("soft", width - margin, 58, counted_text(report), true);
    for (std::size_t i = 0; i < shown.size(); ++i) {
        const std::size_t row = i / columns;
        const double x = margin + static_cast<double>(i % columns) * (panel_width + gap);
        const double y = panels_top + static_cast<double>(row) * (panel_height + panel_gap);
        panel(canvas, *shown[i], report.results, x, y);
    }
    return canvas.svg + "</svg>\n";
}

}  // namespace signalbox::app
