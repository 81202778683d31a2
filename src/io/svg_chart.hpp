// Line charts as SVG text, for reports.
#pragma once

#include <string>
#include <string_view>

#include "divs/io/report.hpp"

namespace divs::io {

std::string svg_chart(const ReportChart& chart);
std::string escape_html(std::string_view text);  // & < > " '; control characters become U+FFFD

}  // namespace divs::io
