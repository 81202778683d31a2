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

}  // namespace divs::io
