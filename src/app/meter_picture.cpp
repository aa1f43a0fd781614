#include "app/meter_picture.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "domain/meter/timeline.hpp"

namespace signalbox::app {
namespace {

using base::MonoTime;
using meter::Kind;
using meter::Piece;
using meter::Shade;

// In units of the view box.
constexpr double width = 1160;
constexpr double plot_left = 262;
constexpr double plot_right = 1140;
constexpr double lanes_top = 40;
constexpr double lane_height = 44;
constexpr double write_bar_height = 16;
constexpr double read_bar_height = 8;
constexpr double section_gap = 30;
constexpr double row_height = 24;
constexpr double row_bar_height = 12;
constexpr std::size_t bins = 800;
constexpr std::size_t pieces_max = 110;  // per bar: bounds the size of the page
constexpr std::size_t label_letters_max = 24;
constexpr std::size_t detail_letters_max = 12;
constexpr double digit_width = 6.4;  // of the small text, a little more than it needs

// That a reader refuses writes is as it should be; that an endpoint leads to one is not.
std::string_view shade_class(Shade shade, bool member) {
    if (member && shade == Shade::Refused) return "reader";
    switch (shade) {
        case Shade::Nothing:
            return "none";
        case Shade::Ok:
            return "ok";
        case Shade::Waited:
            return "waited";
        case Shade::Refused:
            return "refused";
        case Shade::Failed:
            return "failed";
        case Shade::Unknown:
            return "unknown";
    }
    return "none";
}

std::string_view shade_text(Shade shade) {
    switch (shade) {
        case Shade::Nothing:
            return "no operation";
        case Shade::Ok:
            return "ok";
        case Shade::Waited:
            return "ok after a wait";
        case Shade::Refused:
            return "refused as read-only";
        case Shade::Failed:
            return "failed";
        case Shade::Unknown:
            return "outcome unknown";
    }
    return "";
}

std::string shorten(const std::string& text, std::size_t letters_max) {
    if (text.size() <= letters_max) return text;
    return text.substr(0, letters_max - 1) + "…";
}

// The distance of grid lines: 1, 2 or 5 times a power of ten, so that there are at most 11.
double grid_step(double span_ms) {
    double step = std::pow(10.0, std::floor(std::log10(span_ms / 10)));
    for (const double factor : {2.0, 2.5, 2.0, 2.0}) {
        if (span_ms / step <= 11) break;
        step *= factor;
    }
    return step;
}

std::string axis_text(double ms, double step) {
    if (step >= 1000) return fmt::format("{:g} s", ms / 1000);
    return fmt::format("{:g}", ms);
}

class Canvas {
  public:
    explicit Canvas(const PictureFrame& frame) : frame_(frame) {}

    double x(MonoTime time) const {
        const double share = base::to_ms(time - frame_.from) / base::to_ms(frame_.to - frame_.from);
        return plot_left + std::clamp(share, 0.0, 1.0) * (plot_right - plot_left);
    }
    double ms(MonoTime time) const { return base::to_ms(time - frame_.zero); }

    template <typename... Args>
    void add(fmt::format_string<Args...> format, Args&&... args) {
        svg += fmt::format(format, std::forward<Args>(args)...);
    }

    std::string svg;

