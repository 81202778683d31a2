#include "svg_chart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace divs::io {
namespace {

constexpr double width = 640, height = 300, left = 64, right = 16, top = 14, bottom = 44;
constexpr std::size_t most_points = 1500;  // a line; longer ones are thinned
// Distinguishable with colour blindness (Okabe, Ito 2008).
constexpr std::array colours{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"};

struct Range {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    void take(double value) {
        if (!std::isfinite(value)) return;
        low = std::min(low, value);
        high = std::max(high, value);
    }
};

// 1, 2 or 5 times a power of ten, so that about `wanted` steps fill the range.
double nice_step(double extent, int wanted) {
    const double rough = extent / wanted, power = std::pow(10.0, std::floor(std::log10(rough)));
    for (const double factor : {1.0, 2.0, 5.0})
        if (rough <= factor * power) return factor * power;
    return 10 * power;
}

// One axis: values to pixels, and where the ticks stand.
struct Axis {
    double low, high, step, from, to;
    Axis(Range range, double from_pixel, double to_pixel, int wanted) : from(from_pixel), to(to_pixel) {
        if (!(range.low <= range.high)) range = {0, 1};
        if (range.low == range.high) {
            const double half = range.low == 0 ? 0.5 : std::abs(range.low) / 2;
            range = {range.low - half, range.high + half};
        }
        step = nice_step(range.high - range.low, wanted);
        low = std::floor(range.low / step) * step;
        high = std::ceil(range.high / step) * step;
    }
    double pixel(double value) const { return from + (value - low) / (high - low) * (to - from); }
    int ticks() const { return static_cast<int>(std::lround((high - low) / step)); }
    double tick(int i) const {
        const double value = low + i * step;
        return std::abs(value) < step * 1e-9 ? 0 : value;
    }
};

void append_grid(std::string& out, const Axis& x, const Axis& y) {
    for (int i = 0; i <= y.ticks(); ++i)
        out += fmt::format(
            "<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\" class=\"g\"/>"
            "<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:g}</text>",
            left, width - right, y.pixel(y.tick(i)), y.pixel(y.tick(i)), left - 6, y.pixel(y.tick(i)) + 4,
            y.tick(i));
    for (int i = 0; i <= x.ticks(); ++i)
        out += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:g}</text>",
                           x.pixel(x.tick(i)), height - bottom + 16, x.tick(i));
}

// Segments between gaps, each a polyline; a lone point is a dot.
void append_line(std::string& out, const ReportLine& line, std::string_view colour, const Axis& x,
                 const Axis& y) {
    const std::size_t skip = std::max<std::size_t>(1, line.points.size() / most_points);
    std::string points;
    std::size_t count = 0;
    const auto flush = [&] {
        if (count == 1)
            out += fmt::format(
                "<circle cx=\"{}\" cy=\"{}\" r=\"2.5\" fill=\"{}\"/>", points.substr(0, points.find(',')),
                points.substr(points.find(',') + 1, points.size() - points.find(',') - 2), colour);
        else if (count > 1)
            out += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\"/>",
                               points, colour);
        points.clear();
        count = 0;
    };
    for (std::size_t i = 0; i < line.points.size(); ++i) {
        const auto [px, py] = line.points[i];
        if (!std::isfinite(px) || !std::isfinite(py)) {
            flush();
        } else if (i % skip == 0 || i + 1 == line.points.size()) {
            points += fmt::format("{:.1f},{:.1f} ", x.pixel(px), y.pixel(py));
            ++count;
        }
    }
    flush();
}

void append_legend(std::string& out, const ReportChart& chart) {
    double at = left + 8;
    for (std::size_t i = 0; i < chart.lines.size(); ++i) {
        out += fmt::format(
            "<rect x=\"{:.0f}\" y=\"{}\" width=\"14\" height=\"3\" fill=\"{}\"/>"
            "<text x=\"{:.0f}\" y=\"{}\">{}</text>",
            at, top + 5, colours[i % colours.size()], at + 18, top + 10, escape_html(chart.lines[i].name));
        at += 34 + 7 * static_cast<double>(chart.lines[i].name.size());
    }
}

}  // namespace

std::string escape_html(std::string_view text) {
    std::string out;
    for (const char c : text) {
        switch (c) {
            case '&':
                out += "&amp;";
                break;
            case '<':
                out += "&lt;";
                break;
            case '>':
                out += "&gt;";
                break;
            case '"':
                out += "&quot;";
                break;
            case '\'':
                out += "&#39;";
                break;
            default:
                if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t')
                    out += "&#xFFFD;";
                else
                    out += c;
        }
    }
    return out;
}

std::string svg_chart(const ReportChart& chart) {
    Range x_range, y_range;
    for (const auto& line : chart.lines)
        for (const auto& [x, y] : line.points) {
            if (!std::isfinite(x) || !std::isfinite(y)) continue;
            x_range.take(x);
            y_range.take(y);
        }
    const Axis x(x_range, left, width - right, 8), y(y_range, height - bottom, top, 5);
    std::string out = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", width, height,
                                  escape_html(chart.title));
    append_grid(out, x, y);
    for (std::size_t i = 0; i < chart.lines.size(); ++i)
        append_line(out, chart.lines[i], colours[i % colours.size()], x, y);
    append_legend(out, chart);
    out += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>", (left + width - right) / 2,
                       height - 8, escape_html(chart.x_label));
    out +=
        fmt::format("<text transform=\"translate(14 {}) rotate(-90)\" text-anchor=\"middle\">{}</text></svg>",
                    (top + height - bottom) / 2, escape_html(chart.y_label));
    return out;
}

}  // namespace divs::io
