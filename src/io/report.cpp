#include "divs/io/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>

#include "divs/core/error.hpp"
#include "divs/io/atomic_file.hpp"
#include "svg_chart.hpp"

namespace divs::io {
namespace {

constexpr std::size_t longest_on_card = 24;

constexpr std::string_view style = R"(
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --shade: 0, 114, 178; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; }
h1 { margin-bottom: 0; } h2 { margin-top: 2em; border-bottom: 1px solid var(--line); }
.sub { color: #888; margin-top: .2em; }
.cards { display: flex; flex-wrap: wrap; gap: .8em; margin: 1.5em 0; }
.card { background: var(--soft); border-radius: 8px; padding: .6em 1em; }
.card b { display: block; font-size: 1.35em; font-weight: 600; } .card span { color: #888; font-size: .85em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6em 0; display: block; overflow-x: auto; }
th, td { padding: .25em .8em; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; }
.pairs td { text-align: left; } .pairs td:first-child { color: #888; white-space: nowrap; }
.confusion td { text-align: center; min-width: 3em; }
svg { width: 100%; max-width: 720px; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
svg .g { stroke: var(--line); stroke-width: 1; }
img { max-width: 100%; background: white; border-radius: 6px; }
pre { background: var(--soft); padding: 1em; border-radius: 8px; overflow-x: auto; font-size: 13px; }
.note { color: #888; font-size: .9em; }
)";

std::string base64(std::string_view bytes) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t group = 0;
        for (std::size_t j = 0; j < 3; ++j)
            group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
        for (std::size_t j = 0; j < 4; ++j)
            out += i + j > bytes.size() ? '=' : digits[group >> (18 - 6 * j) & 63];
    }
    return out;
}

// As <img>, also for SVG: a picture made elsewhere then cannot run script or load anything.
std::string embedded_image(const std::string& title, const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    if (!in) throw_error<InputError>("{}: cannot be opened, expected an image for the report", file.string());
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    const bool is_svg = file.extension() == ".svg";
    if (!is_svg && !bytes.starts_with("\x89PNG"))
        throw_error<InputError>("{}: is neither a PNG nor an .svg image", file.string());
    return fmt::format("<figure><img alt=\"{}\" src=\"data:image/{};base64,{}\"></figure>\n",
                       escape_html(title), is_svg ? "svg+xml" : "png", base64(bytes));
}

std::string heading(std::string_view text) {
    return fmt::format("<h2>{}</h2>\n", escape_html(text));
}

std::string table_html(const ReportTable& table) {
    std::string out = "<table><thead><tr>";
    for (const auto& cell : table.header) out += fmt::format("<th>{}</th>", escape_html(cell));
    out += "</tr></thead><tbody>\n";
    for (const auto& row : table.rows) {
        out += "<tr>";
        for (const auto& cell : row) out += fmt::format("<td>{}</td>", escape_html(cell));
        out += "</tr>\n";
    }
    out += "</tbody></table>\n";
    if (!table.note.empty()) out += fmt::format("<p class=\"note\">{}</p>\n", escape_html(table.note));
    return out;
}

std::string class_name(const std::vector<std::string>& classes, std::size_t i) {
    return i < classes.size() ? classes[i] : fmt::format("class {}", i);
}

std::string confusion_html(const ReportContent& content) {
    std::string out = "<table class=\"confusion\"><thead><tr><th>true \\ predicted</th>";
    for (std::size_t i = 0; i < content.confusion.size(); ++i)
        out += fmt::format("<th>{}</th>", escape_html(class_name(content.classes, i)));
    out += "</tr></thead><tbody>\n";
    for (std::size_t i = 0; i < content.confusion.size(); ++i) {
        const auto& row = content.confusion[i];
        double sum = 0;
        for (const auto count : row) sum += static_cast<double>(count);
        out += fmt::format("<tr><td>{}</td>", escape_html(class_name(content.classes, i)));
        for (const auto count : row)
            out += fmt::format("<td style=\"background: rgba(var(--shade), {:.3f})\">{}</td>",
                               sum > 0 ? 0.75 * static_cast<double>(count) / sum : 0.0, count);
        out += "</tr>\n";
    }
    return out + "</tbody></table>\n<p class=\"note\">Shade: share of the true class.</p>\n";
}

std::string pairs_html(const std::vector<std::pair<std::string, std::string>>& pairs) {
    std::string out = "<table class=\"pairs\"><tbody>\n";
    for (const auto& [name, value] : pairs)
        out += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", escape_html(name), escape_html(value));
    return out + "</tbody></table>\n";
}

}  // namespace

std::string report_html(const ReportContent& content) {
    std::string out = fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title>\n"
        "<meta name=\"viewport\" content=\"width=device-width, "
        "initial-scale=1\"><style>{1}</style></head><body>\n"
        "<h1>{0}</h1>\n<p class=\"sub\">{2}</p>\n<div class=\"cards\">",
        escape_html(content.title), style, escape_html(content.subtitle));
    std::vector<std::pair<std::string, std::string>> sentences;  // too long for a card
    for (const auto& pair : content.summary) {
        if (pair.second.size() > longest_on_card)
            sentences.push_back(pair);
        else
            out += fmt::format("<div class=\"card\"><b>{}</b><span>{}</span></div>\n",
                               escape_html(pair.second), escape_html(pair.first));
    }
    out += "</div>\n" + (sentences.empty() ? "" : pairs_html(sentences));
    for (const auto& chart : content.charts) out += heading(chart.title) + svg_chart(chart) + "\n";
    for (const auto& [title, file] : content.images) out += heading(title) + embedded_image(title, file);
    out += "<!-- plots -->\n";  // jobs/plot_training.py puts its images here
    if (!content.confusion.empty()) out += heading("Confusion matrix") + confusion_html(content);
    for (const auto& table : content.tables) out += heading(table.title) + table_html(table);
    if (!content.configuration.empty())
        out += heading("Configuration") + fmt::format("<pre>{}</pre>\n", escape_html(content.configuration));
    if (!content.versions.empty()) out += heading("Versions") + pairs_html(content.versions);
    return out + "</body></html>\n";
}

void write_report(const std::filesystem::path& file, const ReportContent& content) {
    write_atomically(file, report_html(content));
}

ReportTable class_table(const std::vector<std::string>& classes,
                        const std::vector<std::vector<std::int64_t>>& confusion) {
    ReportTable table{"Classes", {"class", "precision", "recall", "F1", "samples"}, {}, ""};
    const auto text = [](double value) {
        return std::isnan(value) ? std::string("-") : fmt::format("{:.3f}", value);
    };
    const auto ratio = [](double a, double b) {
        return b > 0 ? a / b : std::numeric_limits<double>::quiet_NaN();
    };
    double sums[3]{}, counts[3]{};
    std::int64_t total = 0;
    for (std::size_t c = 0; c < confusion.size(); ++c) {
        std::int64_t support = 0, predicted = 0;
        for (std::size_t other = 0; other < confusion.size(); ++other) {
            support += confusion[c].at(other);
            predicted += confusion[other].at(c);
        }
        const auto hits = static_cast<double>(confusion[c][c]);
        const double values[3]{ratio(hits, static_cast<double>(predicted)),
                               ratio(hits, static_cast<double>(support)),
                               ratio(2 * hits, static_cast<double>(support + predicted))};
        for (int i = 0; i < 3; ++i)
            if (!std::isnan(values[i])) {
                sums[i] += values[i];
                ++counts[i];
            }
        total += support;
        table.rows.push_back({class_name(classes, c), text(values[0]), text(values[1]), text(values[2]),
                              std::to_string(support)});
    }
    table.rows.push_back({"macro mean", text(ratio(sums[0], counts[0])), text(ratio(sums[1], counts[1])),
                          text(ratio(sums[2], counts[2])), std::to_string(total)});
    return table;
}

}  // namespace divs::io
