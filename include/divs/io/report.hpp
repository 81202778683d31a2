// The report of a run: one HTML file that needs nothing beside it, no script and no network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace divs::io {

// Rows of text under a header; the first column is a name, the others are numbers.
struct ReportTable {
    std::string title;
    std::vector<std::string> header;
    std::vector<std::vector<std::string>> rows;
    std::string note;  // under the table; may be empty
};

struct ReportLine {
    std::string name;
    std::vector<std::pair<double, double>> points;  // not finite: a gap
};

// A line chart, drawn as SVG into the report.
struct ReportChart {
    std::string title, x_label, y_label;
    std::vector<ReportLine> lines;
};

struct ReportContent {
    std::string title, subtitle;
    std::vector<std::pair<std::string, std::string>> summary;  // "accuracy" -> "0.953"
    std::vector<ReportChart> charts;
    std::vector<ReportTable> tables;                   // per class, time per stage, bytes per tier, decisions
    std::vector<std::string> classes;                  // of the confusion matrix
    std::vector<std::vector<std::int64_t>> confusion;  // [truth][predicted]; empty: none
    std::vector<std::pair<std::string, std::string>> versions;          // "divs" -> "0.1.0 (a1b2c3)"
    std::string configuration;                                          // effective TOML
    std::vector<std::pair<std::string, std::filesystem::path>> images;  // title -> PNG or SVG file, embedded
};

std::string report_html(const ReportContent& content);  // InputError where an image cannot be read
void write_report(const std::filesystem::path& file, const ReportContent& content);  // StorageError

// A per-class table (precision, recall, F1, support) from a confusion matrix, with the macro mean as its last
// row. A class that neither occurs nor is predicted has no value and stays out of the mean.
ReportTable class_table(const std::vector<std::string>& classes,
                        const std::vector<std::vector<std::int64_t>>& confusion);

}  // namespace divs::io