  private:
    const PictureFrame& frame_;
};

void draw_grid(Canvas& canvas, const PictureFrame& frame, double bottom) {
    const double first = canvas.ms(frame.from);
    const double last = canvas.ms(frame.to);
    const double step = grid_step(last - first);
    const auto from = static_cast<int>(std::ceil(first / step));
    const auto to = static_cast<int>(std::floor(last / step));
    for (int i = from; i <= to; ++i) {
        const double at = plot_left + (i * step - first) / (last - first) * (plot_right - plot_left);
        canvas.add("<line class=\"grid\" x1=\"{0:.1f}\" y1=\"26\" x2=\"{0:.1f}\" y2=\"{1:.0f}\"/>", at, bottom);
        canvas.add("<text class=\"axis\" x=\"{:.1f}\" y=\"18\" text-anchor=\"middle\">{}</text>\n", at,
                   axis_text(i * step, step));
    }
    canvas.add("<text class=\"axis\" x=\"10\" y=\"18\">{}</text>\n",
               frame.has_fault ? (step >= 1000 ? "after the fault" : "ms after the fault")
                               : (step >= 1000 ? "after the start" : "ms after the start"));
}

void draw_bar(Canvas& canvas, const std::vector<Piece>& pieces, bool member, std::string_view what, double y,
              double height) {
    for (const Piece& piece : pieces) {
        if (piece.shade == Shade::Nothing) continue;
        const double left = canvas.x(piece.from);
        canvas.add(
            "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.0f}\" width=\"{:.1f}\" height=\"{:.0f}\"><title>{}: {}, {:.0f} to "
            "{:.0f} ms, "
            "{} operations</title></rect>\n",
            shade_class(piece.shade, member), left, y, std::max(canvas.x(piece.to) - left, 0.6), height, what,
            shade_text(piece.shade), canvas.ms(piece.from), canvas.ms(piece.to), piece.operations);
    }
}

void draw_lane(Canvas& canvas, const Measurement& measurement, const PictureFrame& frame, std::size_t path, double y) {
    const meter::PathInfo& info = measurement.recording.paths[path];
    canvas.add("<text class=\"name\" x=\"10\" y=\"{:.0f}\">{}<title>{}</title></text>\n", y + 16,
               escape_html(shorten(info.name, label_letters_max)), escape_html(info.name));
    canvas.add("<text class=\"small\" x=\"10\" y=\"{:.0f}\">{}</text>\n", y + 31, escape_html(frame.lane_notes[path]));
    if (info.writes) {
        canvas.add("<text class=\"small\" x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"end\">writes</text>\n", plot_left - 8,
                   y + 15);
        canvas.add("<rect class=\"none\" x=\"{:.0f}\" y=\"{:.0f}\" width=\"{:.0f}\" height=\"{:.0f}\"/>\n", plot_left,
                   y + 3, plot_right - plot_left, write_bar_height);
        draw_bar(canvas,
                 meter::bar_of(measurement.recording, path, Kind::Write, frame.from, frame.to, bins, pieces_max),
                 info.member, "writes", y + 3, write_bar_height);
    }
    canvas.add("<text class=\"small\" x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"end\">reads</text>\n", plot_left - 8,
               y + 31);
    canvas.add("<rect class=\"none\" x=\"{:.0f}\" y=\"{:.0f}\" width=\"{:.0f}\" height=\"{:.0f}\"/>\n", plot_left,
               y + 23, plot_right - plot_left, read_bar_height);
    draw_bar(canvas, meter::bar_of(measurement.recording, path, Kind::Read, frame.from, frame.to, bins, pieces_max),
             info.member, "reads", y + 23, read_bar_height);
}

void draw_row(Canvas& canvas, const PictureRow& row, double y) {
    const double left = canvas.x(row.from);
    const double right = std::max(canvas.x(row.to), left + 2);
    const std::string length = row.open ? "not ended" : fmt::format("{:.0f} ms", base::to_ms(row.to - row.from));
    canvas.add("<text class=\"row\" x=\"10\" y=\"{:.0f}\">{}</text>\n", y + 15, escape_html(row.name));
    canvas.add("<text class=\"small\" x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"end\">{}</text>\n", plot_left - 8, y + 15,
               escape_html(shorten(row.detail, detail_letters_max)));
    canvas.add(
        "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.0f}\" width=\"{:.1f}\" height=\"{:.0f}\" rx=\"2\"><title>{} {}: {:.1f} "
        "to "
        "{:.1f} ms</title></rect>\n",
        row.outage ? "outage" : "phase", left, y + 5, right - left, row_bar_height, escape_html(row.name),
        escape_html(row.detail), canvas.ms(row.from), canvas.ms(row.to));
    // After the bar if there is room, else before it, else on it.
    const double needs = digit_width * static_cast<double>(length.size()) + 12;
    if (right + needs <= plot_right) {
        canvas.add("<text class=\"small\" x=\"{:.1f}\" y=\"{:.0f}\">{}</text>\n", right + 6, y + 15, length);
    } else if (left - needs >= plot_left) {
        canvas.add("<text class=\"small\" x=\"{:.1f}\" y=\"{:.0f}\" text-anchor=\"end\">{}</text>\n", left - 6, y + 15,
                   length);
    } else {
        canvas.add("<text class=\"onbar\" x=\"{:.1f}\" y=\"{:.0f}\" text-anchor=\"middle\">{}</text>\n",
                   (left + right) / 2, y + 15, length);
    }
}

}  // namespace

std::string escape_html(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        switch (c) {
            case '&':
                escaped += "&amp;";
                break;
            case '<':
                escaped += "&lt;";
                break;
            case '>':
                escaped += "&gt;";
                break;
            case '"':
                escaped += "&quot;";
                break;
            case '\'':
                escaped += "&#39;";
                break;
            default:
                escaped += c;
        }
    }
    return escaped;
}

std::string picture_svg(const Measurement& measurement, const PictureFrame& frame,
                        const std::vector<PictureRow>& rows) {
    const std::size_t lanes = measurement.recording.paths.size();
    std::vector<PictureRow> visible;
    std::copy_if(rows.begin(), rows.end(), std::back_inserter(visible),
                 [&](const PictureRow& row) { return row.from < frame.to && row.to > frame.from; });
    const double rows_top = lanes_top + lane_height * static_cast<double>(lanes) + section_gap;
    const double bottom =
        visible.empty() ? rows_top - section_gap : rows_top + row_height * static_cast<double>(visible.size());
    Canvas canvas(frame);
    canvas.add(
        "<svg viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" aria-labelledby=\"{2}\" "
        "xmlns=\"http://www.w3.org/2000/svg\">\n<title id=\"{2}\">{3}</title>\n",
        width, bottom + 8, frame.id, escape_html(frame.caption));
    draw_grid(canvas, frame, bottom);
    for (std::size_t i = 0; i < lanes; ++i) {
        draw_lane(canvas, measurement, frame, i, lanes_top + lane_height * static_cast<double>(i));
    }
    if (!visible.empty()) {
        canvas.add("<text class=\"section\" x=\"10\" y=\"{:.0f}\">Outages and phases</text>\n", rows_top - 8);
        for (std::size_t i = 0; i < visible.size(); ++i) {
            draw_row(canvas, visible[i], rows_top + row_height * static_cast<double>(i));
        }
    }
    if (frame.has_fault) {
        canvas.add(
            "<line class=\"fault\" x1=\"{0:.1f}\" y1=\"22\" x2=\"{0:.1f}\" y2=\"{1:.0f}\"><title>the "
            "fault</title></line>\n",
            canvas.x(frame.zero), bottom);
    }
    canvas.svg += "</svg>\n";
    return canvas.svg;
}

}  // namespace signalbox::app
