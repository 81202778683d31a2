// Tables for terminals.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace divs::io {

enum class Align { left, right };

struct Column {
    std::string name;
    Align align = Align::right;
};

// Columns as wide as their widest cell (counted in UTF-8 characters), two spaces apart, a rule under the
// header.
class Table {
  public:
    explicit Table(std::vector<Column> columns);
    void row(std::vector<std::string> cells);  // missing cells stay empty; surplus ones are an Error
    void rule();                               // a line between rows
    std::string text() const;                  // ends with a newline; no trailing spaces

  private:
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;  // an empty row is a rule
};

// "1.5 KiB", "3.2 MiB"
std::string bytes_text(double bytes);
// "850 ms", "12.3 s", "4 min 05 s", "2 h 07 min"
std::string seconds_text(double seconds);
// 0.4567 -> "45.7 %"
std::string percent_text(double fraction);

}  // namespace divs::io
